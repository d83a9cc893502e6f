"""The official client against what the kit can do."""

import asyncio
import json
from contextlib import suppress

import pytest
from azure.eventhub import EventData
from azure.eventhub.exceptions import EventHubError
from pytest_evhub import ExpectationFailed

pytestmark = pytest.mark.asyncio


async def test_a_throttled_send_is_retried(eventhubs, eventhub_producer):
    busy = eventhubs.fault("send", "throttle", hub="eh1", times=1)
    await eventhub_producer.send_event(EventData('{"n":1}'))
    assert await busy.afired() == 1
    await eventhubs.aexpect("eh1", {"body": {"n": 1}}, count=1)
    assert any(entry.get("fault") for entry in eventhubs.timeline())


async def test_a_refused_send_is_absent(eventhubs, eventhub_producer):
    eventhubs.fault("send", {"type": "reject", "condition": "amqp:not-allowed", "text": "Not today."}, times=-1)
    with pytest.raises(EventHubError, match="Not today."):
        await eventhub_producer.send_event(EventData("never"))
    await eventhubs.aexpect("eh1", count=0)


async def test_a_lost_acknowledgement_makes_two(eventhubs, eventhub_producer):
    eventhubs.fault("send", "ack-lost")
    event = EventData(json.dumps({"foo": "bar"}))
    event.message_id = "a1"
    await eventhub_producer.send_event(event)
    assert [e["id"] for e in await eventhubs.aexpect("eh1", count=2)] == ["a1", "a1"]
    with pytest.raises(ExpectationFailed, match="a1 came twice"):
        await eventhubs.aexpect("eh1", count={"min": 0}, unique="id")


async def test_a_background_send_is_waited_for(eventhubs, eventhub_producer, events):
    sending = asyncio.create_task(eventhub_producer.send_event(EventData('{"n":1}')))
    assert await anext(events) == {"n": 1}
    await sending


async def test_an_event_on_its_way_does_not_keep_the_next(events, eventhubs, eventhub_producer):
    delayed = eventhubs.fault("send", {"type": "delay", "duration": "60s"})
    sending = asyncio.create_task(eventhub_producer.send_event(EventData("late")))
    await delayed.afired(timeout=30)
    eventhubs.publish("eh1", {"text": "there"})
    assert await anext(events) == "there"
    sending.cancel()


async def test_a_reader_from_the_end_misses_nothing(eventhubs, eventhub_consumer):
    received: asyncio.Queue = asyncio.Queue()

    async def on_event(_, event):
        await received.put(event.body_as_json())

    receiving = asyncio.create_task(eventhub_consumer.receive(on_event, starting_position="@latest"))
    assert await eventhubs.areaders("eh1", 2, group="cg1", timeout=30) == 2
    eventhubs.publish("eh1", {"body": 0, "partition": 0}, {"body": 1, "partition": 1})
    assert {await asyncio.wait_for(received.get(), 30) for _ in range(2)} == {0, 1}
    receiving.cancel()
    with suppress(asyncio.CancelledError):
        await receiving


@pytest.mark.eventhubs(hubs={"orders": {}, "invoices": {"groups": ["audit"]}})
async def test_the_clients_are_for_the_first_hub(eventhub_producer, eventhub_consumer):
    assert (eventhub_producer.eventhub_name, eventhub_consumer.eventhub_name) == ("orders", "orders")
    assert await eventhub_producer.get_partition_ids() == ["0"]
    assert "orders" == (await eventhub_consumer.get_eventhub_properties())["eventhub_name"]
