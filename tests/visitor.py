"""Somebody in front of one page, without a browser: posts forms, follows replies, comes back when the line breaks."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

GENERATION = re.compile(r'data-generation="([0-9a-f-]{36})"')
TICKET = re.compile(r'data-ticket="([^"]+)"')
CONVERSATION = re.compile(r"(?im)^hx-push-url: /c/([0-9a-f-]{36})")
CSRF = "a" * 32


@dataclass
class Visitor:
    """Signed in by a session key. `shown` is what the page shows of the reply it follows, block by block."""

    port: int
    session: str
    cursor: str = "0-0"
    ticket: str = ""
    shown: dict[int, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    past: list[list[str]] = field(default_factory=list)
    """The history of each page that was here before this one was loaded."""
    end: dict[str, Any] | None = None
    num_connections: int = 0

    @property
    def cookie(self) -> str:
        return f"session={self.session}; csrf={CSRF}"

    def is_over(self) -> bool:
        return self.end is not None

    @property
    def text(self) -> str:
        return "".join(self.shown[i] for i in sorted(self.shown))

    async def open_page(self) -> ClientConnection:
        self.num_connections += 1
        self.socket = await connect(
            f"ws://127.0.0.1:{self.port}/ws/",
            origin=f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            additional_headers={"Cookie": self.cookie},
            compression=None,
            proxy=None,
        )
        return self.socket

    async def ask(self, text: str, path: str = "/c/", client_id: str = "") -> str:
        """Send a question; the generation that answers it."""
        answer = await self.post(path, {"client_id": client_id or str(uuid4()), "text": text})
        found = GENERATION.search(answer)
        if not found:
            raise RuntimeError(answer[:600])
        self.ticket = TICKET.findall(answer)[0]
        return found[1]

    async def post(self, path: str, fields: dict[str, str]) -> str:
        """The whole answer, head and body."""
        return await self._request("POST", path, urlencode({**fields, "csrfmiddlewaretoken": CSRF}))

    async def get(self, path: str) -> str:
        return await self._request("GET", path, "")

    async def _request(self, method: str, path: str, body: str) -> str:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n"
            f"Origin: http://127.0.0.1:{self.port}\r\nConnection: close\r\n"
            f"HX-Request: {'true' if body else 'false'}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write((head + body).encode())
            return (await reader.read()).decode()
        finally:
            writer.close()

    async def reload(self) -> None:
        """Load the page again: what it showed is forgotten, and its socket closes."""
        self.past.append(self.history)
        self.cursor, self.shown, self.history = "0-0", {}, []
        await self.socket.close()

    async def follow(self, generation: str) -> None:
        frame = {"type": "reply.follow", "generation": generation, "after": self.cursor, "ticket": self.ticket}
        await self.socket.send(json.dumps(frame))

    async def watch(self, generation: str, timeout_s: float = 40) -> None:
        """Follow a reply to its end, over as many connections as it takes."""
        async with asyncio.timeout(timeout_s):
            while not self.is_over():
                try:
                    await self.open_page()
                    await self.follow(generation)
                    async for text in self.socket:
                        await self.take(json.loads(text))
                        if self.is_over():
                            break
                    await self.socket.close()
                except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                    await asyncio.sleep(0.1)

    async def take(self, frame: dict[str, Any]) -> None:
        """Draw a frame as the page does."""
        if frame["type"] == "reply.end":
            self.end = frame
        if frame["type"] != "reply.blocks":
            return
        for patch in frame["answer"]:
            if "append" in patch:
                assert len(self.shown[patch["i"]].encode("utf-16-le")) // 2 == patch["at"]
                self.shown[patch["i"]] += patch["append"]
            else:
                self.shown[patch["i"]] = patch.get("code", patch["html"])
        self.history.append(self.text)
        self.cursor = frame["cursor"]
        ack = {"type": "reply.ack", "generation": frame["generation"], "cursor": self.cursor}
        await self.socket.send(json.dumps(ack))
