"""Cases about exclusive readers, which have an owner level."""

from __future__ import annotations

from harness import Scene, case, equal
from sdk import Reader


@case("exclusive-evicts-shared")
async def exclusive_evicts_shared(s: Scene) -> None:
    await s.send(["before"])
    async with s.reader("0") as one, s.reader("0") as two:
        await one.take(1)
        await two.take(1)
        async with s.reader("0", owner_level=1) as thief:
            await thief.take(1)
            s.is_answer(await one.error())
            s.is_answer(await two.error())
            await receives_on(s, thief)


@case("exclusive-stolen-by-higher")
async def exclusive_stolen_by_higher(s: Scene) -> None:
    await stolen(s, 1, 2)


@case("exclusive-stolen-by-equal")
async def exclusive_stolen_by_equal(s: Scene) -> None:
    await stolen(s, 0, 0)


async def stolen(s: Scene, old: int, new: int) -> None:
    await s.send(["before"])
    async with s.reader("0", owner_level=old) as victim:
        await victim.take(1)
        async with s.reader("0", owner_level=new) as thief:
            await thief.take(1)
            s.is_answer(await victim.error())
            await receives_on(s, thief)
        equal("the victim's events", victim.bodies, ["before"])


@case("exclusive-refuses-lower")
async def exclusive_refuses_lower(s: Scene) -> None:
    await refused(s, 2, 1)


@case("exclusive-refuses-shared")
async def exclusive_refuses_shared(s: Scene) -> None:
    await refused(s, 0, None)
    async with s.reader("0") as later:
        await later.take(2)


async def refused(s: Scene, owner: int, level: int | None) -> None:
    await s.send(["before"])
    async with s.reader("0", owner_level=owner) as reader:
        await reader.take(1)
        async with s.reader("0", owner_level=level, client={"retry_total": 0}) as newcomer:
            s.is_answer(await newcomer.refusal())
            equal("the newcomer's events", newcomer.bodies, [])
        await receives_on(s, reader)


async def receives_on(s: Scene, reader: Reader) -> None:
    await s.send(["after"])
    await reader.take(2)
    equal("bodies", reader.bodies, ["before", "after"])
