"""A path to the broker that a case can break. runner/proxy.py says what each request does."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from web import ask


class Path:
    """Made by open."""

    def __init__(self, url: str, connection: str):
        self._url = url
        self.connection = connection  # the connection string for this path

    @classmethod
    async def open(cls, control: str, connection: str) -> Path:
        """Opens a path of the proxy whose control address is given."""
        state = await ask("POST", f"{control}/paths")
        return cls(f"{control}/paths/{state['id']}", re.sub(r"^Endpoint=sb:[^;]*", f"Endpoint=sb://{state['address']}", connection))

    # Each gives who ended each connection so far; "" for one that is open.

    async def cut(self) -> list[str]:
        return await self._ends("POST", "/cut")

    async def mend(self) -> list[str]:
        return await self._ends("POST", "/mend")

    async def stall(self, sender: str) -> list[str]:
        return await self._ends("POST", f"/stall/{sender}")

    async def resume(self) -> list[str]:
        return await self._ends("POST", "/resume")

    async def ends(self) -> list[str]:
        return await self._ends("GET", "")

    async def _ends(self, method: str, deed: str) -> list[str]:
        state = await ask(method, self._url + deed)
        return [connection["endedBy"] for connection in state["connections"]]

    async def until(self, ended: Callable[[list[str]], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ended(ends := await self.ends()):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} in {seconds} s; connections ended by {ends}")
            await asyncio.sleep(0.1)
