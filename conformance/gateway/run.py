#!/usr/bin/env python3
"""Proves evhub's notification service from outside: an OAuth client posts, an unmodified Event Hubs consumer reads, Schemathesis tries what
the OpenAPI description allows and what it forbids.

    python3 conformance/gateway/run.py --evhub PATH [--seed DIR]

Needs Python 3.11 or newer and PyPI. Ends with 0 if everything passed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from runner.broker import log_faults  # noqa: E402

READY_SECONDS = 20
END_SECONDS = 30
EXAMPLES = 100  # of each operation: some 20 to 60 s on two cores, most of it for making what the patterns allow
ANY_PORT = "127.0.0.1:0"


class Failed(Exception):
    """Something that is proved here does not hold, or cannot be tried."""


@dataclass
class Evhub:
    """A running evhub: what it says of itself, and where its log is."""

    ready: dict[str, str]
    log: Path


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="evhub-gateway-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        python = install(options.cache, options.seed)
        proofs: dict[str, Callable[[], None]] = {
            "end to end, evhub serve": lambda: end_to_end(options, python, directory, alone=False),
            "end to end, evhub gateway": lambda: end_to_end(options, python, directory, alone=True),
            "what OpenAPI says": lambda: described(options, python, directory),
        }
        failed = 0
        for title, prove in proofs.items():
            began = time.monotonic()
            try:
                prove()
                result = "passed"
            except Failed as failure:
                failed += 1
                result = f"FAILED: {failure}"
            print(f"{title}: {result} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evhub", type=Path, required=True, metavar="PATH", help="the evhub binary")
    parser.add_argument("--seed", type=Path, metavar="DIR",
                        help="take the consumer from DIR/test_notifier.py as it is, if the port in its connection string is free")
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help="requests to generate for each operation (%(default)s)")
    cache = os.environ.get("EVHUB_CONFORMANCE_CACHE") or Path(tempfile.gettempdir()) / "evhub-conformance"
    parser.add_argument("--cache", type=Path, default=Path(cache), metavar="DIR",
                        help="where packages are installed; $EVHUB_CONFORMANCE_CACHE, else %(default)s")
    options = parser.parse_args()
    options.evhub = options.evhub.resolve()
    if not options.evhub.is_file():
        parser.error(f"--evhub: there is no file {options.evhub}")
    if options.seed and not (options.seed / "test_notifier.py").is_file():
        parser.error(f"--seed: there is no test_notifier.py in {options.seed}")
    return options


def install(cache: Path, seed: Path | None) -> Path:
    """Gives the interpreter of an environment with all that is needed, made once for each list of packages."""
    lists = [HERE / "requirements.txt"]
    if seed and (seed / "requirements.txt").is_file():
        lists.append(seed / "requirements.txt")
    wanted = "".join(path.read_text(encoding="utf-8") for path in lists)
    environment = cache / f"gateway-{sys.version_info.major}.{sys.version_info.minor}"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = environment / "installed"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        note("installing packages")
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(pip + [word for path in lists for word in ("-r", str(path))], check=True, stdout=sys.stderr)
        installed.write_text(wanted, encoding="utf-8")
    return python


@contextlib.contextmanager
def running(evhub: Path, directory: Path, *words: str) -> Iterator[Evhub]:
    """Runs an evhub command until the end of the with statement. It must end by itself, with 0, when its standard input does."""
    log = directory / f"{words[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([str(evhub), *words, "--json", "--die-with-stdin"], cwd=directory,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file)
    late = threading.Timer(READY_SECONDS, process.kill)
    late.start()
    try:
        line = process.stdout.readline()  # or the end, if it does not start
        late.cancel()
        try:
            ready = json.loads(line)
        except ValueError:
            raise Failed(f"evhub {words[0]} did not start: {log.read_text(encoding='utf-8')}") from None
        yield Evhub(ready, log)
        process.stdin.close()
        code = process.wait(END_SECONDS)
        if code != 0:
            raise Failed(f"evhub {words[0]} ended with {code}: {log.read_text(encoding='utf-8')[-2000:]}")
    except subprocess.TimeoutExpired:
        raise Failed(f"evhub {words[0]} did not end with its standard input") from None
    finally:
        late.cancel()
        process.kill()
        process.wait()
    if faults := log_faults(log.read_text(encoding="utf-8", errors="replace"), []):
        raise Failed(f"the log of evhub {words[0]}: {'; '.join(faults)}")


def serve(options: argparse.Namespace, directory: Path, amqp: str = ANY_PORT) -> contextlib.AbstractContextManager[Evhub]:
    return running(options.evhub, directory, "serve", "--listen-amqp", amqp, "--listen-api", ANY_PORT, "--listen-admin", ANY_PORT)


def gateway(options: argparse.Namespace, directory: Path, broker: Evhub) -> contextlib.AbstractContextManager[Evhub]:
    """The notification service as a process of its own. It fetches the issuer's keys over HTTP and stores over AMQP."""
    issuer = broker.ready["issuer"]
    config = directory / "gateway.yaml"  # JSON is YAML
    config.write_text(json.dumps({
        "listeners": {"api": {"address": ANY_PORT}, "probes": {"address": ANY_PORT}},
        "targets": {"broker": {"broker": {"address": broker.ready["amqp"]}}},
        "routes": {"eh1": {"target": "broker"}},
        "issuers": [{"url": issuer, "audiences": ["evhub-development"], "insecure": True}],
        "rules": [{"issuer": issuer, "kind": "any", "claim": "scope", "value": "send:<hub>"}],
        "drain": {"wait": "0s"},
    }), encoding="utf-8")
    return running(options.evhub, directory, "gateway", "--config", str(config))


