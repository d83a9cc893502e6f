"""The broker as a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path

from .errors import EventHubsError

READY_SECONDS = 20
END_SECONDS = 10
LOG_CHARS_MAX = 4000
BANNER = re.compile(r"^evhub: ready in .*?^Emulator Service is Successfully Up!\n", re.DOTALL | re.MULTILINE)  # for people at a terminal

_EXECUTABLE = "evhub.exe" if os.name == "nt" else "evhub"
_PACKAGED = Path(__file__).parent / "bin" / _EXECUTABLE

_running: weakref.WeakSet[Server] = weakref.WeakSet()  # those that this process has started and not stopped


class Server:
    """A broker on ports of the system's choice, from its construction until stop. It ends with this process, however that ends.

    A child that this process forks may use it by its URL, and neither ends it nor keeps it.
    """

    def __init__(self) -> None:
        self.binary, self.url = find_binary(), ""
        listeners = [word for door in ("amqp", "api", "admin") for word in (f"--listen-{door}", "127.0.0.1:0")]
        # Configuration that is meant for another broker of this machine, with keys perhaps, is not for this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVHUB_")}
        self._log = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [self.binary, "serve", "--json", "--die-with-stdin", "--log-level", "warn", *listeners],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, **_apart())
        except OSError as error:
            raise EventHubsError(f"evhub cannot be started: {error}") from None
        _running.add(self)
        self.url = self._ready()

    def _ready(self) -> str:
        """Waits for the one line on standard output, which says where the broker listens. It comes once everything is there."""
        alarm = threading.Timer(READY_SECONDS, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        alarm.cancel()
        try:
            return json.loads(line)["admin"]
        except (ValueError, LookupError, TypeError):
            self._process.kill()
            code = self._process.wait()
            log = self._logged()
            self.stop()
            raise EventHubsError(f"evhub did not start (exit code {code}):\n{log}") from None

    def stop(self) -> None:
        """Ends the broker, and waits until it has. What is stopped already stays so."""
        if self not in _running:
            return
        _running.discard(self)
        self._process.stdin.close()  # which the broker takes as its end
        if os.name != "nt":  # so it takes this, where somebody else still holds the pipe: a child forked by a library in C
            self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def obituary(self, seconds: float = 0) -> str:
        """How the broker ended without having been stopped, and its log; "" if it still runs after these seconds."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return ""
        end = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        return f"{self.binary}, which was started for these tests, {end}. Its log:\n{self._logged() or '(empty)'}"

    def _logged(self) -> str:
        """Only of a broker that has ended: the file's position is its own as well."""
        self._log.seek(0)
        return BANNER.sub("", self._log.read().decode(errors="replace")).strip()[-LOG_CHARS_MAX:]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def started_at(url: str) -> Server | None:
    """The broker with this URL, if this process has started it."""
    return next((server for server in _running if server.url == url), None)


def _let_go() -> None:
    """Closes in a forked child what tells the brokers of its parent that the parent lives."""
    for server in _running:
        server._process.stdin.close()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _apart() -> dict[str, object]:
    """The broker must outlive an interrupt that the terminal sends to everyone: fixtures still have to be torn down."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def find_binary() -> str:
    """EVHUB_BINARY, else the one in the wheel, else the one on the PATH."""
    if named := os.environ.get("EVHUB_BINARY"):
        if not Path(named).is_file():
            raise EventHubsError(f"EVHUB_BINARY: there is no file {named}")
        return named
    if _PACKAGED.is_file():
        return str(_PACKAGED)
    if found := shutil.which("evhub"):
        return found
    raise EventHubsError(
        "no evhub: this pytest-evhub was installed without one. Install a wheel for this platform, put evhub on the PATH, set EVHUB_BINARY "
        "to its path, or run the tests as: evhub exec -- pytest")


def main() -> None:
    """The command evhub."""
    if not _PACKAGED.is_file():
        sys.exit("evhub: this pytest-evhub was installed without the binary; install a wheel for this platform")
    command = [str(_PACKAGED), *sys.argv[1:]]
    if os.name != "nt":
        os.execv(command[0], command)
    try:
        sys.exit(subprocess.call(command))
    except KeyboardInterrupt:  # the broker had it as well, and has drained
        sys.exit(130)
