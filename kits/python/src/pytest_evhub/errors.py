"""What goes wrong between a test and its broker."""

from __future__ import annotations

from typing import Any


class EventHubsError(RuntimeError):
    """The broker refused a request, or there is none. The text says what is wrong and what to do; problem is the broker's whole answer."""

    def __init__(self, text: str, problem: dict[str, Any] | None = None):
        super().__init__(text)
        self.problem = problem or {}


class ExpectationFailed(AssertionError):
    """What was expected did not come, or what must not come came. The text shows what came instead; problem is the broker's whole answer."""

    def __init__(self, text: str, problem: dict[str, Any]):
        super().__init__(text)
        self.problem = problem
