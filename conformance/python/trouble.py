"""Cases about readers that stop, and about connections that break or fall silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from azure.eventhub import EventData
from harness import EARLIEST, Scene, case, equal, true
from path import Path
from sdk import SECONDS_MAX, Reader

PAUSE_SECONDS = 0.02  # between two sends


@case("receive-stopped-readers")
async def receive_stopped_readers(s: Scene) -> None:
    path = await s.path()
    async with s.reader("0") as busy, s.reader("0", client={"connection": path.connection}) as deaf, s.reader("0") as free:
        await s.send(["first"])
        for reader in (busy, deaf, free):
            await reader.take(1)
        busy.hold()
        await path.stall("broker")
        await send_large(s, 300)
        await free.take(301)
        true(len(busy.events) < 301 and len(deaf.events) < 301, "the stopped readers did not stop")
        busy.let_go()
        await path.resume()
        for reader in (busy, deaf):
            await reader.take(301)
            equal("sequence numbers", reader.numbers, list(range(301)))
            true(reader.bodies == free.bodies, "the bodies differ")


async def send_large(s: Scene, count: int) -> None:
    async with s.producer() as producer:
        for _ in range(0, count, 15):
            await producer.send_batch([EventData(chr(65 + i) * 60_000) for i in range(15)], partition_id="0")


@case("recover-outage")
async def recover_outage(s: Scene) -> None:
    path = await s.path()
    client = quick(path)
    async with (
        persistent(s, path, None) as shared,
        persistent(s, path, "0", group="cg1", owner_level=1) as exclusive,
        s.producer(**client) as producer,
    ):
        single, buffered = Single(producer), Buffered(s, client)
        await shared.until(lambda: all(len(shared.of(partition)) >= 10 for partition in s.partitions), "events before the outage")
        await exclusive.take(10)
        before = await path.ends()

        await path.cut()
        await asyncio.sleep(2)  # so long it lasts
        await path.mend()

        await single.stop_after(20)
        await buffered.stop_after(20)
        equal("connections", (await path.ends())[: len(before)], [end or "cut" for end in before])
        for reader, partition, sender in ((shared, "0", single), (shared, "1", buffered), (exclusive, "0", single)):
            await arrived(reader, partition, sender.acknowledged)
        properties = await producer.get_partition_properties("0")
        equal("last number", properties["last_enqueued_sequence_number"], exclusive.events[-1].sequence_number)


async def arrived(reader: Reader, partition: str, acknowledged: list[str]) -> None:
    """Sees that all that was acknowledged arrived. An event whose answer was lost may have been sent again."""

    def bodies() -> list[str]:
        return [event.body_as_str() for event in reader.of(partition)]

    await reader.until(lambda: acknowledged[-1] in bodies(), "last event", errors=True)
    equal("sequence numbers", [event.sequence_number for event in reader.of(partition)], list(range(len(bodies()))))
    equal("first arrivals", list(dict.fromkeys(bodies())), acknowledged)


@case("recover-idle")
async def recover_idle(s: Scene) -> None:
    """A reader of the SDK beats. A producer does not between two sends, so that the broker closes its connection."""
    beating, silent, idle = [await s.path() for _ in range(3)]
    async with persistent(s, beating, "0") as steady, persistent(s, silent, "0") as muted, s.producer(**quick(idle)) as producer:
        await producer.send_event(EventData("before"), partition_id="0")
        for reader in (steady, muted):
            await reader.take(1)
        opened = await beating.ends()
        hushed = await silent.stall("client")
        # The beating connections carried their last event before the others fell silent, so they pass the time-out sooner.
        seconds = 2 * s.idle_timeout_seconds + 10
        await silent.until(lambda ends: all(ends[: len(hushed)]), "end of the silent connections", seconds)
        await idle.until(all, "end of the idle connections", seconds)
        equal("the beating connections", await beating.ends(), opened)
        await producer.send_event(EventData("after"), partition_id="0")
        for reader in (steady, muted):
            await reader.until(lambda: len(reader.events) >= 2, "event after", errors=True)
            equal("bodies", reader.bodies, ["before", "after"])
        equal("the beating connections", await beating.ends(), opened)


def quick(path: Path) -> dict[str, Any]:
    """Options of a client that comes back soon."""
    return {"connection": path.connection, "retry_total": 100, "retry_mode": "fixed", "retry_backoff_factor": 0.2}


def persistent(s: Scene, path: Path, partition: str | None, **options: Any) -> AbstractAsyncContextManager[Reader]:
    """A reader that the SDK starts again after an error, as it does without pausing between tries. Without a checkpoint store it starts
    where it was told to: from a map, which the reader keeps up to date."""
    client = {"connection": path.connection, "load_balancing_interval": 0.5}
    return s.reader(partition, {p: EARLIEST for p in s.partitions}, client=client, **options)


class Sender:
    """Goes on sending until it is stopped."""

    def __init__(self, name: str, send: Callable[[str], Awaitable[None]]):
        self.acknowledged: list[str] = []
        self._name, self._send = name, send
        self._sent = 0
        self._stop = False
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while not self._stop:
            await self._send(f"{self._name} {self._sent}")
            self._sent += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def stop_after(self, more: int) -> None:
        """Stops when so many more were acknowledged, and waits until all are."""
        enough = len(self.acknowledged) + more
        await self._reached(lambda: enough)
        self._stop = True
        await self._running
        await self._reached(lambda: self._sent)

    async def _reached(self, count: Callable[[], int]) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while len(self.acknowledged) < count():
            if self._running.done():
                self._running.result()  # raises what ended it
            true(time.monotonic() < deadline, f"{len(self.acknowledged)} of {self._sent} events were acknowledged")
            await asyncio.sleep(PAUSE_SECONDS)


class Single(Sender):
    """Sends one event after the other to partition 0."""

    def __init__(self, producer: Any):
        async def send(body: str) -> None:
            await producer.send_event(EventData(body), partition_id="0")
            self.acknowledged.append(body)

        super().__init__("single", send)


class Buffered(Sender):
    """Leaves event after event to a buffered producer, for partition 1."""

    def __init__(self, s: Scene, client: dict[str, Any]):
        failed: list[Any] = []
        self._producer = s.producer(
            **client, buffered_mode=True, max_wait_time=0.1,
            on_success=s.sdk.callback(lambda events, _: self.acknowledged.extend(event.body_as_str() for event in events)),
            on_error=s.sdk.callback(lambda events, _, error: failed.append(error)))

        async def send(body: str) -> None:
            await self._producer.send_event(EventData(body), partition_id="1")
            equal("errors", failed, [])

        super().__init__("buffered", send)

    async def stop_after(self, more: int) -> None:
        async with self._producer:
            await super().stop_after(more)
