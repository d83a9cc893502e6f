"""Cases about receiving."""

from __future__ import annotations

import asyncio

from azure.eventhub import CloseReason, EventData
from harness import Scene, case, equal, true


@case("receive-all-partitions")
async def receive_all_partitions(s: Scene) -> None:
    for partition in s.partitions:
        await s.send([f"{partition} {i}" for i in range(10)], partition)
    async with s.reader() as reader:
        await reader.take(10 * len(s.partitions))
        for partition in s.partitions:
            await s.send([f"{partition} live"], partition)
        await reader.take(11 * len(s.partitions))
        for partition in s.partitions:
            want = [*(f"{partition} {i}" for i in range(10)), f"{partition} live"]
            equal(f"partition {partition}", [event.body_as_str() for event in reader.of(partition)], want)


@case("receive-in-batches")
async def receive_in_batches(s: Scene) -> None:
    await s.send([str(i) for i in range(25)])
    async with s.reader("0", batches=True, max_batch_size=10, max_wait_time=0.5) as reader:
        await reader.take(25)
        await reader.until(lambda: reader.batches[-1] == 0, "wait without events")
        await s.send(["live"])
        await reader.take(26)
        equal("bodies", reader.bodies, [*map(str, range(25)), "live"])
        true(max(reader.batches) <= 10, f"the batches have {reader.batches} events")


@case("receive-backlog")
async def receive_backlog(s: Scene) -> None:
    bodies = [f"event {i} {'x' * 100}" for i in range(5000)]
    async with s.producer() as producer:
        for start in range(0, len(bodies), 500):
            await producer.send_batch([EventData(body) for body in bodies[start : start + 500]], partition_id="0")
    async with s.reader("0") as reader:
        events = await reader.take(len(bodies))
        equal("sequence numbers", [event.sequence_number for event in events], list(range(len(bodies))))
        equal("bodies", reader.bodies, bodies)


@case("receive-without-checkpoints")
async def receive_without_checkpoints(s: Scene) -> None:
    for partition in s.partitions:
        await s.send([f"{partition} {i}" for i in range(5)], partition)
    for _ in range(2):
        async with s.reader() as reader:
            await reader.take(10)
            for partition in s.partitions:
                bodies = [event.body_as_str() for event in reader.of(partition)]
                equal(f"partition {partition}", bodies, [f"{partition} {i}" for i in range(5)])


@case("receive-closed-by-client")
async def receive_closed_by_client(s: Scene) -> None:
    stop = asyncio.Event()

    async def produce() -> None:
        async with s.producer() as producer:
            while not stop.is_set():
                await producer.send_batch([EventData("event")] * 10, partition_id="0")
                await asyncio.sleep(0.01)

    producing = asyncio.ensure_future(produce())
    try:
        async with s.readers(5, "0") as readers:
            for reader in readers:
                await reader.take(10)
        for reader in readers:
            equal("errors", reader.errors, [])
            equal("closed", reader.closed, [("0", CloseReason.SHUTDOWN)])
        async with s.readers(5, "0") as readers:
            for reader in readers:
                await reader.take(10)
    finally:
        stop.set()
        await producing


@case("last-enqueued")
async def last_enqueued(s: Scene) -> None:
    await s.send(["first", "second", "third"])
    async with s.reader("0", track_last_enqueued_event_properties=True) as reader:
        events = await reader.take(3)
        last = reader.contexts[-1].last_enqueued_event_properties
        equal("number", last["sequence_number"], 2)
        equal("offset", last["offset"], events[2].offset)
        equal("time", last["enqueued_time"], events[2].enqueued_time)
        true(last["retrieval_time"] >= last["enqueued_time"], f"retrieved at {last['retrieval_time']}")
        await s.send(["fourth"])
        events = await reader.take(4)
        last = reader.contexts[-1].last_enqueued_event_properties
        equal("number", last["sequence_number"], 3)
        equal("offset", last["offset"], events[3].offset)
    async with s.reader("0") as reader:
        await reader.take(4)
        equal("without asking", reader.contexts[-1].last_enqueued_event_properties, None)


@case("two-groups")
async def two_groups(s: Scene) -> None:
    sent = [str(i) for i in range(10)]
    await s.send(sent)
    async with (
        s.reader("0", group="cg1", owner_level=1) as one,
        s.reader("0", group="cg2", owner_level=2) as two,
        s.reader("0", group="$default") as default,
    ):
        for reader in (one, two, default):
            await reader.take(10)
        await s.send(["live"])
        for reader in (one, two, default):
            await reader.take(11)
            equal("bodies", reader.bodies, [*sent, "live"])


@case("five-readers-and-sixth")
async def five_readers_and_sixth(s: Scene) -> None:
    for partition in s.partitions:
        await s.send(["before"], partition)
    async with s.readers(5, "0") as readers:
        for reader in readers:
            await reader.take(1)
        async with s.reader("0", client={"retry_total": 0}) as sixth:
            s.is_answer(await sixth.refusal())
            equal("bodies", sixth.bodies, [])
        async with s.reader("1") as elsewhere:
            await elsewhere.take(1)
        async with s.reader("0", group="cg1") as other_group:
            await other_group.take(1)
        await s.send(["after"])
        for reader in readers:
            await reader.take(2)
            equal("bodies", reader.bodies, ["before", "after"])
