#!/usr/bin/env python3
"""Runs the tests of the kits against an evhub binary: python3 kits/run.py --evhub PATH. README.md tells the rest."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

KITS = Path(__file__).resolve().parent
STEP_SECONDS_MAX = 600
WINDOWS = os.name == "nt"


class Failed(Exception):
    """A command ended with an error, or not at all. The text is its output."""


class Runner:
    """Runs steps, each with a name; a step that fails does not stop the rest of its kit, unless they need it."""

    def __init__(self, evhub: Path, cache: Path, scratch: Path):
        self.evhub, self.cache, self.scratch = evhub, cache, scratch
        self.passed, self.failed = 0, 0

    def step(self, name: str, work: Callable[[], object]) -> bool:
        began = time.monotonic()
        try:
            work()
        except (Failed, OSError) as failure:
            self.failed += 1
            print(f"FAILED {name} ({time.monotonic() - began:.1f} s)\n{failure}", flush=True)
            return False
        self.passed += 1
        print(f"passed {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return True


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="evhub-kits-") as scratch:
        runner = Runner(options.evhub, options.cache, Path(scratch))
        for kit in options.kit or KIT_TESTS:
            KIT_TESTS[kit](runner, options)
    print(f"{runner.passed} passed, {runner.failed} failed", flush=True)
    return 1 if runner.failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evhub", type=Path, required=True, metavar="PATH", help="the evhub binary")
    parser.add_argument("--kit", action="append", choices=KIT_TESTS, help="this kit only")
    parser.add_argument("--seed", type=Path, metavar="DIR", help="a pytest module for a broker elsewhere: see python/tests/check_seed.py")
    cache = os.environ.get("EVHUB_KITS_CACHE") or Path(tempfile.gettempdir()) / "evhub-kits"
    parser.add_argument("--cache", type=Path, default=Path(cache), metavar="DIR",
                        help="where SDKs and test runners are installed; $EVHUB_KITS_CACHE, else %(default)s")
    options = parser.parse_args()
    options.evhub, options.cache = options.evhub.resolve(), options.cache.resolve()
    if not options.evhub.is_file():
        parser.error(f"--evhub: there is no file {options.evhub}")
    if options.seed and not options.seed.is_dir():
        parser.error(f"--seed: there is no directory {options.seed}")
    return options


def run(*command: object, directory: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """Runs a command without the settings of a developer of evhub."""
    foreign = ("EVHUB", "PYTEST_", "NODE_OPTIONS", "NODE_TEST_CONTEXT")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd=directory, env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=STEP_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as slow:
        raise Failed(f"{command[0]} was not ready after {STEP_SECONDS_MAX} s:\n{(slow.stdout or b'').decode(errors='replace')}") from None
    if done.returncode:
        raise Failed(f"$ {' '.join(map(str, command))}\n{done.stdout.decode(errors='replace')}")


def test_python(runner: Runner, options: argparse.Namespace) -> None:
    kit, dist = KITS / "python", runner.scratch / "wheels"
    tests = kit / "tests"
    requirements = [tests / "requirements.txt", *([options.seed / "requirements.txt"] if options.seed else [])]
    environment = installed(runner.cache, f"python-{sys.version_info.major}.{sys.version_info.minor}", requirements)
    python = executable(environment, "python")

    def install_sdks() -> None:
        if not (environment / "installed").exists():
            shutil.rmtree(environment, ignore_errors=True)
            venv.create(environment, with_pip=True)
            pip(python, *(word for file in requirements for word in ("-r", file)))
            (environment / "installed").touch()

    def build_wheel() -> None:
        run(sys.executable, kit / "build_wheels.py", "--dist", dist, "--platform", "here", "--binary", runner.evhub)

    def use_fresh() -> None:
        """All that a developer does: one pip install, then pytest; and a PATH on which no other evhub is found."""
        fresh = runner.scratch / "fresh"
        venv.create(fresh, with_pip=True)
        pip(executable(fresh, "python"), *dist.glob("*.whl"))
        run(executable(fresh, "evhub"), "version")
        test = runner.scratch / "test_fresh.py"
        test.write_text("def test(eventhubs, events):\n    eventhubs.publish('eh1', {'body': 1})\n    assert list(events) == [1]\n")
        run(executable(fresh, "python"), "-m", "pytest", "-q", test, directory=runner.scratch, environment={"PATH": os.defpath})

    def install_wheel() -> None:
        pip(python, "--force-reinstall", "--no-deps", *dist.glob("*.whl"))

    def pytest(*words: object, before: tuple[object, ...] = ()) -> None:
        run(*before, python, "-m", "pytest", "-p", "no:cacheprovider", "-c", kit / "pyproject.toml", "--rootdir", kit, "-q", *words)

    ready = (runner.step("python: install the official client and pytest", install_sdks)
             and runner.step("python: build the wheel", build_wheel)
             and runner.step("python: install the wheel", install_wheel))
    if not ready:
        return
    runner.step("python: the wheel alone, in a fresh environment", use_fresh)
    runner.step("python: the kit's tests", lambda: pytest(tests))
    runner.step("python: beside evhub exec", lambda: pytest(tests / "test_notifier.py", before=(runner.evhub, "exec", "--")))
    if options.seed:
        runner.step("python: the seed without its fixtures and sleeps", lambda: run(python, tests / "check_seed.py", options.seed))


def pip(python: Path, *words: object) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)


def executable(environment: Path, name: str) -> Path:
    return environment / "Scripts" / f"{name}.exe" if WINDOWS else environment / "bin" / name


def installed(cache: Path, name: str, files: list[Path]) -> Path:
    """The directory in the cache for what these files list."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    return cache / f"{name}-{digest}"


