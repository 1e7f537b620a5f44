"""People of a benchmark: they note when what they see was made and when it came."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from tests.visitor import Visitor

STAMP = re.compile(r"‹(\d+):(\d+)›")


@dataclass
class Person(Visitor):
    """One person in front of one page; times are milliseconds."""

    asked: float = 0.0
    posted_ms: float = 0.0
    first_ms: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    num_seen: int = 0
    num_frames: int = 0
    num_disordered: int = 0

    async def measure(self, text: str) -> None:
        """Send a question and watch its reply, made of stamped tokens, to the end."""
        self.asked = time.perf_counter()
        generation = await self.ask(text)
        self.posted_ms = (time.perf_counter() - self.asked) * 1000
        await self.follow(generation)
        async for frame in self.socket:
            await self.take(json.loads(frame))
            if self.end:
                break
        await self.socket.close()

    async def take(self, frame: dict[str, Any]) -> None:
        now_ns = time.time_ns()
        if frame["type"] == "reply.blocks":
            self.num_frames += 1
            self.first_ms = self.first_ms or (time.perf_counter() - self.asked) * 1000
            for patch in frame["answer"]:
                self._note(patch.get("html", ""), now_ns)
        await super().take(frame)

    def _note(self, html: str, now_ns: int) -> None:
        for number, stamp in STAMP.findall(html):
            if int(number) >= self.num_seen:
                self.num_disordered += int(number) != self.num_seen
                self.num_seen = int(number) + 1
                self.latencies_ms.append((now_ns - int(stamp)) / 1e6)

    def num_lost(self, num_tokens: int) -> int:
        """Tokens missing from what is shown in the end; any out of order are counted too."""
        shown = [int(number) for number, _ in STAMP.findall(self.text)]
        self.num_disordered += shown != sorted(set(shown))
        return num_tokens - len(set(shown))
