"""What is in the wheels, for all platforms; a few bytes stand for the binary."""

import base64
import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("build_wheels", Path(__file__).parent.parent / "build_wheels.py")
build_wheels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_wheels)


@pytest.fixture(params=build_wheels.PLATFORMS)
def wheel(request, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF...")
    name = build_wheels.build(tmp_path, request.param, "1.2.3", binary)
    with zipfile.ZipFile(tmp_path / name) as opened:
        yield request.param, name, opened


def test_the_name_and_the_tags_agree(wheel):
    platform, name, opened = wheel
    tags = name.removesuffix(".whl").split("-")
    assert tags[:4] == ["pytest_evhub", "1.2.3", "py3", "none"]
    text = opened.read("pytest_evhub-1.2.3.dist-info/WHEEL").decode()
    assert [line[5:] for line in text.splitlines() if line.startswith("Tag: ")] == [f"py3-none-{tag}" for tag in tags[4].split(".")]
    assert tags[4].split("_")[0] == {"linux": "manylinux", "darwin": "macosx", "windows": "win"}[platform.split("/")[0]]


def test_only_the_binary_is_executable(wheel):
    platform, _, opened = wheel
    executable = "pytest_evhub/bin/evhub.exe" if platform.startswith("windows") else "pytest_evhub/bin/evhub"
    assert [info.filename for info in opened.infolist() if info.external_attr >> 16 & 0o111] == [executable]
    assert {"pytest_evhub/plugin.py", "pytest_evhub/py.typed"} < set(opened.namelist())


def test_the_record_is_right(wheel):
    _, _, opened = wheel
    lines = opened.read("pytest_evhub-1.2.3.dist-info/RECORD").decode().splitlines()
    assert lines[-1] == "pytest_evhub-1.2.3.dist-info/RECORD,,"
    assert [line.split(",")[0] for line in lines] == opened.namelist()
    for line in lines[:-1]:
        path, digest, size = line.split(",")
        data = opened.read(path)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        assert int(size) == len(data)


def test_the_entry_points(wheel):
    text = wheel[2].read("pytest_evhub-1.2.3.dist-info/entry_points.txt").decode()
    assert text == "[console_scripts]\nevhub = pytest_evhub.server:main\n\n[pytest11]\nevhub = pytest_evhub.plugin\n"


def test_the_same_input_gives_the_same_wheel(tmp_path):
    wheels = []
    for number in "1", "2":
        (directory := tmp_path / number).mkdir()
        wheels.append((directory / build_wheels.write_wheel(directory, "linux/amd64", "1.2.3", b"binary")).read_bytes())
    assert wheels[0] == wheels[1]
