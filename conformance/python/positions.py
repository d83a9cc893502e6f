"""Cases about where a receiver starts."""

from __future__ import annotations

from typing import Any

from harness import EARLIEST, LATEST, Scene, case, equal, true

SENT = ["first", "second", "third"]  # starts are given by the second


@case("position-default")
async def position_default(s: Scene) -> None:
    await starts_at_the_end(s, None)


@case("position-latest")
async def position_latest(s: Scene) -> None:
    await starts_at_the_end(s, LATEST)


async def starts_at_the_end(s: Scene, position: str | None) -> None:
    await s.send(SENT)
    async with s.reader("0", position) as reader:
        first = await s.probe(reader)
        await s.send(["last"])
        await reader.until(lambda: "last" in reader.bodies, "last event")
        probes = len(reader.bodies) - 1
        equal("bodies", reader.bodies, [f"probe {first + i}" for i in range(probes)] + ["last"])


@case("position-earliest")
async def position_earliest(s: Scene) -> None:
    await starts(s, lambda _: EARLIEST, False, SENT)


@case("position-earliest-inclusive")
async def position_earliest_inclusive(s: Scene) -> None:
    await starts(s, lambda _: EARLIEST, True, SENT)


@case("position-latest-inclusive")
async def position_latest_inclusive(s: Scene) -> None:
    await starts(s, lambda _: LATEST, True, SENT[2:])


@case("position-offset")
async def position_offset(s: Scene) -> None:
    await starts(s, lambda event: event.offset, False, SENT[2:])


@case("position-offset-inclusive")
async def position_offset_inclusive(s: Scene) -> None:
    await starts(s, lambda event: event.offset, True, SENT[1:])


@case("position-sequence")
async def position_sequence(s: Scene) -> None:
    await starts(s, lambda event: event.sequence_number, False, SENT[2:])


@case("position-sequence-inclusive")
async def position_sequence_inclusive(s: Scene) -> None:
    await starts(s, lambda event: event.sequence_number, True, SENT[1:])


@case("position-time")
async def position_time(s: Scene) -> None:
    await starts(s, lambda event: event.enqueued_time, False, SENT[2:])


@case("position-time-inclusive")
async def position_time_inclusive(s: Scene) -> None:
    await starts(s, lambda event: event.enqueued_time, True, SENT[1:])


async def starts(s: Scene, position: Any, inclusive: bool, want: list[str]) -> None:
    """Starts a reader where position(second event) says, and sees that it gets want and then what is sent later."""
    await s.send_apart(SENT)
    async with s.reader("0") as reader:
        events = await reader.take(len(SENT))
    times = [event.enqueued_time for event in events]
    true(times[0] < times[1] < times[2], f"the events were stored at {times}")
    async with s.reader("0", position(events[1]), starting_position_inclusive=inclusive) as reader:
        await reader.take(len(want))
        await s.send(["later"])
        await reader.until(lambda: "later" in reader.bodies, "later event")
        equal("bodies", reader.bodies, [*want, "later"])


@case("position-per-partition")
async def position_per_partition(s: Scene) -> None:
    for partition in s.partitions:
        await s.send(SENT, partition)
    async with s.reader(position={"0": 1, "1": EARLIEST}, starting_position_inclusive={"0": True, "1": False}) as reader:
        await reader.take(5)
        equal("partition 0", [event.body_as_str() for event in reader.of("0")], SENT[1:])
        equal("partition 1", [event.body_as_str() for event in reader.of("1")], SENT)


@case("position-beyond-end")
async def position_beyond_end(s: Scene) -> None:
    await s.send(SENT)
    for position in ("1000000", 1000000):
        async with s.reader("0", position, client={"retry_total": 0}) as reader:
            s.is_answer(await reader.refusal())
            equal("bodies", reader.bodies, [])
