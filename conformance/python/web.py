"""JSON over HTTP, for the proxy and the test kit."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

SECONDS_MAX = 40  # more than anything is asked to wait for


class Refused(AssertionError):
    """The answer was an error: a case fails with its text."""


async def ask(method: str, url: str, body: Any = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {}, method=method)

    def send() -> dict:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_MAX) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {url}: {error.code} {error.read().decode()}") from None

    return await asyncio.to_thread(send)
