"""A TCP proxy in front of the queue server that fails on demand.

Runs on a thread and loop of its own, so that a test that is busy does not slow it down. Every change has taken effect
when its method returns.
"""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PIECE_BYTES = 65_536
# What Dramatiq's script answers when there was nothing to fetch, in both versions of the protocol.
_NOTHING = (b"*0\r\n", b"_\r\n", b"*-1\r\n", b"$-1\r\n")


@dataclass(slots=True, eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    # The command whose reply comes next, where that is to be lost.
    doomed: str | None = None

    def abort(self) -> None:
        """Ends both sides at once, as a crash would: with a reset, without what is still unsent."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


class FaultProxy:
    """Listens on 127.0.0.1:`port` for as long as it is not cut. `upstream` is the unix socket of the real server."""

    def __init__(self, upstream: Path, port: int) -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._flow = asyncio.Event()
        self._doomed: Counter[str] = Counter()
        self.port = port
        # Replies that were lost, by command.
        self.lost: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()
        self._do(self._listen)

    def stop(self) -> None:
        self._do(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> None:
        """Resets every connection and refuses new ones, as when the server's machine is there and the server is not."""
        self._do(self._close)

    def hold(self) -> None:
        """Takes connections and passes nothing on, as a network that loses every packet. Nothing is lost for good."""
        self._do(self._hold)

    def heal(self) -> None:
        """Passes everything on again, and first what was held."""
        self._do(self._heal)

    def lose_replies(self, command: str, times: int = 1) -> None:
        """For the next `times`: the server does what it was asked, and the connection ends before its reply.

        `command` is one of Dramatiq's: fetch (only those replies count that bring messages), ack, enqueue.
        """
        self._do(self._doom, command, times)

    def left_to_lose(self) -> int:
        return sum(self._doomed.values())

    def _do(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        async def run() -> None:
            await work(*arguments)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _listen(self) -> None:
        self._flow.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _heal(self) -> None:
        await self._listen()

    async def _hold(self) -> None:
        self._flow.clear()

    async def _doom(self, command: str, times: int) -> None:
        self._doomed[command] += times

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.abort()
        # Aborted transports close in the next turn of the loop.
        await asyncio.sleep(0)

    async def _shut(self) -> None:
        await self._close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            await self._flow.wait()
            with contextlib.suppress(OSError):
                answers, connection.server = await asyncio.open_unix_connection(str(self._upstream))
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pumps = (self._pass_requests(reader, connection), self._pass_replies(answers, connection))
                tasks = [self._loop.create_task(pump) for pump in pumps]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _pass_requests(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        assert connection.server is not None
        while data := await reader.read(_PIECE_BYTES):
            await self._flow.wait()
            connection.doomed = self._doomed_in(data)
            connection.server.write(data)
            await connection.server.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while data := await reader.read(_PIECE_BYTES):
            await self._flow.wait()
            command, connection.doomed = connection.doomed, None
            if command is not None and self._doomed[command] > 0 and _is_reply_of(command, data):
                self._doomed[command] -= 1
                self.lost[command] += 1
                return
            connection.client.write(data)
            await connection.client.drain()

    def _doomed_in(self, data: bytes) -> str | None:
        for command, times in self._doomed.items():
            if times > 0 and b"\r\n$%d\r\n%s\r\n" % (len(command), command.encode()) in data:
                return command
        return None


def _is_reply_of(command: str, data: bytes) -> bool:
    """Not an error (such as that of a script that the server does not know yet), and of a fetch one with messages."""
    return not data.startswith(b"-") and not (command == "fetch" and data.startswith(_NOTHING))
