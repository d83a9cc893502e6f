"""Installs the Python SDK in a virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

SUITE = Path(__file__).parent.parent / "python" / "suite.py"


def prepare(directory: Path, version: str) -> list[str]:
    environment = directory / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = environment / "installed"
    if not done.exists():
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"azure-eventhub=={version}"], check=True, stdout=sys.stderr)
        done.touch()
    return [str(python), "-B", str(SUITE)]
