#!/usr/bin/env python3
"""Checks the container image without a container engine: python3 deploy/check_image.py --image dist/evhub-image.tar

The image's layers are unpacked and its commands run in them by chroot, as the user that the image says, with a network, process ids and
mounts of their own: nothing can collide with other programs of the machine, and nothing outlives the check. It needs Linux, root, unshare
(util-linux) and openssl.

 1. The default command becomes healthy by the image's own health check; a foreign process sends, receives, gets a token and posts.
 2. With a Config.json at the official path that has policies of its own, the public key opens nothing.
 3. The notification service, from the same image, posts into that broker over TLS, whose authority is private.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

UID = 65532  # that the image must run as
OFFICIAL_PATH = "Eventhubs_Emulator/ConfigFiles/Config.json"
OFFICIAL_ENV = {"ACCEPT_EULA": "Y", "BLOB_SERVER": "azurite", "METADATA_SERVER": "azurite"}
CONFIG_DIR = "etc/evhub"
START_SECONDS = 20  # for a command to say that it is ready
NAMESPACE = "notifications.test"  # whom the certificate is for; no resolver knows it

# The rights are split, so that each key is seen to do what it may and the public one nothing.
CONFIG = {
    "UserConfig": {"NamespaceConfig": [{"Type": "EventHub", "Name": "emulatorNs1", "Entities": [
        {"Name": "orders", "PartitionCount": 2, "ConsumerGroups": [{"Name": "cg1"}]},
    ]}], "LoggingConfig": {"Type": "File"}},
    "Evhub": {"Policies": [
        {"Name": "writer", "Key": "${env:WRITER_KEY}", "Rights": "Send", "Hub": "orders"},
        {"Name": "reader", "Key": "${env:READER_KEY}", "Rights": "Listen", "Hub": "orders"},
    ]},
}

GATEWAY = """\
listeners:
  api: {{address: 127.0.0.1:8090}}
  probes: {{address: 127.0.0.1:8091}}
targets:
  namespace:
    eventHubs:
      connectionString: ${{file:connection-string}}
      customEndpoint: 127.0.0.1:{port}
      caFile: ca.pem
routes:
  orders: {{target: namespace}}
issuers:
  - url: http://localhost:8080/issuer
    keysUrl: http://127.0.0.1:8080/issuer/jwks
    audiences: ["{audience}"]
    insecure: true
rules:
  - {{issuer: "http://localhost:8080/issuer", kind: app, claim: scope, value: "send:<hub>"}}
drain: {{wait: 0s, total: 10s}}
"""


class Failed(Exception):
    """What the image does wrong, for people."""


def main() -> int:
    options = arguments()
    if os.geteuid() != 0:
        print("check_image: root is needed, for chroot and to run as another user: sudo python3 deploy/check_image.py ...", file=sys.stderr)
        return 2
    if not options.inside:
        return alone(options.image)
    loopback_up()
    with tempfile.TemporaryDirectory(prefix="evhub-image-") as work:
        try:
            check(options.image, Path(work))
        except Failed as failed:
            print(f"FAILED {failed}", flush=True)
            return 1
    print("the image is good", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, required=True, metavar="FILE", help="archive of `make image`, or of `docker save`")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.image.is_file():
        parser.error(f"--image: there is no file {options.image}; make image makes one")
    for tool in ("unshare", "openssl"):
        if not shutil.which(tool):
            parser.error(f"{tool} is needed")
    return options


def alone(image: Path) -> int:
    """Runs this script again as the first process of its own network and process ids: when it ends, all that it started ends."""
    command = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.call([*command, sys.executable, __file__, "--inside", "--image", str(image.resolve())])


def loopback_up() -> None:
    """A new network has one interface, and that is down."""
    set_flags, up = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up))


def check(image: Path, work: Path) -> None:
    root = work / "root"
    config = unpack(image, root)
    if config.get("User") != f"{UID}:{UID}":
        raise Failed(f"the image runs as {config.get('User')!r} and not as {UID}:{UID}")
    for path in ("etc/ssl/certs/ca-certificates.crt", "tmp"):
        if not (root / path).exists():
            raise Failed(f"the image has no /{path}")
    with step("the default command"):
        check_default(root, config)
    keys = {"WRITER_KEY": "d3JpdGVy-3f1c8a", "READER_KEY": "cmVhZGVy-77ab21"}
    put(root, OFFICIAL_PATH, json.dumps(CONFIG))
    mounted = step("a mounted Config.json, and the notification service before it")
    with mounted, Inside(root, config, config["Cmd"], OFFICIAL_ENV | keys) as broker:
        broker.wait_for("ready in")
        want((root / "data/evhub.log").exists(), "LoggingConfig asks for a log file, and /data has none")
        check_public_key_is_refused(root)
        check_gateway(root, config, keys, work)
        broker.end()


def unpack(image: Path, root: Path) -> dict[str, Any]:
    """Lays the layers over each other, and gives the image's configuration."""
    with tarfile.open(image) as archive:
        def read(name: str) -> Any:
            return json.load(archive.extractfile(name))  # type: ignore[arg-type]

        manifest = read("manifest.json")[0]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                members = files.getmembers()
                if hidden := [m.name for m in members if Path(m.name).name.startswith(".wh.")]:
                    raise Failed(f"a layer removes what one below it has, such as {hidden[0]}: the image is larger than it need be")
                files.extractall(root, members=members, filter="fully_trusted")  # owners and modes are what is checked
        return read(manifest["Config"])["config"]


