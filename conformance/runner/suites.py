"""The suites: which SDKs there are, how each is installed, and how one is run."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import java, javascript, python

ROOT = Path(__file__).parent.parent

SECONDS_MAX = 300  # for one run of a suite over the whole list


@dataclass(frozen=True)
class Suite:
    """One SDK. prepare installs a version of it into a directory of its own and gives the command that runs the suite."""

    name: str
    package: str
    newest: str
    variants: tuple[str, ...]
    prepare: Callable[[Path, str], list[str]]


SUITES = {suite.name: suite for suite in (
    Suite("python", "azure-eventhub", "5.15.1", ("sync", "asyncio"), python.prepare),
    Suite("javascript", javascript.PACKAGE, javascript.PINNED, ("node",), javascript.prepare),
    Suite("java", java.PACKAGE, java.PINNED, ("jvm",), java.prepare),
)}


@dataclass
class Result:
    case: str
    result: str  # passed, failed or not-applicable
    detail: str = ""  # why, unless passed
    seconds: float = 0


class InstallFailed(Exception):
    """The SDK could not be installed."""


def install(suite: Suite, version: str, cache: Path) -> list[str]:
    """Installs once: the directory counts when prepare has finished in it."""
    directory = cache / f"{suite.name}-{version}"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return suite.prepare(directory, version)
    except subprocess.CalledProcessError as failed:
        raise InstallFailed(f"{suite.package} {version} cannot be installed: {failed}") from None


class Run:
    """One variant of a suite at work. It is started at once; results() waits for it."""

    def __init__(self, command: list[str], plan: dict, directory: Path):
        self.variant: str = plan["variant"]
        self._deadline = time.monotonic() + SECONDS_MAX
        self._output = directory / f"{self.variant}.log"
        plan_path = directory / f"plan-{self.variant}.json"
        plan_path.write_text(json.dumps(plan, indent=1), encoding="utf-8")
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output,
                env={**os.environ, "EVHUB_PLAN": str(plan_path)})
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def results(self) -> Iterator[Result]:
        """Gives each result as it comes. Ends with the suite, or kills it when its time is up."""
        try:
            while (line := self._lines.get(timeout=max(0, self._deadline - time.monotonic()))) is not None:
                if line.strip():
                    yield Result(**json.loads(line))
        except queue.Empty:
            pass
        finally:
            self._process.kill()
            self._process.wait()

    def output(self) -> str:
        """What the suite wrote to standard error."""
        return self._output.read_text(encoding="utf-8", errors="replace")
