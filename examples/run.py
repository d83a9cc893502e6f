#!/usr/bin/env python3
"""Runs the examples' tests against an evhub binary: python3 examples/run.py --evhub PATH

The Python example gets an environment of its own, with what its requirements.txt names and with the kit of kits/python, as a wheel that
carries this binary. The Go example is part of `go test ./...`, and those in containers/ need a container engine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "python"
KIT = ROOT / "kits" / "python"
PYTHON_MIN = (3, 11)


def main() -> int:
    options = arguments()
    python = environment(options.cache)
    install_kit(python, options.evhub)
    print(f"-- {EXAMPLE.relative_to(ROOT)}", flush=True)
    # A broker or binary that the caller's environment names is not the one to be tried.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("EVHUB", "EVENTHUB_"))} | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.call([python, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options.pytest], cwd=EXAMPLE, env=env)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evhub", type=Path, required=True, metavar="PATH", help="the evhub binary")
    cache = os.environ.get("EVHUB_EXAMPLES_CACHE") or Path(tempfile.gettempdir()) / "evhub-examples"
    parser.add_argument("--cache", type=Path, default=Path(cache), metavar="DIR",
                        help="where packages are installed; $EVHUB_EXAMPLES_CACHE, else %(default)s")
    parser.add_argument("pytest", nargs="*", help="more for pytest, behind --")
    options = parser.parse_args()
    if sys.version_info < PYTHON_MIN:
        parser.error(f"Python {'.'.join(map(str, PYTHON_MIN))} or newer is needed, this is {sys.version.split()[0]}")
    options.evhub = options.evhub.resolve()
    if not options.evhub.is_file():
        parser.error(f"--evhub: there is no file {options.evhub}")
    return options


def environment(cache: Path) -> Path:
    """Gives the interpreter of an environment with the example's requirements, made anew when these or this Python have changed."""
    requirements = EXAMPLE / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache / f"python-{wanted}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        print(f"-- installing into {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip(python, "-r", requirements)
        (home / "complete").touch()
    return python


def install_kit(python: Path, evhub: Path) -> None:
    """Installs the kit as its users do, from a wheel. It is another one whenever the binary is."""
    with tempfile.TemporaryDirectory() as dist:
        build = [sys.executable, KIT / "build_wheels.py", "--dist", dist, "--platform", "here", "--binary", evhub]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(dist).iterdir()
        pip(python, "--force-reinstall", "--no-deps", wheel)


def pip(python: Path, *what: str | Path) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what], check=True)


if __name__ == "__main__":
    sys.exit(main())