def put(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Puts a file where an engine would mount it. It belongs to root, so the image's user may only read it."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


class Inside:
    """A command that runs in the image as its user. What it prints is kept."""

    def __init__(self, root: Path, config: dict[str, Any], args: list[str], env: dict[str, str] | None = None) -> None:
        put(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")  # every engine gives one
        variables = dict(pair.split("=", 1) for pair in config.get("Env") or [])
        self.name = " ".join(["evhub", *args[:1]])
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [*config["Entrypoint"], *args], env=variables | (env or {}), preexec_fn=lambda: become(root, config.get("WorkingDir") or "/"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        if kind is not None:
            print(f"-- what {self.name} said:", *self.lines, sep="\n   ")

    def read(self) -> None:
        for line in self.process.stdout or ():
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(it ended)")
            self.changed.notify_all()

    def wait_for(self, text: str) -> None:
        def said() -> bool:
            return any(text in line for line in self.lines) or self.lines[-1:] == ["(it ended)"]

        with self.changed:
            self.changed.wait_for(said, START_SECONDS)
            if not any(text in line for line in self.lines):
                raise Failed(f"{self.name} did not say {text!r} within {START_SECONDS} s")

    def end(self) -> None:
        """Asks the command to go, as an engine does, and wants it to drain and go in peace."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within 15 s of SIGTERM") from None
        if code != 0:
            raise Failed(f"{self.name} ended with code {code} after SIGTERM")


def become(root: Path, directory: str) -> None:
    """Is run in the new process, before the command."""
    os.chroot(root)
    os.chdir(directory)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)


def run_inside(root: Path, config: dict[str, Any], command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={}, preexec_fn=lambda: become(root, "/"), capture_output=True, text=True, timeout=30, check=False)


def check_default(root: Path, config: dict[str, Any]) -> None:
    with Inside(root, config, config["Cmd"]) as broker:
        broker.wait_for("ready in")
        health(root, config, [])
        outside(root, "send", "eh1", '{"Hello":"World!"}')
        want('"Hello":"World!"' in outside(root, "receive", "eh1", "--count", "1"), "what was sent was not received")
        status, answer = post("http://127.0.0.1:8080/v1/hubs/eh1/messages", outside(root, "token", "jwt", "--send", "eh1"), {"over": "http"})
        want(status == 201, f"the development service answered {status}: {answer}")
        broker.end()


def health(root: Path, config: dict[str, Any], args: list[str]) -> None:
    """Runs the image's health check, as an engine would."""
    kind, *command = config["Healthcheck"]["Test"]
    want(kind == "CMD", f"the health check is for a shell, which the image has not: {kind}")
    result = run_inside(root, config, [*command, *args])
    want(result.returncode == 0, f"the health check {' '.join([*command, *args])} says: {result.stdout}{result.stderr}")


def check_public_key_is_refused(root: Path) -> None:
    try:
        outside(root, "send", "orders", "{}")
    except Failed:
        return
    raise Failed("the public key may send, although there are policies")


def check_gateway(root: Path, config: dict[str, Any], keys: dict[str, str], work: Path) -> None:
    token = outside(root, "token", "jwt", "--send", "orders")
    with TLS(certificates(work), ("127.0.0.1", 5672)) as tls:
        put(root, f"{CONFIG_DIR}/ca.pem", (work / "ca.pem").read_text())
        put(root, f"{CONFIG_DIR}/connection-string", connection_string(NAMESPACE, "writer", keys["WRITER_KEY"]))
        put(root, f"{CONFIG_DIR}/gateway.yaml", GATEWAY.format(port=tls.port, audience=audience(token)))
        with Inside(root, config, ["gateway", "--config", f"/{CONFIG_DIR}/gateway.yaml"]) as gateway:
            gateway.wait_for("listening")
            wait_ready("http://127.0.0.1:8091/readyz")
            health(root, config, ["http://127.0.0.1:8091/readyz"])
            url = "http://127.0.0.1:8090/v1/hubs/orders/messages"
            status, answer = post(url, token, {"order": 7})
            want(status == 201, f"the notification service answered {status}: {answer}")
            status, answer = post(url, token[:-4] + "AAAA", {"order": 8})
            want(status == 401, f"a token with another signature was answered {status}: {answer}")
            gateway.end()
        want(tls.accepted > 0, "the notification service did not come by TLS")
    reader = connection_string("localhost:5672", "reader", keys["READER_KEY"]) + ";UseDevelopmentEmulator=true"
    received = outside(root, "receive", "orders", "--count", "1", "--json", "--connection-string", reader)
    want(json.loads(json.loads(received)["body"]) == {"order": 7}, f"the hub has something else than what was posted: {received}")


def connection_string(host: str, policy: str, key: str) -> str:
    return f"Endpoint=sb://{host}/;SharedAccessKeyName={policy};SharedAccessKey={key}"


def audience(token: str) -> str:
    """What the development issuer calls its service."""
    payload = token.split(".")[1]
    claim = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"]
    return claim if isinstance(claim, str) else claim[0]


def outside(root: Path, *args: str) -> str:
    """Runs a command of the same binary as any process of the machine."""
    result = subprocess.run([root / "evhub", *args], capture_output=True, text=True, timeout=30, check=False, env={"HOME": "/nonexistent"})
    want(result.returncode == 0, f"evhub {' '.join(args[:2])} failed: {result.stderr}")
    return result.stdout.strip()


def post(url: str, token: str, body: Any) -> tuple[int, str]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def wait_ready(url: str) -> None:
    """Asks as a balancer does, until the answer is yes."""
    deadline, said = time.monotonic() + START_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as not_yet:
            said = not_yet.read().decode().strip()
        time.sleep(0.1)
    raise Failed(f"{url} says after {START_SECONDS} s: {said}")


def certificates(work: Path) -> ssl.SSLContext:
    """Makes a private authority and a certificate of it for NAMESPACE."""
    def openssl(*args: str) -> None:
        result = subprocess.run(["openssl", *args], cwd=work, capture_output=True, text=True, check=False)
        want(result.returncode == 0, f"openssl {args[0]}: {result.stderr}")

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (work / "leaf.ext").write_text(f"subjectAltName=DNS:{NAMESPACE}\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=private authority", "-days", "1")
    openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", f"/CN={NAMESPACE}")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "leaf.pem", "-days", "1",
            "-extfile", "leaf.ext")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(work / "leaf.pem", work / "leaf.key")
    return context


class TLS:
    """Ends TLS before a broker that speaks none, on a free port, in a thread of its own."""

    def __init__(self, context: ssl.SSLContext, broker: tuple[str, int]) -> None:
        self.context, self.broker = context, broker
        self.accepted = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> TLS:
        self.thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context), self.loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.cut(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def cut(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        to_reader, to_writer = await asyncio.open_connection(*self.broker)
        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side left without taking leave
    writer.close()


def want(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


class step:
    """Says what is checked, and how long it took."""

    def __init__(self, name: str) -> None:
        self.name, self.began = name, time.monotonic()

    def __enter__(self) -> None:
        print(f"-- {self.name}", flush=True)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            print(f"   good, {time.monotonic() - self.began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
