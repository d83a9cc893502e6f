"""The events of a hub as something to iterate over."""

from __future__ import annotations

import base64
from collections import deque
from typing import Any

from .api import aside
from .space import Space


class EventStream:
    """The bodies of a hub's events from the beginning of the space on, each given once: JSON as Python values, other text as str, else bytes.

    for and list() do not wait for events to come; they end with the last one that is there. What is there: every event that a client got
    acknowledged before, since the broker stores first and acknowledges then; and every event of which the broker has received the bytes, on
    Linux down to those that it has not read yet, since it looks at all of them before it answers. A client that still keeps events in a buffer
    must be flushed or closed first. Iterating again goes on with what has come since.

    async for and anext() wait for the next event, up to the time-out of the space, and raise ExpectationFailed when it does not come. Who gives
    up waiting loses no event.

    The order is that in which the broker acknowledged them. Azure promises the order of a partition only.
    """

    def __init__(self, space: Space, hub: str):
        self._space, self._hub = space, hub
        self._since = "m0"
        self._taken: deque[Any] = deque()  # looked at, and not given yet

    def __repr__(self) -> str:
        return f"<EventStream of {self._hub}>"

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Any:
        __tracebackhide__ = True
        if not self._taken:
            self._take(*self._space.look(self._hub, {}, self._since))
        if not self._taken:
            raise StopIteration
        return self._taken.popleft()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Any:
        __tracebackhide__ = True
        while not self._taken:
            since = self._since
            events, mark = await aside(self._space.following, self._hub, since)
            if self._since == since:  # else another task has taken them meanwhile
                self._take(events, mark)
        return self._taken.popleft()

    def _take(self, events: list[dict[str, Any]], mark: str) -> None:
        self._taken.extend(map(_body, events))
        self._since = mark


def _body(event: dict[str, Any]) -> Any:
    for form in ("body", "text"):
        if form in event:
            return event[form]
    return base64.b64decode(event["base64"])