def test_javascript(runner: Runner, options: argparse.Namespace) -> None:
    kit, dist = KITS / "javascript", runner.scratch / "packages"
    tests = kit / "test"
    directory = installed(runner.cache, "javascript", [tests / "package.json"])
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise SystemExit("the kit javascript needs node and npm on the PATH; leave it out with --kit python")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")

    def install_sdks() -> None:
        if not (directory / "installed").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            shutil.copy(tests / "package.json", directory)
            run(npm, "install", "--no-package-lock", *quiet, directory=directory)
            (directory / "installed").touch()

    def build_packages() -> None:
        run(node, kit / "build_packages.js", "--help")
        run(node, kit / "build_packages.js", "--dist", dist, "--platform", "here", "--binary", runner.evhub)

    def use_fresh() -> None:
        """All that a developer does: one npm install; and a PATH on which no other evhub is found."""
        fresh = runner.scratch / "fresh-javascript"
        fresh.mkdir()
        (fresh / "package.json").write_text('{"private": true, "type": "module"}')
        run(npm, "install", *quiet, *dist.glob("*.tgz"), directory=fresh)
        (fresh / "fresh.test.js").write_text(
            'import { test } from "node:test"; import { useSpace } from "@evhub/testing/node"; const eh = useSpace({ eh1: {} });\n'
            'test("fresh", async () => { await eh.publish("eh1", { body: 1 }); await eh.expect("eh1", { body: 1 }); });\n')
        run(node, "--test", directory=fresh, environment={"PATH": os.defpath})
        run(npm, "exec", "--offline", "--", "evhub", "version", directory=fresh)

    def install_packages() -> None:
        """Into the cache as it is: npm would look at every package again. The tests go beside, where they find what they import."""
        shutil.rmtree(directory / "node_modules" / "@evhub", ignore_errors=True)
        for package in dist.glob("*.tgz"):
            name = "testing" if package.name.startswith("evhub-testing-") else package.name.removeprefix("evhub-").rpartition("-")[0]
            with tarfile.open(package) as archive, tempfile.TemporaryDirectory(dir=runner.scratch) as unpacked:
                archive.extractall(unpacked, filter="data")
                shutil.copytree(Path(unpacked) / "package", directory / "node_modules" / "@evhub" / name)
        shutil.rmtree(directory / "failing", ignore_errors=True)
        for old in [*directory.glob("*.test.js"), *directory.glob("*.jest.*"), *directory.glob("*.vitest.js")]:
            old.unlink()
        shutil.copytree(tests, directory, dirs_exist_ok=True)

    def tool(path: str, *words: str, flags: tuple[str, ...] = ()) -> None:
        run(node, *flags, directory / "node_modules" / path, *words, directory=directory)

    ready = (runner.step("javascript: install the official client and test runners", install_sdks)
             and runner.step("javascript: build the packages", build_packages)
             and runner.step("javascript: install the packages", install_packages))
    if not ready:
        return
    runner.step("javascript: the packages alone, in a fresh directory", use_fresh)
    runner.step("javascript: the kit's tests, with node:test", lambda: run(node, "--test", directory=directory))
    runner.step("javascript: with Jest", lambda: tool("jest/bin/jest.js", "--ci"))
    runner.step("javascript: with Jest and ES modules", lambda: tool(
        "jest/bin/jest.js", "--ci", "--config", "jest.esm.config.cjs", flags=("--experimental-vm-modules",)))
    runner.step("javascript: with Vitest", lambda: tool("vitest/vitest.mjs", "run"))
    runner.step("javascript: the type declarations", lambda: tool("typescript/bin/tsc", "--project", str(directory)))
    runner.step("javascript: beside evhub exec", lambda: run(
        runner.evhub, "exec", "--", node, directory / "node_modules/vitest/vitest.mjs", "run", directory=directory))


KIT_TESTS = {"python": test_python, "javascript": test_javascript}

if __name__ == "__main__":
    sys.exit(main())
