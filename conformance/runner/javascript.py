"""Installs the JavaScript SDK with npm: the version that is pinned with all it depends on, or another as npm finds it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = Path(__file__).parent.parent / "javascript"
PACKAGE = "@azure/event-hubs"

_MANIFEST = json.loads((SUITE / "package.json").read_text(encoding="utf-8"))
PINNED: str = _MANIFEST["dependencies"][PACKAGE]


def prepare(directory: Path, version: str) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise SystemExit("the suite javascript needs node and npm on the PATH; leave it out with --suite")
    lock = (SUITE / "package-lock.json").read_text(encoding="utf-8") if version == PINNED else ""
    done = directory / "installed"
    if not done.exists() or done.read_text(encoding="utf-8") != lock:
        manifest = {"private": True, "name": _MANIFEST["name"], "dependencies": {PACKAGE: version}}
        (directory / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
        if lock:
            (directory / "package-lock.json").write_text(lock, encoding="utf-8")
        command = [npm, "ci" if lock else "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(command, cwd=directory, check=True, stdout=sys.stderr)
        done.write_text(lock, encoding="utf-8")
    return [node, str(SUITE / "suite.js"), str(directory)]
