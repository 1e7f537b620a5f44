"""What people were told and shown, compared in the end with what is stored, in the manner of Jepsen."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import uuid4

from tests.faults.wide import WideStack
from tests.visitor import CONVERSATION, GENERATION, TICKET, Visitor

PATIENCE_S = 45.0


def words_of(shown: str) -> str:
    """The text of rendered blocks, without the line ends that are only of the source."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown)).split())


@dataclass
class Entry:
    """A question that was accepted, whose reply says the canary of who asked in every word."""

    visitor: Visitor
    client_id: str
    canary: str
    expected: str
    generation: str = ""
    conversation: str = ""
    may_end: tuple[str, ...] = ("completed",)
    is_deleted: bool = False
    path: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """What was posted, and where to."""

    def breaks(self, status: str, stored: str) -> list[str]:
        """What of the invariants does not hold, in words."""
        stored = words_of(stored)
        pages = [[words_of(each) for each in page] for page in (*self.visitor.past, self.visitor.history)]
        seen = [each for page in pages for each in page]
        found = [f"ended {status}"] if status not in self.may_end else []
        if status == "completed" and "completed" in self.may_end and stored != self.expected:
            found.append("I5: the reply is not what the model said")
        if not self.expected.startswith(stored):
            found.append("I5: the stored text is no beginning of what the model said")
        if any(not later.startswith(earlier) for page in pages for earlier, later in pairwise(page)):
            found.append("I6: what was shown changed")
        if any(page and not stored.startswith(page[-1]) for page in pages):
            found.append("I5: shown, but not stored")
        # The last word may be shown in part.
        if not all(self.canary.startswith(word.partition(".")[0]) for each in seen for word in each.split()):
            found.append("I7: a foreign word was shown")
        return found


@dataclass
class Ledger:
    stack: WideStack
    sessions: list[str]
    entries: list[Entry] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    """What cases saw themselves that does not hold."""

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.found.append(otherwise)

    async def ask(
        self,
        who: int,
        *,
        num_words: int = 40,
        rate: float = 60,
        script: str = "",
        web: int = 0,
        conversation: str = "",
        session: str = "",
    ) -> Entry:
        """Send a question, again and again with the same client id until it is accepted."""
        canary = uuid4().hex[:6]
        said = " ".join(f"{canary}.{i}" for i in range(num_words))
        visitor = Visitor(self.stack.ports[web], session or self.sessions[who])
        entry = Entry(visitor, str(uuid4()), canary, said, conversation=conversation)
        path = f"/c/{conversation}/messages/" if conversation else "/c/"
        return await self.send(entry, path, {"text": f"[[rate={rate};{script}say]]{said}"})

    async def send(self, entry: Entry, path: str, fields: dict[str, str]) -> Entry:
        """Post a form, again and again until a reply is on its way that says what the entry expects."""
        entry.path, entry.fields = path, {"client_id": entry.client_id, **fields}
        async with asyncio.timeout(PATIENCE_S):
            while not entry.generation:
                answer = await self.posted(entry.visitor, path, entry.fields)
                if found := GENERATION.findall(answer):
                    entry.generation = found[-1]
                    entry.conversation = (CONVERSATION.findall(answer) or [entry.conversation])[0]
                    entry.visitor.ticket = (TICKET.findall(answer) or [""])[0]
                else:
                    await asyncio.sleep(0.2)
        self.entries.append(entry)
        return entry

    async def posted(self, visitor: Visitor, path: str, fields: dict[str, str]) -> str:
        """The answer to a form; nothing when there was none."""
        try:
            async with asyncio.timeout(8):
                return await visitor.post(path, fields)
        except (OSError, TimeoutError):
            return ""

    def again(self, entry: Entry) -> Entry:
        """An entry for another reply that says the same."""
        visitor = Visitor(entry.visitor.port, entry.visitor.session)
        return Entry(visitor, str(uuid4()), entry.canary, entry.expected, conversation=entry.conversation)

    def messages(self, entry: Entry) -> tuple[str, str]:
        """The ids of a question and of its reply."""
        sql = "SELECT reply.parent_id::text, reply.id::text FROM chat_message reply JOIN chat_generation generation"
        ((asked, reply),) = self.stack.sql(f"{sql} ON message_id = reply.id WHERE generation.id = '{entry.generation}'")
        return str(asked), str(reply)

    async def watch(self, *entries: Entry) -> None:
        await asyncio.gather(*(entry.visitor.watch(entry.generation, PATIENCE_S) for entry in entries))

    async def begun(self, entry: Entry, num_words: int = 5) -> None:
        """Wait until so many words of a reply are shown."""
        for _ in range(int(PATIENCE_S / 0.02)):
            if len(words_of(entry.visitor.text).split()) >= num_words:
                return
            await asyncio.sleep(0.02)
        raise TimeoutError("It did not begin.")

    async def probe(self) -> None:
        """I12: the fault is gone, so a new message is answered without anybody's help."""
        entry = await self.ask(0, num_words=3, rate=200)
        await self.watch(entry)

    def breaks(self) -> list[str]:
        """Compare with what is stored; everything accepted must be there once, and over."""
        rows = self.stack.sql(
            "SELECT generation.id::text, client_id, status, reply.text, ask.text FROM chat_generation generation"
            " JOIN chat_message reply ON reply.id = message_id JOIN chat_message ask ON ask.id = reply.parent_id"
        )
        stored = {str(row[0]): row for row in rows}
        found = [*self.found]
        for entry in self.entries:
            same = [row for row in rows if row[1] == entry.client_id]
            if entry.is_deleted:
                found += ["I1: deleted, but stored"] * bool(same)
                continue
            if len(same) != 1 or entry.generation not in stored:
                found.append(f"I1 I2: stored {len(same)} times")
                continue
            _, _, status, text, _ = stored[entry.generation]
            found += entry.breaks(str(status), str(text))
        counted = "SELECT generation_id, attempt FROM chat_usagerecord GROUP BY 1, 2 HAVING count(*) > 1"
        if self.stack.sql(counted):
            found.append("I11: an attempt was counted twice")
        return found
