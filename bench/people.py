"""People of a benchmark: each has a session, a socket and a cheap way to post, so that little time is theirs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

GENERATION = re.compile(rb'data-generation="([0-9a-f-]{36})"')
STAMP = re.compile(r"‹(\d+):(\d+)›")
CSRF = "a" * 32


@dataclass
class Person:
    """One person in front of one page; times are milliseconds."""

    port: int
    session: str
    first_ms: float = 0.0
    posted_ms: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    num_lost: int = 0
    num_disordered: int = 0
    num_frames: int = 0
    status: str = ""

    @property
    def cookie(self) -> str:
        return f"session={self.session}; csrf={CSRF}"

    async def open_page(self) -> None:
        headers = {"Cookie": self.cookie}
        self.socket: ClientConnection = await connect(
            f"ws://127.0.0.1:{self.port}/ws/",
            origin=f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            additional_headers=headers,
            compression=None,
        )

    async def ask(self, text: str, num_tokens: int) -> None:
        """Send a question and watch its reply to the end."""
        asked = time.perf_counter()
        answer = await self._post("/c/", {"client_id": str(uuid4()), "text": text})
        self.posted_ms = (time.perf_counter() - asked) * 1000
        found = GENERATION.search(answer)
        if not found:
            raise RuntimeError(answer[:600].decode(errors="replace"))
        generation = found[1].decode()
        await self.socket.send(json.dumps({"type": "reply.follow", "generation": generation, "after": "0-0"}))
        await self._watch(asked, generation, num_tokens)

    async def _watch(self, asked: float, generation: str, num_tokens: int) -> None:
        blocks: dict[int, str] = {}
        num_seen = 0
        async for text in self.socket:
            now_ns = time.time_ns()
            frame: dict[str, Any] = json.loads(text)
            if frame["type"] == "reply.end":
                self.status = frame["status"]
                break
            if frame["type"] != "reply.blocks":
                continue
            self.num_frames += 1
            self.first_ms = self.first_ms or (time.perf_counter() - asked) * 1000
            for patch in frame["answer"]:
                blocks[patch["i"]] = patch["html"]
                for number, stamp in STAMP.findall(patch["html"]):
                    if int(number) >= num_seen:
                        self.num_disordered += int(number) != num_seen
                        num_seen = int(number) + 1
                        self.latencies_ms.append((now_ns - int(stamp)) / 1e6)
            await self.socket.send(json.dumps({"type": "reply.ack", "generation": generation, "cursor": frame["cursor"]}))
        shown = [int(number) for i in sorted(blocks) for number, _ in STAMP.findall(blocks[i])]
        self.num_lost = num_tokens - len(set(shown) & set(range(num_tokens)))
        self.num_disordered += shown != sorted(set(shown))

    async def _post(self, path: str, fields: dict[str, str]) -> bytes:
        from urllib.parse import urlencode

        body = urlencode({**fields, "csrfmiddlewaretoken": CSRF}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n"
            f"Origin: http://127.0.0.1:{self.port}\r\nHX-Request: true\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()
        return answer
