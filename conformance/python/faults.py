"""Cases about the faults of the test kit: what each does to the SDK. The first event always goes well, so that links are up."""

from __future__ import annotations

import time
from typing import Any

from azure.eventhub import CloseReason, EventData
from azure.eventhub.exceptions import EventDataSendError, OperationTimeoutError
from harness import EARLIEST, Scene, case, equal, failure, true

QUICK: dict[str, Any] = {"retry_total": 10, "retry_mode": "fixed", "retry_backoff_factor": 0.2, "load_balancing_interval": 0.5}


async def send(producer: Any, *bodies: str, **options: Any) -> None:
    for body in bodies:
        await producer.send_event(EventData(body), **options)


@case("fault-throttle")
async def throttle(s: Scene) -> None:
    async with s.space() as space:
        await space.fault("send", "throttle", after=1)
        async with s.producer(**QUICK) as producer:
            await send(producer, "before", "event")
        equal("stored", await space.stored(), ["before", "event"])


@case("fault-reject")
async def reject(s: Scene) -> None:
    async with s.space() as space:
        fault = await space.fault("send", "reject", after=1, times=-1, condition=s.answer["condition"], text="The store is full.")
        async with s.producer(**QUICK) as producer:
            await send(producer, "before")
            error = await failure(send(producer, "refused"))
            equal("error", type(error), EventDataSendError)
            s.is_answer(error)
            equal("hits", await fault.remove(), 2)  # whatever the error, the client tries once more
            await send(producer, "after")
        equal("stored", await space.stored(), ["before", "after"])


@case("fault-detach")
async def detach(s: Scene) -> None:
    await recovers(s, "detach", condition="amqp:link:detach-forced", text="The link is going away.")


@case("fault-close-connection")
async def close_connection(s: Scene) -> None:
    await recovers(s, "close-connection")


@case("fault-drop")
async def drop(s: Scene) -> None:
    await recovers(s, "drop")


@case("fault-expire-token")
async def expire_token(s: Scene) -> None:
    await recovers(s, "expire-token")


async def recovers(s: Scene, kind: str, **do: Any) -> None:
    """The fault meets a reader and then a producer, who go on by themselves."""
    async with s.space() as space, s.producer(**QUICK) as producer, s.reader("0", {"0": EARLIEST}, client=QUICK) as reader:
        await space.fault("send", kind, after=1, **do)
        delivery = await space.fault("deliver", kind, after=1, **do)
        await send(producer, "first")
        await reader.take(1)
        await space.publish("second")
        await delivery.fired()
        await send(producer, "third")
        await reader.until(lambda: len(reader.events) >= 3, "events", errors=True)
        equal("received", reader.bodies, ["first", "second", "third"])
        equal("stored", await space.stored(), ["first", "second", "third"])


@case("fault-ack-lost")
async def ack_lost(s: Scene) -> None:
    async with s.space() as space:
        await space.fault("send", "ack-lost", after=1)
        async with s.producer(**QUICK) as producer:
            await send(producer, "before", "event")
        equal("stored", await space.stored(), ["before", "event", "event"])


@case("fault-blackhole")
async def blackhole(s: Scene) -> None:
    async with s.space() as space:
        fault = await space.fault("send", "blackhole", after=1, times=-1)
        async with s.producer(retry_total=0) as producer:
            await send(producer, "before")
            began = time.monotonic()
            equal("error", type(await failure(send(producer, "lost", timeout=2))), OperationTimeoutError)
            lasted(began, 2)
            true(await fault.remove(), "the fault did not fire")
            await send(producer, "after")
        equal("stored", await space.stored(), ["before", "after"])


@case("fault-delay")
async def delay(s: Scene) -> None:
    async with s.space() as space:
        for op in ("send", "deliver"):
            await space.fault(op, "delay", after=1, duration="1s")
        async with s.producer(**QUICK) as producer, s.reader("0") as reader:
            await send(producer, "before")
            await reader.take(1)
            began = time.monotonic()
            await send(producer, "event")
            lasted(began, 1)
            await reader.take(2)
            lasted(began, 2)
            equal("received", reader.bodies, ["before", "event"])
        equal("stored", await space.stored(), ["before", "event"])


def lasted(began: float, seconds: float) -> None:
    true(time.monotonic() - began >= seconds, f"it took {time.monotonic() - began:.2f} s, less than {seconds}")


@case("fault-steal-epoch")
async def steal_epoch(s: Scene) -> None:
    async with s.space() as space:
        await space.fault("deliver", "steal-epoch", after=1, level=9)
        async with s.reader("0", owner_level=1) as reader:
            await space.publish("before")
            await reader.take(1)
            await space.publish("after")
            s.is_answer(await reader.error())
            await reader.until(lambda: reader.closed, "end of the reader", errors=True)
            equal("closed", reader.closed, [("0", CloseReason.OWNERSHIP_LOST)])
            equal("received", reader.bodies, ["before"])
        async with s.reader("0", owner_level=1) as heir:
            await heir.take(2)


@case("fault-redeliver")
async def redeliver(s: Scene) -> None:
    async with s.space() as space:
        await space.fault("deliver", "redeliver", after=2, back=2)
        await space.publish("a", "b", "c")
        async with s.reader("0") as reader:
            await reader.take(5)
            equal("received", reader.bodies, ["a", "b", "a", "b", "c"])
            equal("sequence numbers", reader.numbers, [0, 1, 0, 1, 2])
