"""Cases about the properties of hubs and partitions."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from harness import Scene, case, equal, true


@case("hub-properties")
async def hub_properties(s: Scene) -> None:
    for client in (s.producer(), s.consumer()):
        async with client:
            properties = await client.get_eventhub_properties()
            equal("name", properties["eventhub_name"], s.hub)
            equal("partition ids", properties["partition_ids"], s.partitions)
            age = datetime.now(timezone.utc) - properties["created_at"]
            true(timedelta() <= age < timedelta(hours=1), f"created at {properties['created_at']}")
            equal("partition ids alone", await client.get_partition_ids(), s.partitions)


@case("partition-properties-empty")
async def partition_properties_empty(s: Scene) -> None:
    for client in (s.producer(), s.consumer()):
        async with client:
            for partition in s.partitions:
                is_empty(s, partition, await client.get_partition_properties(partition))


def is_empty(s: Scene, partition: str, properties: dict[str, Any]) -> None:
    equal(f"partition {partition}", properties, {
        "eventhub_name": s.hub, "id": partition, "beginning_sequence_number": -1, "last_enqueued_sequence_number": -1,
        "last_enqueued_offset": "-1", "is_empty": True, "last_enqueued_time_utc": datetime.min.replace(tzinfo=timezone.utc),
    })


@case("partition-properties")
async def partition_properties(s: Scene) -> None:
    await s.send(["first", "second", "third"], "1")
    async with s.reader("1") as reader:
        last = (await reader.take(3))[2]
    for client in (s.producer(), s.consumer()):
        async with client:
            equal("partition 1", await client.get_partition_properties("1"), {
                "eventhub_name": s.hub, "id": "1", "beginning_sequence_number": 0, "last_enqueued_sequence_number": 2,
                "last_enqueued_offset": last.offset, "is_empty": False, "last_enqueued_time_utc": last.enqueued_time,
            })
            is_empty(s, "0", await client.get_partition_properties("0"))
