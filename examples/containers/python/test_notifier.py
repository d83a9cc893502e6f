"""Run with: pip install -r requirements.txt, then pytest"""

import os
from pathlib import Path

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

CONFIG = Path(__file__).resolve().parent.parent / "Config.json"


@pytest.fixture(scope="session")
def connection_string():
    image = os.environ.get("EVHUB_IMAGE", "evhub")
    container = DockerContainer(image).with_exposed_ports(5672, 5300)
    container.with_volume_mapping(str(CONFIG), "/Eventhubs_Emulator/ConfigFiles/Config.json", "ro")
    with container:
        wait_for_logs(container, "Emulator Service is Successfully Up!")
        host, port = container.get_container_host_ip(), container.get_exposed_port(5672)
        yield (
            f"Endpoint=sb://{host}:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
        )


def test_what_is_sent_is_stored(connection_string):
    with EventHubProducerClient.from_connection_string(connection_string, eventhub_name="eh1") as producer:
        producer.send_event(EventData('{"foo":"bar"}'), partition_id="0")

    consumer = EventHubConsumerClient.from_connection_string(connection_string, consumer_group="cg1", eventhub_name="eh1")
    received = []

    def on_event(_, event):
        received.append(event.body_as_json())
        consumer.close()  # ends receive

    consumer.receive(on_event, starting_position="-1")
    assert received == [{"foo": "bar"}]
