"""A TCP proxy between SDKs and the broker, whose connections and listeners can be made to die, to hang and to come back.

    python3 conformance/runner/proxy.py HOST:PORT      where the broker listens

It prints one line of JSON, {"control": "http://127.0.0.1:PORT"}, and ends when its standard input is closed. Each case opens paths of its
own, so that none disturbs another. Every request is answered with the path's state as JSON:

    POST /paths                  opens a path: a listener on a port of its own, which forwards to the broker
    GET  /paths/N                {"id": N, "address": "127.0.0.1:PORT", "listening": true, "connections": [..]}, a connection in the order
                                 of arrival being {"open": true, "endedBy": ""}; client, broker or cut ends it, whoever is first
    POST /paths/N/cut            resets the path's connections and closes its listener, so that connecting is refused
    POST /paths/N/mend           listens again on the same port
    POST /paths/N/stall/client   holds back what the clients of the connections that are open send from now on; the sockets' buffers fill
    POST /paths/N/stall/broker   the same for what the broker sends
    POST /paths/N/resume         lets everything flow again; so does the end of a connection
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import threading

_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # for SO_LINGER: closing the socket sends RST
_CHUNK_BYTES = 64 << 10


class Proxy:
    """The proxy as a process of its own; with ends it."""

    def __init__(self, broker: str):
        self._process = subprocess.Popen([sys.executable, __file__, broker], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.control: str = json.loads(self._process.stdout.readline())["control"]

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()


class _Connection:
    """One connection of a client and the one to the broker that belongs to it."""

    def __init__(self, client: tuple, broker: tuple):
        self._ends = {"client": client, "broker": broker}  # reader and writer
        self._flowing = {"client": asyncio.Event(), "broker": asyncio.Event()}  # by who sends
        self.resume()
        self.ended_by = ""
        self.gone = False  # in both directions

    async def run(self) -> None:
        await asyncio.gather(self._forward("client", "broker"), self._forward("broker", "client"))
        for _, writer in self._ends.values():
            writer.close()
        self.gone = True

    async def _forward(self, source: str, target: str) -> None:
        reader, writer = self._ends[source][0], self._ends[target][1]
        try:
            while data := await reader.read(_CHUNK_BYTES):
                await self._flowing[source].wait()
                writer.write(data)
                await writer.drain()
            self._end(source)
            writer.write_eof()
        except OSError:  # the socket of one of the two is gone, and with it the connection
            self._end(source)
            self._abort()

    def _end(self, by: str) -> None:
        self.ended_by = self.ended_by or by
        self.resume()  # so that the other direction sees the end

    def _abort(self) -> None:
        for _, writer in self._ends.values():
            writer.transport.abort()

    def cut(self) -> None:
        self._end("cut")
        for _, writer in self._ends.values():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._abort()

    def stall(self, source: str) -> None:
        self._flowing[source].clear()

    def resume(self) -> None:
        for flowing in self._flowing.values():
            flowing.set()


class _Path:
    """A listener and its connections."""

    def __init__(self, id: int, broker: str):
        self._id = id
        self._broker = broker
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: list[_Connection] = []

    async def mend(self) -> None:
        if not self._server:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host, _, port = self._broker.rpartition(":")
            broker = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((reader, writer), broker)
        self._connections.append(connection)
        await connection.run()

    async def cut(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for connection in self._alive():
            connection.cut()

    async def stall(self, source: str) -> None:
        for connection in self._alive():
            connection.stall(source)

    async def resume(self) -> None:
        for connection in self._alive():
            connection.resume()

    def _alive(self) -> list[_Connection]:
        return [connection for connection in self._connections if not connection.gone]

    def state(self) -> dict:
        connections = [{"open": not connection.ended_by, "endedBy": connection.ended_by} for connection in self._connections]
        return {"id": self._id, "address": f"127.0.0.1:{self._port}", "listening": self._server is not None, "connections": connections}


class _Control:
    """The paths, and the requests about them."""

    def __init__(self, broker: str):
        self._broker = broker
        self._paths: list[_Path] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, which has no body, and closes."""
        try:
            method, target, _ = (await reader.readline()).decode("latin-1").split(" ", 2)
            while (await reader.readline()).strip():
                pass
            status, answer = "200 OK", await self._answer(method, target.strip("/").split("/"))
        except (LookupError, ValueError) as error:
            status, answer = "404 Not Found", {"error": f"there is nothing like this here: {error}"}
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def _answer(self, method: str, words: list[str]) -> dict:
        match method, words:
            case "POST", ["paths"]:
                path = _Path(len(self._paths), self._broker)
                self._paths.append(path)  # at once: its place in the list is its id
                await path.mend()
            case "GET", ["paths", id]:
                path = self._paths[int(id)]
            case "POST", ["paths", id, ("cut" | "mend" | "resume") as deed]:
                path = self._paths[int(id)]
                await getattr(path, deed)()
            case "POST", ["paths", id, "stall", ("client" | "broker") as source]:
                path = self._paths[int(id)]
                await path.stall(source)
            case _:
                raise LookupError(f"{method} /{'/'.join(words)}")
        return path.state()


async def _main(broker: str) -> None:
    control = await asyncio.start_server(_Control(broker).serve, "127.0.0.1", 0)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    print(json.dumps({"control": "http://127.0.0.1:%d" % control.sockets[0].getsockname()[1]}), flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
