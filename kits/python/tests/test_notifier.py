"""What remains of a test with two containers, a listener in the background and two sleeps."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient


class EventHubNotifier:
    """Publishes messages as JSON."""

    def __init__(self, producer: EventHubProducerClient) -> None:
        self.producer = producer

    async def send(self, message: dict[str, Any]) -> None:
        await self.producer.send_event(EventData(json.dumps(message)))


@pytest.fixture
def sut(eventhub_producer: EventHubProducerClient) -> EventHubNotifier:
    return EventHubNotifier(eventhub_producer)


@pytest.mark.asyncio
async def test_a_message_is_published(sut: EventHubNotifier, events: Iterator[dict[str, Any]]) -> None:
    data = {"foo": "bar"}
    await sut.send(data)
    assert list(events) == [data]
