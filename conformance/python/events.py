"""Cases about what an event carries."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

from azure.eventhub import EventData
from azure.eventhub._pyamqp.types import TYPE, VALUE, AMQPTypes
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from harness import Scene, case, equal

MOMENT = datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=timezone.utc)
MOMENT_MS = 1709210096789
IDENTITY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

# What is sent, and as what it is received: the SDK gives strings and symbols as bytes, and times as milliseconds. Its decimal128 is left
# out, for it cannot decode what it encodes.
PLAIN_PROPERTIES = {
    "string": ("text", b"text"),
    "string, empty": ("", b""),
    "string, beyond ASCII": ("ünïcödé 日本語 🚀", "ünïcödé 日本語 🚀".encode()),
    "string, long": ("x" * 1000, b"x" * 1000),
    "binary": (b"\x00\xff", b"\x00\xff"),
    "true": (True, True),
    "false": (False, False),
    "int, zero": (0, 0),
    "int, least": (-(2**31), -(2**31)),
    "int, greatest": (2**31 - 1, 2**31 - 1),
    "double": (3.25, 3.25),
    "double, great": (1e308, 1e308),
    "uuid": (IDENTITY, IDENTITY),
    "timestamp": (MOMENT, MOMENT_MS),
    "null": (None, None),
}
TYPED_PROPERTIES = {
    "ubyte": (AMQPTypes.ubyte, 255, 255),
    "ushort": (AMQPTypes.ushort, 65535, 65535),
    "uint": (AMQPTypes.uint, 2**32 - 1, 2**32 - 1),
    "uint, small": (AMQPTypes.uint, 7, 7),
    "ulong": (AMQPTypes.ulong, 2**64 - 1, 2**64 - 1),
    "byte": (AMQPTypes.byte, -128, -128),
    "short": (AMQPTypes.short, -32768, -32768),
    "long, least": (AMQPTypes.long, -(2**63), -(2**63)),
    "long, greatest": (AMQPTypes.long, 2**63 - 1, 2**63 - 1),
    "float": (AMQPTypes.float, 0.5, 0.5),
    "timestamp before 1970": (AMQPTypes.timestamp, -1, -1),
    "symbol": (AMQPTypes.symbol, "sym", b"sym"),
}

MESSAGE_PROPERTIES: dict[str, Any] = {
    "message_id": "id 1", "user_id": b"user", "to": "to", "subject": "subject", "reply_to": "reply", "correlation_id": "correlation",
    "content_type": "application/json", "content_encoding": "utf-8", "absolute_expiry_time": MOMENT_MS, "creation_time": MOMENT_MS - 1,
    "group_id": "group", "group_sequence": 7, "reply_to_group_id": "reply group",
}


def received(value: Any) -> Any:
    """A value as the SDK receives it."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {received(key): received(item) for key, item in value.items()}
    return [received(item) for item in value] if isinstance(value, list) else value


async def round_trip(s: Scene, *sent: Any) -> list[Any]:
    """Sends each event singly and all of them in a batch; gives what arrived in this order."""
    async with s.producer() as producer:
        for event in sent:
            await producer.send_event(event, partition_id="0")
        await producer.send_batch(list(sent), partition_id="0")
    async with s.reader("0") as reader:
        return await reader.take(2 * len(sent))


@case("property-types")
async def property_types(s: Scene) -> None:
    event = EventData("")
    event.properties = {name: value for name, (value, _) in PLAIN_PROPERTIES.items()}
    event.properties |= {name: {TYPE: kind, VALUE: value} for name, (kind, value, _) in TYPED_PROPERTIES.items()}
    want = {name.encode(): value[-1] for name, value in (PLAIN_PROPERTIES | TYPED_PROPERTIES).items()}
    for got in await round_trip(s, event):
        for name, value in want.items():
            equal(name.decode(), (type(got.properties.get(name)), got.properties.get(name)), (type(value), value))
        equal("names", list(got.properties), list(want))


@case("body-data")
async def body_data(s: Scene) -> None:
    bodies = [bytes(range(256)), "ünïcödé 日本語 🚀".encode(), b"", b"x" * 255, b"x" * 256]
    events = await round_trip(s, *(EventData(body) for body in bodies))
    equal("bodies", [list(event.body) for event in events], 2 * [[body] for body in bodies])


@case("body-several-data")
async def body_several_data(s: Scene) -> None:
    sections = [b"one", b"", b"three" * 100]
    events = await round_trip(s, EventData(sections), AmqpAnnotatedMessage(data_body=sections))
    equal("bodies", [list(event.body) for event in events], 4 * [sections])


@case("body-sequence")
async def body_sequence(s: Scene) -> None:
    bodies = [[["one", 2, None, True]], [[1, 2], ["three", 4.5], [b"six"]]]
    events = await round_trip(s, *(AmqpAnnotatedMessage(sequence_body=body) for body in bodies))
    equal("types", {event.body_type for event in events}, {AmqpMessageBodyType.SEQUENCE})
    equal("bodies", [list(event.body) for event in events], 2 * [received(body) for body in bodies])


@case("body-value")
async def body_value(s: Scene) -> None:
    bodies = ["text", 42, True, 2.5, b"bytes", {"key": "value", "nested": {"list": [1, "two", None]}}, ["a", ["b", [3]]]]
    events = await round_trip(s, *(AmqpAnnotatedMessage(value_body=body) for body in bodies))
    equal("types", {event.body_type for event in events}, {AmqpMessageBodyType.VALUE})
    equal("bodies", [event.body for event in events], 2 * [received(body) for body in bodies])


@case("annotated-message")
async def annotated_message(s: Scene) -> None:
    message = AmqpAnnotatedMessage(
        data_body=b"body",
        header={"durable": True, "priority": 10, "time_to_live": 60000, "first_acquirer": True, "delivery_count": 3},
        properties=MESSAGE_PROPERTIES,
        application_properties={"application": "property", "number": 1},
        annotations={"ann_key": "annotation", "ann_number": 2},
        delivery_annotations={"delivery": "annotation"},
        footer={"footer": "value", "number": 3},
    )
    for event in await round_trip(s, message):
        raw = event.raw_amqp_message
        equal("header", raw.header, None)
        got = {name: getattr(raw.properties, name) for name in MESSAGE_PROPERTIES}
        equal("properties", got, {name: received(value) for name, value in MESSAGE_PROPERTIES.items()})
        equal("application properties", raw.application_properties, {b"application": b"property", b"number": 1})
        own = {name: value for name, value in raw.annotations.items() if not name.startswith(b"x-opt-")}
        equal("annotations", own, {b"ann_key": b"annotation", b"ann_number": 2})
        equal("delivery annotations", raw.delivery_annotations, {b"delivery": b"annotation"})
        equal("footer", raw.footer, {b"footer": b"value", b"number": 3})
        equal("body", list(raw.body), [b"body"])
        equal("message id", event.message_id, "id 1")
        equal("content type", event.content_type, "application/json")
        equal("correlation id", event.correlation_id, "correlation")
