"""The broker under test as a process of its own, on ports of its choice."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from pathlib import Path

READY_SECONDS = 20
END_SECONDS = 15


class BrokerFailed(Exception):
    """The broker did not start, or did not end as it should."""


class Broker:
    """`evhub serve` with a configuration, until the end of the with statement. Its standard error is its log, kept in a file."""

    def __init__(self, evhub: Path, config: dict, directory: Path):
        self._log_path = directory / "broker.log"
        config_path = directory / "config.json"
        config_path.write_text(json.dumps(config, indent=1), encoding="utf-8")
        listeners = [word for door in ("amqp", "api", "admin") for word in (f"--listen-{door}", "127.0.0.1:0")]
        # With policies of its own a broker has the test kit only if it is for development.
        command = [str(evhub), "serve", "--dev", "--json", "--die-with-stdin", *listeners]
        try:
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    [*command, "--config", str(config_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        except OSError as error:
            raise BrokerFailed(f"the broker cannot be started: {error}") from None
        try:
            ready = self._ready()
            self.amqp: str = ready["amqp"]  # host:port
            self.admin: str = ready["admin"]  # a URL
        except BaseException:
            self._process.kill()
            raise

    def _ready(self) -> dict:
        """Waits for the one line on standard output that says where the broker listens."""
        lines: queue.Queue[bytes] = queue.Queue()

        def read() -> None:
            for line in self._process.stdout:
                lines.put(line)
            lines.put(b"")

        threading.Thread(target=read, daemon=True).start()
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            raise BrokerFailed(f"the broker was not ready after {READY_SECONDS} s; its log:\n{self.log()}") from None
        try:
            return json.loads(line)
        except ValueError:
            raise BrokerFailed(f"the broker's first line is not JSON: {line!r}; its log:\n{self.log()}") from None

    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Closes standard input, which the broker must take as its end."""
        self._process.stdin.close()
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = f"nothing {END_SECONDS} s after its standard input was closed"
        if code != 0 and kind is None:
            raise BrokerFailed(f"the broker ended with {code}; the end of its log:\n{self.log()[-4000:]}")


_BUGS = re.compile(r"WARNING: DATA RACE|^panic: |BUG: ", re.MULTILINE)
_SIGNATURE = re.compile(r"sig=[A-Za-z0-9%+/]{8}")


def log_faults(log: str, secrets: list[str]) -> list[str]:
    """What a log must never have in it."""
    faults = []
    if bug := _BUGS.search(log):
        faults.append("a bug showed: " + log[bug.start() : bug.start() + 2000])
    if any(secret in log for secret in secrets):
        faults.append("a key is in the log")
    if _SIGNATURE.search(log):
        faults.append("a signature is in the log")
    return faults
