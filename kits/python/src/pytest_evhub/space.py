"""A space: a namespace with hubs that belong to one test."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .api import Api, aside, duration
from .errors import EventHubsError
from .server import started_at

COUNT_MAX = 1_000_000  # the broker's own limit for a count

_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+)")


class _ByHub(dict[str, str]):
    """Of a hub that is not there it says which are."""

    def __missing__(self, hub: object) -> str:
        __tracebackhide__ = True
        raise EventHubsError(
            f"there is no hub {hub!r} in this test; it has: {', '.join(self) or 'none'}. Hubs are named by "
            f"@pytest.mark.eventhubs(hubs={{{hub!r}: {{}}}}), by eventhubs_hubs in pytest's ini file, or to Space")


class Space:
    """Hubs of one test's own, and what happened in them. No other space sees them; any number can share a broker.

    Wheres, events and faults are those of the broker's HTTP interface, as dicts. An event has partition, sequence, offset, enqueuedAt,
    key, id, contentType, props, and one of body (if it is JSON), text and base64.

    What waits takes a timeout of up to 60 s, as seconds or as a text like "500ms". In a coroutine call aexpect and areaders: the others would
    stop the event loop while they wait. Every method may raise EventHubsError, and is safe for use by several threads.
    """

    def __init__(
        self,
        url: str,
        hubs: dict[str, dict[str, Any]],
        *,
        seed: int | None = None,
        ttl: str = "12h",
        timeout: str | float = "5s",
        endpoint: str | None = None,
    ):
        """url is the broker's admin port. ttl ends a space that nobody closes. endpoint is what connection strings shall call the broker,
        if its port is forwarded."""
        wanted = {"hubs": hubs, "ttl": ttl} | ({} if seed is None else {"seed": seed})
        self._api = Api(url)
        made = self._api.call("POST", "/spaces", wanted, endpoint=endpoint)
        self.name: str = made["space"]
        self._path = "/spaces/" + quote(self.name, safe="")
        self.connection_string: str = made["connectionString"]
        self.connection_strings: dict[str, str] = _ByHub(made["connectionStrings"])
        self.hubs = hubs
        self.hub = next(iter(hubs), "")  # the first one
        self._timeout = duration(timeout)
        self._same_release(made.get("version", ""))

    def _same_release(self, broker: str) -> None:
        """Refuses a broker of another release. Builds that are no releases go with all."""
        kit = _installed_version()
        ours, theirs = _RELEASE.fullmatch(kit), _RELEASE.fullmatch(broker)
        if not ours or not theirs or ours[1] == theirs[1]:
            return
        with suppress(EventHubsError):
            self.close(verify=False)
        server = started_at(self._api.url)
        raise EventHubsError(
            f"pytest-evhub {ours[1]} ({Path(__file__).parent}) does not go with evhub {theirs[1]} "
            f"({server.binary if server else self._api.url}). Install the wheel of pytest-evhub {theirs[1]}, or have the tests use evhub "
            f"{ours[1]}: EVHUBTEST_URL and EVHUB_BINARY say which one they use, else it is the one in the wheel")

    def __repr__(self) -> str:
        return f"<Space {self.name}: {', '.join(self.hubs)}>"

    def __enter__(self) -> Space:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(verify=kind is None)

    def mark(self) -> str:
        """This moment, for since: events that are stored from now on are after it. "m0" is the beginning."""
        return self._api.call("POST", self._path + "/marks")["mark"]

    def expect(
        self,
        hub: str,
        *where: dict[str, Any],
        count: int | dict[str, int] = 1,
        name: str | None = None,
        since: str = "m0",
        timeout: str | float | None = None,
        order: str | None = None,
        unique: str | None = None,
        others: str | None = None,
        settle: str | float | None = None,
    ) -> list[dict[str, Any]]:
        """Waits for events, and gives those that match. Without where any event counts; of several each is expected count times.

        count is exactly that many, or {"min": 1, "max": 3}, where either may be missing. 0 expects that nothing comes. where has any of
        body (a JSON value), text and base64 (of the whole body), subset, path, prop, key, partition and cloudEvent. order="partition": within a
        partition in the order of the wheres. unique="id": no two events of one message id and none without, which SDKs do not set by themselves;
        also key, body, body.<path>, props.<name>. others="forbid": nothing else comes.

        Where something must not come, the broker waits for all that is under way in it, and for settle. Raises ExpectationFailed.
        """
        __tracebackhide__ = True
        expected = [{"where": w, "count": count} | ({"name": name} if name else {}) for w in where or ({},)]
        options = {"order": order, "unique": unique, "others": others, "settle": duration(settle)}
        return self._ask(hub, expected, since, timeout, **options)["events"]

    async def aexpect(self, hub: str, *where: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        """expect, for coroutines."""
        __tracebackhide__ = True
        return await aside(self.expect, hub, *where, **options)

    def events(self, hub: str, where: dict[str, Any] | None = None, *, since: str = "m0") -> list[dict[str, Any]]:
        """What is stored and matches, in the order in which the broker acknowledged it.

        Everything that a client got acknowledged is there, and what the broker has received: on Linux down to bytes that it has not read yet.
        It does not wait for anything else.
        """
        __tracebackhide__ = True
        return self.look(hub, where or {}, since)[0]

    def look(self, hub: str, where: dict[str, Any], since: str) -> tuple[list[dict[str, Any]], str]:
        """As events does, with the mark behind the last event."""
        __tracebackhide__ = True
        answer = self._ask(hub, [{"where": where, "count": {"min": 0, "max": COUNT_MAX}}], since, None)
        return answer["events"], answer["mark"]

    def following(self, hub: str, since: str) -> tuple[list[dict[str, Any]], str]:
        """Gives the oldest events after the mark, up to a thousand, with the mark behind them. If there is none yet it waits for one, but, other
        than look, not for what is under way beside it."""
        __tracebackhide__ = True
        path = self._hub_path(hub) + "/events"
        while not (listed := self._api.call("GET", path, since=since, count=0))["events"]:
            self._api.call("GET", path, since=since, count=1, timeout=self._timeout)
        return listed["events"], listed["mark"]

    def _ask(self, hub: str, expected: list[dict[str, Any]], since: str, timeout: str | float | None, **options: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        request = {"since": since, "timeout": duration(timeout) or self._timeout, "expect": expected}
        request |= {name: value for name, value in options.items() if value is not None}
        return self._api.call("POST", self._hub_path(hub) + "/expect", request)

    def publish(self, hub: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """Stores events, past all faults, and gives partition, sequence and offset of each.

        An event is one of body (a JSON value), text and base64, with any of key, partition, id, contentType and props.
        """
        __tracebackhide__ = True
        return self._api.call("POST", self._hub_path(hub) + "/events", list(events))["events"]

    def readers(self, hub: str, count: int = 1, *, group: str = "$Default", timeout: str | float | None = None) -> int:
        """Waits until so many readers of a consumer group are attached and wait for events: from then on they miss nothing.

        A client of a hub has one reader for each partition that it reads. Raises ExpectationFailed.
        """
        __tracebackhide__ = True
        query = {"count": count, "group": group, "timeout": duration(timeout) or self._timeout}
        return self._api.call("GET", self._hub_path(hub) + "/readers", **query)["readers"]

    async def areaders(self, hub: str, count: int = 1, **options: Any) -> int:
        """readers, for coroutines."""
        __tracebackhide__ = True
        return await aside(self.readers, hub, count, **options)

    def fault(self, op: str, do: str | dict[str, Any], *, optional: bool = False, **on: Any) -> Fault:
        """Has the broker do something to the next client that fits: fault("send", "throttle", times=3).

        op is connect, auth, attach, send, deliver, manage or any; on may have hub, partition, group, client, after, times and prob. do is
        throttle, reject, detach, close-connection, drop, ack-lost, blackhole, delay, expire-token, steal-epoch or redeliver, or a dict with
        it as type and what it takes: {"type": "delay", "duration": "2s"}. A fault that never fires fails the test, unless it is optional.

        What connects belongs to no space yet: on a shared broker a fault on connect also meets the clients of other tests, unless client names
        the right one.
        """
        __tracebackhide__ = True
        request = {"on": {"op": op, **on}, "do": {"type": do} if isinstance(do, str) else do, "optional": optional}
        made = self._api.call("POST", self._path + "/faults", request)
        return Fault(self._api, f"{self._path}/faults/{made['fault']}", self._timeout)

    def timeline(self, since: str = "m0") -> list[dict[str, Any]]:
        """What clients did and what they were answered, oldest first; the last thousand entries."""
        return self._api.call("GET", self._path + "/timeline", since=since)["timeline"]

    def timeline_text(self) -> str:
        """The timeline for people, a line for each entry."""
        return self._api.text(self._path + "/timeline")

    def links(self) -> list[dict[str, Any]]:
        """The senders and readers that are attached."""
        return self._api.call("GET", self._path + "/links")["links"]

    def close(self, verify: bool = True) -> None:
        """Deletes the space, and cuts its clients. With verify it raises ExpectationFailed if a fault never fired or a link is still open; a
        client that was closed a moment ago has a second to go."""
        __tracebackhide__ = True
        self._api.call("DELETE", self._path, verify=1 if verify else None)

    def _hub_path(self, hub: str) -> str:
        __tracebackhide__ = True
        if not hub:
            raise EventHubsError(f"a hub has a name, and this is ''; the hubs of {self.name} are: {', '.join(self.hubs) or 'none'}")
        return f"{self._path}/hubs/{quote(hub, safe='')}"


class Fault:
    """A misfortune waiting for its client. Made by Space.fault."""

    def __init__(self, api: Api, path: str, timeout: str | None):
        self._api, self._path, self._timeout = api, path, timeout

    @property
    def hits(self) -> int:
        """How often it has fired."""
        return self._api.call("GET", self._path)["hits"]

    def fired(self, hits: int = 1, *, timeout: str | float | None = None) -> int:
        """Waits until it has fired so often. Raises ExpectationFailed, at once if it never will."""
        __tracebackhide__ = True
        return self._api.call("GET", self._path, hits=hits, timeout=duration(timeout) or self._timeout)["hits"]

    async def afired(self, hits: int = 1, **options: Any) -> int:
        """fired, for coroutines."""
        __tracebackhide__ = True
        return await aside(self.fired, hits, **options)

    def remove(self) -> int:
        """Ends it, and gives how often it fired. Nobody misses it then if it never did."""
        return self._api.call("DELETE", self._path)["hits"]


def _installed_version() -> str:
    try:
        return version("pytest-evhub")
    except PackageNotFoundError:
        return ""
