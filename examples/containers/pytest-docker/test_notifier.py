"""Run with: pip install -r requirements.txt, then pytest"""

from azure.eventhub import EventData, EventHubProducerClient


def test_what_is_sent_is_stored(connection_string):
    with EventHubProducerClient.from_connection_string(connection_string, eventhub_name="eh1") as producer:
        producer.send_event(EventData('{"foo":"bar"}'), partition_id="1")
        assert producer.get_partition_properties("1")["last_enqueued_sequence_number"] == 0
