"""What a case stands on: its hub, its clients, and the words to assert with."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.exceptions import AuthenticationError, EventHubError
from path import Path
from sdk import SECONDS_MAX, Reader, Sdk
from space import Space

EARLIEST = "-1"
LATEST = "@latest"

CASES: dict[str, Callable[["Scene"], Awaitable[None]]] = {}


class NotApplicable(Exception):
    """The SDK cannot do what the case is about; says why."""


def case(id: str) -> Callable:
    """Names the case of the list that a function is."""

    def add(function: Callable[["Scene"], Awaitable[None]]) -> Callable:
        if id in CASES:
            raise ValueError(f"two functions for case {id}")
        CASES[id] = function
        return function

    return add


class Scene:
    """One case in one variant: a hub of its own, and clients for it."""

    def __init__(self, sdk: Sdk, plan: dict, case: dict):
        self.sdk = sdk
        self.id: str = case["id"]
        self.hub: str = case["hub"]
        self.partitions: list[str] = case["partitions"]
        self.groups: list[str] = case["groups"]
        self.credentials: dict[str, str] = case["credentials"]
        self.connection: str = plan["connectionString"]
        self.idle_timeout_seconds: int = plan["idleTimeoutSeconds"]  # as the broker tells it; it waits twice as long
        self.answer: dict = case["answer"]
        self._admin: str = plan["admin"]
        self._proxy: str = plan["proxy"]
        self._lasting: Any = None  # the producer client of send

    def producer(self, **options: Any) -> Any:
        """A producer client; async with closes it."""
        options = {"connection": self.connection, "hub": self.hub, **options}
        return self.sdk.producer(options.pop("connection"), options.pop("hub"), **options)

    def consumer(self, group: str = "$Default", **options: Any) -> Any:
        """A consumer client; async with closes it."""
        options = {"connection": self.connection, "hub": self.hub, **options}
        return self.sdk.consumer(options.pop("connection"), options.pop("hub"), group, **options)

    @asynccontextmanager
    async def reader(self, partition: str | None = None, position: Any = EARLIEST, *, group: str = "$Default", batches: bool = False,
                     client: dict | None = None, **options: Any) -> AsyncIterator[Reader]:
        """A reader with a consumer client of its own. position None leaves it to the SDK."""
        if position is not None:
            options["starting_position"] = position
        if partition is not None:
            options["partition_id"] = partition
        reader = Reader(self.sdk, self.consumer(group, **(client or {})), batches, **options)
        try:
            yield reader
        finally:
            await reader.close()

    @asynccontextmanager
    async def readers(self, count: int, *args: Any, **keywords: Any) -> AsyncIterator[list[Reader]]:
        """Several readers, each with a client of its own, that are closed all at once."""
        contexts = [self.reader(*args, **keywords) for _ in range(count)]
        opened = [await context.__aenter__() for context in contexts]
        try:
            yield opened
        finally:
            await asyncio.gather(*(context.__aexit__(None, None, None) for context in contexts))

    async def path(self) -> Path:
        """A way to the broker that the case can break."""
        return await Path.open(self._proxy, self.connection)

    @asynccontextmanager
    async def space(self) -> AsyncIterator[Space]:
        """Makes the case's hub in a space of its own, where all that the case does takes place from now on."""
        space = await Space.open(self._admin, self.hub, len(self.partitions), self.groups)
        self.connection = space.connection
        verify = False
        try:
            yield space
            await self.end()
            verify = True
        finally:
            await space.delete(verify)

    async def send(self, bodies: list[str], partition: str = "0") -> None:
        """Sends events one by one."""
        for body in bodies:
            await self._sender().send_event(EventData(body), partition_id=partition)

    async def send_apart(self, bodies: list[str], partition: str = "0") -> None:
        """Sends events one by one, no two in the same millisecond."""
        for body in bodies:
            await self.send([body], partition)
            sent = milliseconds()
            while milliseconds() <= sent:
                await asyncio.sleep(0.0005)

    async def probe(self, reader: Reader, partition: str = "0") -> int:
        """Sends probe 0, 1, 2 .. until the reader gets one, since no SDK tells when a receiver at the end is attached. Gives its number."""
        deadline, number = time.monotonic() + SECONDS_MAX, 0
        while not reader.events:
            equal("errors", reader.errors, [])
            true(time.monotonic() < deadline, f"none of {number} probes arrived")
            await self.send([f"probe {number}"], partition)
            number += 1
            await asyncio.sleep(0.02)
        true(reader.bodies[0].startswith("probe "), f"the first event is {reader.bodies[0]!r}")
        return int(reader.bodies[0].removeprefix("probe "))

    def _sender(self) -> Any:
        if self._lasting is None:
            self._lasting = self.producer()
        return self._lasting

    async def end(self) -> None:
        if self._lasting is not None:
            await self._lasting.close()

    async def refused(self, attempt: Awaitable[Any]) -> None:
        """Sees that what is awaited fails with the case's answer."""
        with token_conditions() as conditions:
            self.is_answer(await failure(attempt), conditions)

    def is_answer(self, error: Exception, conditions: list[str] | None = None) -> None:
        """Compares an error with the case's answer, as far as the SDK shows that: a refused link with condition and text; a refused request
        to $management with its status; a refused token not at all (once the answer has a condition, as the service's has, the SDK drops
        status and text), but for the condition in its log."""
        text = str(error)
        true(isinstance(error, EventHubError), f"{error!r} is no EventHubError")
        if isinstance(error, AuthenticationError):
            true(text.startswith("CBS Token authentication failed."), f"the text is {text!r}")
            if conditions is not None:
                equal("condition of the token", set(conditions), {self.answer["condition"]})
        elif "Management request error" in text:
            true("Status code: 400," in text, f"the text is {text!r}")
        else:
            true(re.search(self.answer["text"], text), f"the text is {text!r}")
            equal("condition", error.error, self.answer["condition"].partition(":")[2])  # the SDK leaves the prefix out


_conditions: ContextVar[list[str] | None] = ContextVar("conditions", default=None)


@contextmanager
def token_conditions() -> Iterator[list[str]]:
    """The conditions with which $cbs refuses tokens in this context, from the SDK's log."""
    found: list[str] = []
    token = _conditions.set(found)
    try:
        yield found
    finally:
        _conditions.reset(token)


class TokenConditions(logging.Handler):
    """Takes them out of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        found = _conditions.get()
        if found is not None and str(record.msg).startswith("CBS Put token error"):
            found.append(record.args[0].decode())


def watch_token_conditions() -> None:
    """Must be called once."""
    for name in ("azure.eventhub._pyamqp.cbs", "azure.eventhub._pyamqp.aio._cbs_async"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(TokenConditions())


async def failure(attempt: Awaitable[Any]) -> Exception:
    """The error that what is awaited fails with."""
    try:
        result = await attempt
    except Exception as error:
        return error
    raise AssertionError(f"it was not refused but gave {result!r}")


def equal(what: str, got: Any, want: Any) -> None:
    if got != want:
        raise AssertionError(f"{what} = {brief(got)}, want {brief(want)}")


def true(condition: Any, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


def milliseconds() -> int:
    return int(time.time() * 1000)


def brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 600 else f"{text[:400]} .. {text[-150:]}"
