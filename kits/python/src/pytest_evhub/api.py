"""JSON over HTTP to a broker's test kit."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlencode, urlsplit

from .errors import EventHubsError, ExpectationFailed
from .server import started_at

T = TypeVar("T")

ANSWER_SECONDS_MAX = 90  # the broker answers after 60 s at the latest
EXIT_SECONDS = 1  # from a broker's closed port to its exit code


class Api:
    """A broker by the URL of its admin port, which may have a policy's name and key before the host. Safe for use by several threads.

    Proxies that the environment names are not asked: the broker is on this machine, or near it.
    """

    def __init__(self, url: str):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise EventHubsError(f"{url!r} is not a broker's URL; it must look like http://127.0.0.1:5300")
        self.url = f"http://{parts.netloc.rpartition('@')[2]}"
        self._host, self._port = parts.hostname, parts.port or 80
        self._headers = {"Connection": "close"}
        if parts.username is not None:
            credential = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(credential.encode()).decode()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer to a request under /admin/v1. Of the query what is None is left out."""
        __tracebackhide__ = True
        return self._send(method, path, body, query, "application/json", _object)

    def text(self, path: str) -> str:
        """The answer to a GET, as text for people."""
        return self._send("GET", path, None, {}, "text/plain", bytes.decode)

    def _send(self, method: str, path: str, body: Any, query: dict[str, Any], accept: str, read: Callable[[bytes], T]) -> T:
        __tracebackhide__ = True
        target = "/admin/v1" + path
        if given := {name: value for name, value in query.items() if value is not None}:
            target += "?" + urlencode(given)
        headers = {**self._headers, "Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            end = server.obituary(EXIT_SECONDS) if (server := started_at(self.url)) else ""
            raise EventHubsError(f"no broker answers at {self.url}: {error}{end and '. ' + end}") from None
        finally:
            connection.close()
        try:
            if answer.status < 300:
                return read(content)
            failure = _failure(answer.status, _object(content))
        except (ValueError, LookupError):
            text = f"{method} {self.url}{target}: {answer.status}: this is not a broker with a test kit: {content[:200]!r}"
            raise EventHubsError(text) from None
        raise failure


def _object(content: bytes) -> dict[str, Any]:
    answer = json.loads(content)
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    return answer


def _failure(status: int, problem: dict[str, Any]) -> EventHubsError | ExpectationFailed:
    detail, pointer = problem["detail"], problem.get("pointer", "")
    if not isinstance(detail, str):
        raise ValueError("not a problem")
    if status == 417:
        return ExpectationFailed(problem.get("text") or detail, problem)
    if pointer and not detail.startswith(pointer):
        detail = f"{pointer}: {detail}"
    return EventHubsError(detail, problem)


async def aside(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Calls what blocks in a thread: an event loop that stands still cannot send what is waited for."""
    __tracebackhide__ = True
    try:
        return await asyncio.to_thread(function, *args, **options)
    except (EventHubsError, ExpectationFailed) as failed:
        raise failed.with_traceback(None) from None  # the test's own line is what matters, not the thread's


def duration(value: str | float | None) -> str | None:
    """Seconds, or a text like "500ms", as the broker reads it."""
    return value if value is None or isinstance(value, str) else f"{value:f}s"
