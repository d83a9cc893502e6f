"""A space of the broker's test kit. internal/admin/API.md says what each request does."""

from __future__ import annotations

from typing import Any

from web import ask

FIRE_SECONDS_MAX = 30


class Space:
    """A namespace with one hub, which has the space's name. Made by open."""

    def __init__(self, url: str, hub: str, connection: str):
        self._url, self._hub = url, hub
        self.connection = connection  # the connection string

    @classmethod
    async def open(cls, admin: str, name: str, partitions: int, groups: list[str]) -> Space:
        url = f"{admin}/admin/v1/spaces"
        made = await ask("POST", url, {"name": name, "hubs": {name: {"partitions": partitions, "groups": groups}}})
        return cls(f"{url}/{made['space']}", name, made["connectionString"])

    async def fault(self, op: str, kind: str, after: int = 0, times: int = 1, **do: Any) -> Fault:
        """Lets so many operations pass, then meets so many."""
        body = {"on": {"op": op, "hub": self._hub, "after": after, "times": times}, "do": {"type": kind, **do}}
        made = await ask("POST", f"{self._url}/faults", body)
        return Fault(f"{self._url}/faults/{made['fault']}")

    async def publish(self, *bodies: str) -> None:
        """Stores events in partition 0, past all faults."""
        await ask("POST", f"{self._url}/hubs/{self._hub}/events", [{"text": body, "partition": 0} for body in bodies])

    async def stored(self) -> list[str]:
        """The bodies of all events of the hub."""
        answer = await ask("GET", f"{self._url}/hubs/{self._hub}/events?count=0")
        return [event["text"] for event in answer["events"]]

    async def delete(self, verify: bool) -> None:
        """verify raises if a fault never fired, or if a link stays open."""
        await ask("DELETE", self._url + ("?verify=1&timeout=5s" if verify else ""))


class Fault:
    """Made by Space.fault."""

    def __init__(self, url: str):
        self._url = url

    async def fired(self) -> None:
        """Waits until it has fired."""
        await ask("GET", f"{self._url}?hits=1&timeout={FIRE_SECONDS_MAX}s")

    async def remove(self) -> int:
        """Gives how often it fired."""
        return (await ask("DELETE", self._url))["hits"]
