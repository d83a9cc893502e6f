"""Cases about what the broker must refuse, and how."""

from __future__ import annotations

from typing import Any

from azure.eventhub import EventData
from azure.eventhub.exceptions import ConnectError
from harness import Scene, case, equal

ONCE: dict[str, Any] = {"retry_total": 0}


@case("unknown-hub")
async def unknown_hub(s: Scene) -> None:
    await everything_is_refused(s, hub=s.hub + "-missing")


@case("wrong-key")
async def wrong_key(s: Scene) -> None:
    await everything_is_refused(s, connection=s.credentials["app"])


@case("unknown-policy")
async def unknown_policy(s: Scene) -> None:
    await everything_is_refused(s, connection=s.credentials["stranger"])


@case("expired-token")
async def expired_token(s: Scene) -> None:
    await everything_is_refused(s, connection=s.credentials["app"])


async def everything_is_refused(s: Scene, **client: Any) -> None:
    async with s.producer(**client, **ONCE) as producer:
        await s.refused(producer.send_event(EventData("event")))
        await s.refused(producer.send_batch([EventData("event")]))
        await s.refused(producer.get_eventhub_properties())
    async with s.consumer(**client, **ONCE) as consumer:
        await s.refused(consumer.get_partition_properties("0"))
    async with s.reader("0", client={**client, **ONCE}) as reader:
        s.is_answer(await reader.refusal())


@case("unknown-group")
async def unknown_group(s: Scene) -> None:
    await s.send(["event"])
    async with s.reader("0", group="missing", client=ONCE) as reader:
        s.is_answer(await reader.refusal())
        equal("bodies", reader.bodies, [])


@case("unknown-partition")
async def unknown_partition(s: Scene) -> None:
    for partition in (str(len(s.partitions)), "-1", "XYZ"):
        async with s.producer(**ONCE) as producer:
            await s.refused(producer.get_partition_properties(partition))
            await refused_by_sdk(producer.send_event(EventData("event"), partition_id=partition), ConnectError)
        async with s.reader(partition, client=ONCE) as reader:
            equal("error", type(await reader.error()), ValueError)  # the SDK compares with the hub's partitions and never asks


async def refused_by_sdk(attempt: Any, error: type[Exception]) -> None:
    try:
        await attempt
    except error:
        return
    raise AssertionError("it was not refused")


@case("missing-send")
async def missing_send(s: Scene) -> None:
    listener = {"connection": s.credentials["listener"]}
    await s.send(["event"])
    async with s.reader("0", client=listener) as reader:
        await reader.take(1)
    async with s.producer(**listener, **ONCE) as producer:
        equal("partitions", await producer.get_partition_ids(), s.partitions)
        await s.refused(producer.send_event(EventData("event")))
        await s.refused(producer.send_event(EventData("event"), partition_id="0"))
        await s.refused(producer.send_batch([EventData("event")]))


@case("missing-listen")
async def missing_listen(s: Scene) -> None:
    sender = {"connection": s.credentials["sender"]}
    async with s.producer(**sender) as producer:
        await producer.send_event(EventData("event"), partition_id="0")
    async with s.reader("0", client={**sender, **ONCE}) as reader:
        s.is_answer(await reader.refusal())
        equal("bodies", reader.bodies, [])
