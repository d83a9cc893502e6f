"""Builds the Java suite against a version of the SDK with Maven, outside of the checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = Path(__file__).parent.parent / "java"
PACKAGE = "azure-messaging-eventhubs"

_POM = SUITE / "pom.xml"
PINNED: str = re.search(r"<sdk\.version>(.+?)</sdk\.version>", _POM.read_text(encoding="utf-8"))[1]

_GOALS = ("org.apache.maven.plugins:maven-compiler-plugin:compile", "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies")

_JVM = (
    # A short run on few cores is over before the second compiler and the parallel collector pay.
    "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g",
    # Threads for timers, else one a core. A buffered producer blocks one while it makes a batch, and in an outage this takes a retry, whose
    # timer may be the same thread's: it and half of the suite would stand still.
    "-Dreactor.schedulers.defaultPoolSize=256",
)


def prepare(directory: Path, version: str) -> list[str]:
    java, maven = shutil.which("java"), shutil.which("mvn")
    if not java or not maven:
        raise SystemExit("the suite java needs a JDK (17 or newer) and Maven on the PATH; leave it out with --suite")
    sources, done = _digest(), directory / "installed"
    if not done.exists() or done.read_text(encoding="utf-8") != sources:
        done.unlink(missing_ok=True)
        for stale in ("classes", "lib"):
            shutil.rmtree(directory / stale, ignore_errors=True)
        settings = {"maven.repo.local": directory.parent / "maven", "output.directory": directory, "sdk.version": version}
        command = [maven, "-q", "-B", "-f", str(_POM), *(f"-D{name}={value}" for name, value in settings.items()), *_GOALS]
        subprocess.run(command, cwd=directory, check=True, stdout=sys.stderr)
        done.write_text(sources, encoding="utf-8")
    classpath = os.pathsep.join((str(directory / "classes"), str(directory / "lib" / "*")))
    return [java, *_JVM, "-cp", classpath, "dev.evhub.conformance.Suite"]


def _digest() -> str:
    """Of all the suite is built from."""
    digest = hashlib.sha256()
    for path in (_POM, *sorted(SUITE.rglob("*.java"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
