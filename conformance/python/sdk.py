"""The SDK's two faces, blocking and asyncio, behind one, so that each case is written once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from azure.eventhub import EventHubConsumerClient, EventHubProducerClient, aio
from azure.eventhub._transport._pyamqp_transport import PyamqpTransport

SECONDS_MAX = 30  # for anything that must happen


class Sdk:
    """Makes clients: those of azure.eventhub.aio, or those of azure.eventhub in threads."""

    def __init__(self, blocking: bool):
        self.blocking = blocking

    def producer(self, connection: str, hub: str, **options: Any) -> Any:
        if self.blocking:
            return InThreads(EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **options))
        return aio.EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **options)

    def consumer(self, connection: str, hub: str, group: str, **options: Any) -> Any:
        if self.blocking:
            return InThreads(EventHubConsumerClient.from_connection_string(connection, group, eventhub_name=hub, **options))
        return aio.EventHubConsumerClient.from_connection_string(connection, group, eventhub_name=hub, **options)

    def callback(self, function: Any, gate: threading.Event | asyncio.Event | None = None) -> Any:
        """A function of the loop as the SDK wants it: blocking clients call from their own threads, the others await. The call returns
        when the gate is open."""
        loop = asyncio.get_running_loop()

        def call(*args: Any) -> None:
            loop.call_soon_threadsafe(function, *args)
            if gate:
                gate.wait()

        async def call_async(*args: Any) -> None:
            function(*args)
            if gate:
                await gate.wait()

        return call if self.blocking else call_async

    def gate(self) -> threading.Event | asyncio.Event:
        """One for callback, open."""
        gate = threading.Event() if self.blocking else asyncio.Event()
        gate.set()
        return gate


class InThreads:
    """A blocking client whose methods are coroutines, each call in a thread."""

    def __init__(self, client: Any):
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(*args: Any, **keywords: Any) -> Any:
            return await asyncio.to_thread(method, *args, **keywords)

        return call

    async def __aenter__(self) -> InThreads:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Reader:
    """One receive call of a consumer client in the background, and all that came of it so far."""

    def __init__(self, sdk: Sdk, client: Any, batches: bool, **options: Any):
        self.events: list[Any] = []
        self.partitions: list[str] = []  # of events, one for one
        self.contexts: list[Any] = []  # likewise
        self.batches: list[int] = []  # sizes of what on_event was called with; 0 is a wait that ended without events
        self.errors: list[Exception] = []
        self.closed: list[tuple[str, Any]] = []  # partitions that are no longer read, and why
        self._changed = asyncio.Event()
        self._gate = sdk.gate()
        self._positions = options["starting_position"] if isinstance(options.get("starting_position"), dict) else {}
        receive = client.receive_batch if batches else client.receive
        call = receive(
            sdk.callback(self._arrived, self._gate),
            on_error=sdk.callback(self._failed),
            on_partition_close=sdk.callback(self._ended),
            **options,
        )
        self._client, self._blocking = client, sdk.blocking
        self._receiving = asyncio.ensure_future(call)
        self._receiving.add_done_callback(lambda _: self._changed.set())

    def _arrived(self, context: Any, arrived: Any) -> None:
        events = arrived if isinstance(arrived, list) else [arrived] if arrived else []
        self.events += events
        self.partitions += [context.partition_id] * len(events)
        self.contexts += [context] * len(events)
        self.batches.append(len(events))
        if events:
            self._positions[context.partition_id] = events[-1].offset
        self._changed.set()

    def _failed(self, _: Any, error: Exception) -> None:
        self.errors.append(error)
        self._changed.set()

    def _ended(self, context: Any, reason: Any) -> None:
        self.closed.append((context.partition_id, reason))
        self._changed.set()

    @property
    def bodies(self) -> list[str]:
        return [event.body_as_str() for event in self.events]

    def of(self, partition: str) -> list[Any]:
        return [event for event, p in zip(self.events, self.partitions) if p == partition]

    @property
    def numbers(self) -> list[int]:
        return [event.sequence_number for event in self.events]

    def hold(self) -> None:
        """From now on no call of the SDK's returns, until let_go."""
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def until(self, done: Any, what: str, seconds: float = SECONDS_MAX, errors: bool = False) -> None:
        """Waits for a condition. An error of the SDK ends the wait, unless errors are expected or the condition is met by then."""
        deadline = time.monotonic() + seconds
        while not done():
            if self.errors and not errors:
                raise AssertionError(f"waiting for {what}, the SDK reported {self.errors[0]!r}") from self.errors[0]
            if self._receiving.done():
                raise AssertionError(f"waiting for {what}, receive returned: {self._receiving}")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise AssertionError(f"no {what} in {seconds} s; {len(self.events)} events: {self.bodies[:20]}") from None

    async def take(self, count: int) -> list[Any]:
        """The first events, when there are so many."""
        await self.until(lambda: len(self.events) >= count, f"{count} events")
        return self.events[:count]

    async def error(self) -> Exception:
        """The first error the SDK reports."""
        return (await self._first(lambda: self.errors))[0]

    async def refusal(self) -> Exception:
        """The error with which the broker refused the receiver. The asyncio client reports one only if it is about a stolen link; upon any
        other it tries again for ever and says nothing. So this looks at its links as well."""
        return (await self._first(lambda: self.errors or self._link_errors()))[0]

    async def _first(self, found: Callable[[], list[Exception]]) -> list[Exception]:
        deadline = time.monotonic() + SECONDS_MAX
        while not (errors := found()):
            if time.monotonic() > deadline:
                raise AssertionError(f"no error in {SECONDS_MAX} s; {len(self.events)} events: {self.bodies[:20]}")
            await asyncio.sleep(0.05)
        return errors

    def _link_errors(self) -> list[Exception]:
        if self._blocking:
            return []
        consumers = [consumer for processor in self._client._event_processors.values() for consumer in processor._consumers.values()]
        links = [consumer._handler._link for consumer in consumers if consumer._handler]
        errors = [link._error for link in links if link and link._error]
        return [PyamqpTransport._create_eventhub_exception(error) for error in errors]

    async def close(self) -> None:
        """Closes the client, upon which a blocking receive must return; the other sleeps for up to 30 s more and wants to be cancelled."""
        self.let_go()
        await self._client.close()
        if not self._blocking:
            self._receiving.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._receiving, SECONDS_MAX)
