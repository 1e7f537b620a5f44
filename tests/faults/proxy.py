"""A line to a server that can be slow, narrow, chopped, cut or dead."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path


class Proxy:
    """Takes connections on a TCP port and passes every byte on to a unix socket or a port, as badly as its attributes
    say.

    `latency_s` holds each piece back; `bytes_per_s` (0: no limit) makes the line narrow; `piece` is the most bytes that
    go at once; in a `black_hole` nothing moves, and nobody is told; `refuses` ends every new connection at once.
    """

    def __init__(self, target: Path | int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_open = threading.Event()
        self.port = 0
        self.num_bytes = 0
        """How many went through, both ways together."""
        self.heal()

    def heal(self) -> None:
        self.latency_s = 0.0
        self.bytes_per_s = 0.0
        self.piece = 65_536
        self.black_hole = False
        self.refuses = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        assert self._is_open.wait(10)

    def stop(self) -> None:
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def reset(self) -> None:
        """Cut every connection, without a farewell."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._take, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._is_open.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        if tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=3))
        self._loop.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            onward_reader, onward = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward}
        try:
            await asyncio.gather(self._pump(reader, onward), self._pump(onward_reader, writer))
        finally:
            self._writers -= {writer, onward}

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(str(self._target))

    async def _pass_black_hole(self) -> None:
        while True:
            if not self.black_hole:
                return
            await asyncio.sleep(0.05)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self.piece):
                await self._pass_black_hole()
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                self.num_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()
