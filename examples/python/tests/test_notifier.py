"""The notifier against an event hub that only this test sees. Fixtures are pytest-evhub's: no container, no listener, no sleep."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import EventDataSendError
from pytest_evhub import Space

from notifications.notifier import AzureEventHubNotifier


@pytest.fixture
def sut(eventhub_producer: EventHubProducerClient) -> AzureEventHubNotifier:
    return AzureEventHubNotifier(eventhub_producer)


async def test_send_publishes_a_message_on_azure_event_hub(sut: AzureEventHubNotifier, events: Iterator[dict[str, Any]]) -> None:
    # Given
    data = {"foo": "bar"}
    # When
    await sut.send(data)
    # Then
    assert list(events) == [data]


async def test_what_is_no_json_is_refused_and_not_sent(sut: AzureEventHubNotifier, events: Iterator[dict[str, Any]]) -> None:
    with pytest.raises(ValueError):
        await sut.send({"foo": object()})
    assert list(events) == []


async def test_a_reader_that_waits_gets_it(
    sut: AzureEventHubNotifier, eventhub_consumer: EventHubConsumerClient, eventhubs: Space
) -> None:
    received: asyncio.Queue[EventData] = asyncio.Queue()

    async def on_event(_: object, event: EventData | None) -> None:
        if event is not None:
            await received.put(event)

    reading = asyncio.ensure_future(eventhub_consumer.receive(on_event))
    await eventhubs.areaders("eh1", 2, group="cg1")  # one for each partition: from here on they miss nothing
    await sut.send({"foo": "bar"})
    event = await asyncio.wait_for(received.get(), 10)
    assert (event.body_as_json(), event.content_type) == ({"foo": "bar"}, "application/json")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_a_busy_hub_is_asked_again_once(sut: AzureEventHubNotifier, eventhubs: Space, events: Iterator[dict[str, Any]]) -> None:
    """So much the SDK does by itself, at once and whatever its retry options say. Who must not lose anything tries again later."""
    eventhubs.fault("send", "throttle")
    await sut.send({"foo": "bar"})
    assert list(events) == [{"foo": "bar"}]
    busy = eventhubs.fault("send", "throttle", times=-1)
    with pytest.raises(EventDataSendError):
        await sut.send({"foo": "bar"})
    assert busy.remove() >= 1
    assert list(events) == []


async def test_both_copies_of_a_lost_answer_have_one_id(eventhubs: Space) -> None:
    """The SDK sends again what was stored already, and says nothing of it."""
    eventhubs.fault("send", "ack-lost")
    async with EventHubProducerClient.from_connection_string(eventhubs.connection_strings["eh1"], retry_backoff_factor=0.01) as producer:
        await AzureEventHubNotifier(producer).send({"foo": "bar"})
    first, second = await eventhubs.aexpect("eh1", {"body": {"foo": "bar"}}, count=2)
    assert first["id"] == second["id"] != ""