def end_to_end(options: argparse.Namespace, python: Path, directory: Path, alone: bool) -> None:
    """A token, a POST, and the consumer has the message: with the service in the broker, or as a process of its own."""
    amqp, seed = ANY_PORT, options.seed
    if seed:
        amqp = fixture_address(seed / "test_notifier.py")
        if not is_free(amqp):
            note(f"{amqp} of {seed / 'test_notifier.py'} is taken: a consumer of the same kind stands in for the one there")
            amqp, seed = ANY_PORT, None
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(serve(options, directory, amqp))
        api = broker.ready["api"]
        if alone:
            service = stack.enter_context(gateway(options, directory, broker))
            api = "http://" + service.ready["api"]
            await_ready(service.ready["probes"] + "/readyz")
        environment = {
            **os.environ, "EVHUB_API": api, "EVHUB_ISSUER": broker.ready["issuer"],
            "EVHUB_CONNECTION_STRING": broker.ready["connectionString"], "EVHUB_SEED": str(seed.resolve()) if seed else "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(HERE), str(HERE / "test_notified.py")]
        tested = subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if tested.returncode != 0:
            raise Failed(tested.stdout)
        note(tested.stdout.strip().splitlines()[-1] + (" with the consumer of " + str(seed) if seed else ""))


def fixture_address(path: Path) -> str:
    found = re.search(r"Endpoint=sb://([^:;/]+)(?::(\d+))?", path.read_text(encoding="utf-8"))
    if not found:
        raise Failed(f"{path} has no connection string")
    return f"{found[1]}:{found[2] or 5672}"


def is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except OSError:
        return True


def await_ready(url: str) -> None:
    """Waits until the service has its keys and its way to the broker."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise Failed(f"{url}: {error} after {READY_SECONDS} s") from None
        time.sleep(0.05)


def described(options: argparse.Namespace, python: Path, directory: Path) -> None:
    """Sends what the OpenAPI description allows and what it forbids, and looks at all answers. The same seed gives the same requests."""
    answers = directory / "answers.json"
    with serve(options, directory) as evhub:
        token = subprocess.run([str(options.evhub), "token", "jwt", "--issuer", evhub.ready["issuer"]],
                               check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1",
                       "SCHEMATHESIS_HOOKS": "hooks", "EVHUB_ANSWERS": str(answers)}
        command = [str(python.parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml"), "run", evhub.ready["api"] + "/openapi.json",
                   "--header", f"Authorization: Bearer {token}", "--seed", "1", "--max-examples", str(options.examples),
                   "--continue-on-failure", "--warnings", "off"]
        tried = subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if tried.returncode != 0:
            raise Failed(tried.stdout)
        with urllib.request.urlopen(evhub.ready["admin"] + "/health", timeout=5):
            pass  # it lives, and says that it is well
    if token in evhub.log.read_text(encoding="utf-8"):
        raise Failed("the token is in the log")
    check_answers(json.loads(answers.read_text(encoding="utf-8")))


def check_answers(answers: dict[str, int]) -> None:
    """Wants a good part of the requests to have been stored: else only refusals were tried."""
    note(f"{sum(answers.values())} requests: " + ", ".join(f"{n} {what}" for what, n in sorted(answers.items())))
    for path in ("/v1/hubs/{hub}/messages", "/v1/hubs/{hub}/messages:batch"):
        good = {what: n for what, n in answers.items() if what.startswith(path + " positive ")}
        stored = good.get(path + " positive 201", 0)
        if stored * 10 < sum(good.values()) or not stored:
            raise Failed(f"{path}: {stored} of {sum(good.values())} good requests were stored, too few to say much")


def note(text: str) -> None:
    print(f"gateway: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
