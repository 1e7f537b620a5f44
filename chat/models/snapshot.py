"""What of a conversation is shared: first as a draft that its owner looks at, then as a copy of its own."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from django.utils.translation import get_language

from chat import diagram, markdown, private
from chat.models.generation import Generation
from chat.models.message import Message


@dataclass(frozen=True)
class Selection:
    """What its owner lets others see of a branch; private parts are struck out unless they are `kept`."""

    has_thinking: bool = False
    has_models: bool = True
    has_author: bool = False
    left_out: list[str] = field(default_factory=list)
    """Ids of messages."""
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SharedMessage:
    """A message as it was when it was shared. It is drawn like a message, and like the generation of one."""

    is_over: ClassVar[bool] = True
    can_resume: ClassVar[bool] = False

    source: str
    """The id of the message it was taken from, which no reader gets."""
    role: str
    text: str
    html: str = ""
    reasoning: str = ""
    reasoning_html: str = ""
    status: str = ""
    finish_reason: str = ""
    num_dropped_messages: int = 0
    reasoning_ms: float = 0
    model: str = ""
    id: int = field(default=0, compare=False)
    """Its place in what is shared."""

    @classmethod
    def of(cls, message: Message, selection: Selection) -> SharedMessage:
        if message.role == Message.Role.USER:
            return cls(str(message.id), message.role, private.struck(message.text, selection.kept))
        generation = message.generation
        text, html = _struck(message.text, message.html, selection)
        shared = cls(
            source=str(message.id),
            role=message.role,
            text=text,
            html=html,
            status=generation.status,
            finish_reason=generation.finish_reason,
            num_dropped_messages=generation.num_dropped_messages,
            model=generation.model if selection.has_models else "",
        )
        if not selection.has_thinking:
            return shared
        reasoning, html = _struck(message.reasoning, message.reasoning_html, selection)
        return replace(shared, reasoning_ms=generation.reasoning_ms, reasoning=reasoning, reasoning_html=html)

    @property
    def shown_html(self) -> str:
        return markdown.in_language(self.html, get_language())

    @property
    def shown_reasoning_html(self) -> str:
        return markdown.in_language(self.reasoning_html, get_language())

    @property
    def reasoning_s(self) -> int:
        return max(1, round(self.reasoning_ms / 1000))


def _struck(text: str, html: str, selection: Selection) -> tuple[str, str]:
    """A text and its rendering, which is made anew only when something was struck out."""
    struck = private.struck(text, selection.kept)
    return struck, html if struck == text else diagram.redrawn(markdown.render(struck), html)


class Snapshot(NamedTuple):
    title: str
    author: str
    messages: list[SharedMessage]

    @property
    def content(self) -> list[dict[str, Any]]:
        return [asdict(message) | {"id": place} for place, message in enumerate(self.messages, 1)]


class Draft:
    """What would be shared of the branch that ends with `leaf`: its finished turns, and what its owner should know."""

    def __init__(self, leaf: Message) -> None:
        conversation = leaf.conversation
        messages = {message.id: message for message in conversation.messages.select_related("generation")}
        branch: list[Message] = []
        message: Message | None = messages[leaf.id]
        while message:
            branch.insert(0, message)
            message = messages.get(message.parent_id) if message.parent_id else None
        self.leaf, self.title, self.owner = leaf, conversation.title, conversation.owner
        self.num_elsewhere = len(messages) - len(branch)
        self.running: Generation | None = None
        if branch[-1].role == Message.Role.ASSISTANT and not branch[-1].generation.is_over:
            self.running = branch.pop().generation
        self.branch = branch

    def finished(self, *, is_live: bool = False) -> list[Message]:
        """The messages of finished turns; with the question of the reply that is being written if that is watched."""
        is_cut = self.running is not None and not is_live
        return self.branch[:-1] if is_cut else self.branch

    @property
    def last_words(self) -> str:
        return markdown.title_from(self.leaf.text)

    @property
    def digest(self) -> str:
        """Changes with whatever a reader would see differently: what was looked at is what gets shared."""
        parts = [self.title, *(f"{message.id}{len(message.text)}{message.text}" for message in self.branch)]
        return hashlib.sha256(json.dumps([*parts, self.running is None]).encode()).hexdigest()[:32]

    @property
    def found(self) -> list[str]:
        texts = [text for message in self.branch for text in (message.text, message.reasoning)]
        return private.found([self.title, *texts])

    @property
    def num_thinking(self) -> int:
        return sum(bool(message.reasoning) for message in self.branch)

    @property
    def models(self) -> list[str]:
        replies = [message for message in self.branch if message.role == Message.Role.ASSISTANT]
        return sorted({message.generation.model for message in replies} - {""})

    def snapshot(self, selection: Selection, *, is_live: bool = False) -> Snapshot:
        messages = [each for each in self.finished(is_live=is_live) if str(each.id) not in selection.left_out]
        return Snapshot(
            self._struck_title(selection),
            self.owner.name if selection.has_author else "",
            [SharedMessage.of(message, selection) for message in messages],
        )

    def _struck_title(self, selection: Selection) -> str:
        """A title is cut where a line ends, so a long private part may stand in it with its beginning only."""
        title = private.struck(self.title, selection.kept)
        for part in set(self.found) - set(selection.kept):
            before, beginning, _ = title.partition(part[:16])
            if beginning and len(part) > 16:
                title = before + private.STRUCK
        return title


class Change(NamedTuple):
    """How one message differs between two snapshots: lines that begin with + or -."""

    role: str
    lines: list[str]


def difference(old: Sequence[SharedMessage], new: Sequence[SharedMessage]) -> list[Change]:
    before = {message.source: message for message in old}
    after = {message.source: message for message in new}
    changes: list[Change] = []
    for source, message in (before | after).items():
        was, now = before.get(source), after.get(source)
        if was != now:
            changes.append(Change(message.role, _changed_lines(was, now)))
    return changes


def _changed_lines(was: SharedMessage | None, now: SharedMessage | None) -> list[str]:
    lines = difflib.ndiff(_lines(was), _lines(now))
    return [line for line in lines if line[0] in "+-"]


def _lines(message: SharedMessage | None) -> list[str]:
    return [*message.reasoning.splitlines(), *message.text.splitlines()] if message else []
