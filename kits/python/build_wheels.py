#!/usr/bin/env python3
"""Builds wheels that carry the evhub binary, one for each platform: python kits/python/build_wheels.py --dist dist

Needs Go and Python 3.11, and no package. It is also what pip asks to build this directory (PEP 517): `pip install kits/python` in a clone
compiles the binary for the machine it runs on. There is no source distribution, since the binary's source is the whole repository.

The wheels are reproducible: the same sources, Go version and --version give the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Wheel tags by Go's name of the platform. The binary is static, so glibc and musl are the same to it. Go 1.26 needs macOS 12.
PLATFORMS = {
    "linux/amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "linux/arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "darwin/amd64": "macosx_12_0_x86_64",
    "darwin/arm64": "macosx_12_0_arm64",
    "windows/amd64": "win_amd64",
    "windows/arm64": "win_arm64",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dist", type=Path, default=Path("dist"), metavar="DIR", help="where the wheels go (default: %(default)s)")
    parser.add_argument("--platform", action="append", choices=[*PLATFORMS, "here"], help="only this one, again for more (default: all)")
    parser.add_argument("--version", default=PROJECT["version"], help="of the wheels and of their binaries (default: %(default)s)")
    parser.add_argument("--binary", type=Path, metavar="PATH", help="carry this binary in place of compiling one; with one --platform")
    options = parser.parse_args()
    platforms = [here() if name == "here" else name for name in options.platform or PLATFORMS]
    if options.binary and len(platforms) != 1:
        parser.error("--binary is for one platform: say --platform")
    options.dist.mkdir(parents=True, exist_ok=True)
    for name in platforms:
        print(options.dist / build(options.dist, name, options.version, options.binary), flush=True)


def here() -> str:
    """Go's name of this machine."""
    machine = platform.machine().lower()
    name = f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine)}"
    if name not in PLATFORMS:
        raise SystemExit(f"there is no wheel for {name}, only for {', '.join(PLATFORMS)}")
    return name


def build(dist: Path, name: str, version: str, binary: Path | None = None) -> str:
    """Writes the wheel for a platform and gives its file name. Without a binary it compiles one."""
    with tempfile.TemporaryDirectory() as directory:
        return write_wheel(dist, name, version, (binary or compile_binary(Path(directory), name, version)).read_bytes())


def compile_binary(directory: Path, name: str, version: str) -> Path:
    goos, goarch = name.split("/")
    binary = directory / "evhub"
    command = ["go", "build", "-trimpath", "-ldflags", f"-s -w -X main.release={version}", "-o", str(binary), "./cmd/evhub"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "CGO_ENABLED": "0", "GOOS": goos, "GOARCH": goarch})
    return binary


def write_wheel(dist: Path, name: str, version: str, binary: bytes) -> str:
    tags, info = PLATFORMS[name], f"pytest_evhub-{version}.dist-info"
    executable = "pytest_evhub/bin/evhub" + (".exe" if name.startswith("windows/") else "")
    files = {f"pytest_evhub/{path.name}": path.read_bytes() for path in package_files()}
    files |= {
        executable: binary,
        f"{info}/METADATA": metadata(version).encode(),
        f"{info}/WHEEL": wheel_text(tags).encode(),
        f"{info}/entry_points.txt": entry_points().encode(),
        f"{info}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    record = f"{info}/RECORD"
    files[record] = "".join([*(record_line(path, data) for path, data in files.items()), f"{record},,\n"]).encode()
    file_name = f"pytest_evhub-{version}-py3-none-{tags}.whl"
    with zipfile.ZipFile(dist / file_name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, so that the mode counts, also when this runs on Windows
            entry.external_attr = (0o100755 if path == executable else 0o100644) << 16
            wheel.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return file_name


def package_files() -> list[Path]:
    return sorted(path for path in (HERE / "src" / "pytest_evhub").iterdir() if path.is_file())


def record_line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def wheel_text(tags: str) -> str:
    lines = ["Wheel-Version: 1.0", "Generator: pytest-evhub", "Root-Is-Purelib: false", *(f"Tag: py3-none-{tag}" for tag in tags.split("."))]
    return "\n".join(lines) + "\n"


def entry_points() -> str:
    groups = {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}
    return "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items()) for group, entries in groups.items())


def metadata(version: str) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {PROJECT['name']}",
        f"Version: {version}",
        f"Summary: {PROJECT['description']}",
        f"License-Expression: {PROJECT['license']}",
        "License-File: LICENSE",
        f"Keywords: {','.join(PROJECT['keywords'])}",
        *(f"Classifier: {line}" for line in PROJECT["classifiers"]),
        f"Requires-Python: {PROJECT['requires-python']}",
        *(f"Requires-Dist: {line}" for line in PROJECT["dependencies"]),
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + "\n\n" + (HERE / PROJECT["readme"]).read_text(encoding="utf-8")


# What pip calls (PEP 517).


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    return build(Path(wheel_directory), here(), PROJECT["version"])


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    raise SystemExit("pytest-evhub has no source distribution: its binary is built from the whole repository of evhub")


if __name__ == "__main__":
    sys.exit(main())
