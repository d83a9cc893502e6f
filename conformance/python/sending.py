"""Cases about sending."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.exceptions import EventDataSendError
from harness import Scene, case, equal, true

# Where the service was recorded to put keys in a hub of two partitions.
RECORDED_KEYS = {"test_partition_a": "0", "test_partition_b": "0", "test_partition_c": "0",
                 "test_partition_d": "1", "test_partition_e": "1", "test_partition_f": "1"}

MESSAGE_BYTES_MAX = 1048576
DATA_SECTION_BYTES = 8  # what a message with nothing but a data section has around its body


@case("send-event")
async def send_event(s: Scene) -> None:
    began = datetime.now(timezone.utc)
    async with s.producer() as producer:
        await producer.send_event(EventData("hello"))
    async with s.reader() as reader:
        [event] = await reader.take(1)
    equal("body", event.body_as_str(), "hello")
    equal("sequence number", event.sequence_number, 0)
    equal("offset", event.offset, "0")
    equal("partition key", event.partition_key, None)
    equal("properties", event.properties, {})
    true(began - timedelta(seconds=1) <= event.enqueued_time <= datetime.now(timezone.utc), f"enqueued at {event.enqueued_time}")


@case("send-batch")
async def send_batch(s: Scene) -> None:
    bodies = [f"event {i}" for i in range(20)]
    async with s.producer() as producer:
        batch = await producer.create_batch()
        for body in bodies:
            batch.add(EventData(body))
        await producer.send_batch(batch)
    async with s.reader() as reader:
        events = await reader.take(20)
        equal("partitions", len(set(reader.partitions)), 1)
    equal("bodies", [event.body_as_str() for event in events], bodies)
    equal("sequence numbers", [event.sequence_number for event in events], list(range(20)))
    offsets = [int(event.offset) for event in events]
    true(offsets == sorted(set(offsets)), f"offsets are {offsets}")
    equal("enqueued times", len({event.enqueued_time for event in events}), 1)


@case("send-to-partition")
async def send_to_partition(s: Scene) -> None:
    async with s.producer() as producer:
        for partition in s.partitions:
            await producer.send_event(EventData(f"single {partition}"), partition_id=partition)
            await producer.send_batch([EventData(f"list {partition}")], partition_id=partition)
            batch = await producer.create_batch(partition_id=partition)
            batch.add(EventData(f"batch {partition}"))
            await producer.send_batch(batch)
    async with s.reader() as reader:
        await reader.take(3 * len(s.partitions))
        for partition in s.partitions:
            bodies = [event.body_as_str() for event in reader.of(partition)]
            equal(f"partition {partition}", bodies, [f"{kind} {partition}" for kind in ("single", "list", "batch")])


@case("send-with-key")
async def send_with_key(s: Scene) -> None:
    async with s.producer() as producer:
        for key in RECORDED_KEYS:
            await producer.send_event(EventData(key), partition_key=key)
            await producer.send_batch([EventData(key), EventData(key)], partition_key=key)
            batch = await producer.create_batch(partition_key=key)
            batch.add(EventData(key))
            await producer.send_batch(batch)
    async with s.reader() as reader:
        events = await reader.take(4 * len(RECORDED_KEYS))
        placed = {(event.body_as_str(), partition) for event, partition in zip(events, reader.partitions)}
    equal("placement", placed, set(RECORDED_KEYS.items()))
    equal("keys", [event.partition_key for event in events], [event.body_as_str().encode() for event in events])


@case("send-keyless-alternates")
async def send_keyless_alternates(s: Scene) -> None:
    sent = [f"event {i}" for i in range(8)]
    async with s.producer() as producer:
        for i, body in enumerate(sent):
            if i < 4:
                await producer.send_event(EventData(body))
            else:
                await producer.send_batch([EventData(body)])
    async with s.reader() as reader:
        await reader.take(len(sent))
        arrived = [[event.body_as_str() for event in reader.of(partition)] for partition in s.partitions]
    equal("partitions", sorted(arrived), [sent[0::2], sent[1::2]])


@case("send-many-in-order")
async def send_many_in_order(s: Scene) -> None:
    bodies = [str(i) for i in range(500)]
    await s.send(bodies)
    async with s.reader("0") as reader:
        events = await reader.take(len(bodies))
        equal("bodies", reader.bodies, bodies)
    equal("sequence numbers", [event.sequence_number for event in events], list(range(len(bodies))))


@case("send-two-producers")
async def send_two_producers(s: Scene) -> None:
    sent = {name: [f"{name} {i}" for i in range(150)] for name in ("a", "b")}

    async def produce(bodies: list[str]) -> None:
        async with s.producer() as producer:
            for i, body in enumerate(bodies):
                await producer.send_event(EventData(body), partition_id=s.partitions[i % 2])

    async def consume(group: str) -> None:
        async with s.reader(group=group, batches=True) as reader:
            await reader.take(300)
            equal("events", Counter(reader.bodies), Counter(sent["a"] + sent["b"]))
            for name, bodies in sent.items():
                for i, partition in enumerate(s.partitions):
                    arrived = [event.body_as_str() for event in reader.of(partition) if event.body_as_str().startswith(name)]
                    equal(f"events of {name} in partition {partition}", arrived, bodies[i::2])

    await asyncio.gather(consume("$Default"), consume("cg1"), produce(sent["a"]), produce(sent["b"]))


@case("send-many-producers")
async def send_many_producers(s: Scene) -> None:
    async def produce(number: int) -> None:
        async with s.producer() as producer:
            for i in range(10):
                await producer.send_event(EventData(f"{number} {i}"))

    await asyncio.gather(*(produce(number) for number in range(32)))
    async with s.reader(batches=True) as reader:
        await reader.take(320)
        equal("events", Counter(reader.bodies), Counter(f"{number} {i}" for number in range(32) for i in range(10)))


@case("send-buffered")
async def send_buffered(s: Scene) -> None:
    succeeded: list[Any] = []
    failed: list[Any] = []
    producer = s.producer(
        buffered_mode=True, max_wait_time=0.2,
        on_success=s.sdk.callback(lambda events, _: succeeded.extend(events)),
        on_error=s.sdk.callback(lambda events, _, error: failed.append(error)))
    async with producer:
        for i in range(200):
            await producer.send_event(EventData(f"free {i}"))
        await producer.flush()
        for i in range(100):
            await producer.send_event(EventData(f"keyed {i}"), partition_key="key")
        async with s.reader(batches=True) as reader:
            await reader.take(300)  # the keyed ones go when the wait is over
    equal("errors", failed, [])
    equal("reported", len(succeeded), 300)
    equal("events", Counter(reader.bodies), Counter([f"free {i}" for i in range(200)] + [f"keyed {i}" for i in range(100)]))
    keyed = [(event, partition) for event, partition in zip(reader.events, reader.partitions) if event.partition_key]
    equal("keyed", [event.body_as_str() for event, _ in keyed], [f"keyed {i}" for i in range(100)])
    equal("partitions of the key", len({partition for _, partition in keyed}), 1)


@case("size-at-limit")
async def size_at_limit(s: Scene) -> None:
    body = bytes(range(256)) * 4096
    body = body[: MESSAGE_BYTES_MAX - DATA_SECTION_BYTES]
    async with s.producer() as producer:
        await producer.send_event(EventData(body))
    async with s.reader("0") as reader:
        [event] = await reader.take(1)
        true(b"".join(event.body) == body, "the body came back changed")


@case("size-above-limit")
async def size_above_limit(s: Scene) -> None:
    async with s.producer(retry_total=0) as producer:
        await producer.send_event(EventData("before"))
        try:
            await producer.send_event(EventData(b"x" * (MESSAGE_BYTES_MAX - DATA_SECTION_BYTES + 1)))
        except EventDataSendError as error:
            s.is_answer(error)
        else:
            raise AssertionError("it was accepted")
        await producer.send_event(EventData("after"))
    async with s.reader("0") as reader:
        await reader.take(2)
        equal("bodies", reader.bodies, ["before", "after"])


@case("size-full-batch")
async def size_full_batch(s: Scene) -> None:
    async with s.producer() as producer:
        batch = await producer.create_batch()
        equal("limit", batch.max_size_in_bytes, MESSAGE_BYTES_MAX)
        count = fill(batch)
        await producer.send_batch(batch)
    async with s.reader("0") as reader:
        events = await reader.take(count)
    equal("numbers", [event.properties[b"number"] for event in events], list(range(count)))


def fill(batch: Any) -> int:
    """Adds events until the SDK refuses more; gives how many."""
    while True:
        event = EventData(b"x" * 2000)
        event.properties = {"number": len(batch)}
        try:
            batch.add(event)
        except ValueError:
            return len(batch)
