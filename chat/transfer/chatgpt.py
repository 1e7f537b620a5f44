"""A chat of ChatGPT's export: `mapping` has its nodes by their ids, each with a parent and perhaps a message.

Several answers in a row, as they stand there around the use of tools, become one reply. What is no text is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from chat.markdown import title_from
from chat.refused import Refused
from chat.transfer.chats import (
    ImportedChat,
    ImportedMessage,
    in_order,
    mapping_in,
    number_in,
    refuse_too_many,
    text_in,
    time_in,
)

SOURCE = "ChatGPT"
# What a chat does not show there either.
UNSEEN = {"user_editable_context", "model_editable_context", "reasoning_recap", "app_pairing_content"}


@dataclass
class _Said:
    """The text of one node; `num_left_out` counts what of it is none."""

    role: str = ""
    text: str = ""
    reasoning: str = ""
    model: str = ""
    created_at: datetime | None = None
    num_left_out: int = 0


@dataclass
class _Place:
    """Where the chat has come to at a node: below a message, with parts of an answer that may go on.

    `start` numbers the nodes; it is that of the answer's first part.
    """

    start: int
    below: int | None = None
    said: _Said | None = None
    before: _Place | None = None
    closed: int | None = None


def read(document: Mapping[str, Any]) -> ImportedChat:
    """Raises Refused, in words, for what can't be a chat."""
    nodes = {key: node for key, node in mapping_in(document, "mapping").items() if isinstance(node, dict)}
    refuse_too_many(len(nodes))
    chat = ImportedChat(
        source=SOURCE,
        title=" ".join(text_in(document, "title").split()),
        created_at=time_in(document, "create_time"),
        last_active_at=time_in(document, "update_time"),
    )
    _Walk(chat, nodes).fill(text_in(document, "current_node"))
    if not chat.messages:
        raise Refused(_("There is no text in it."))
    chat.title = chat.title or title_from(chat.messages[0].text)
    return chat


class _Walk:
    """From node to node, each after the one above it, the oldest first."""

    def __init__(self, chat: ImportedChat, nodes: Mapping[str, dict[str, Any]]) -> None:
        times = {key: number_in(mapping_in(node, "message"), "create_time") for key, node in nodes.items()}
        self._chat, self._nodes = chat, nodes
        self._parents = {key: text_in(nodes[key], "parent") or None for key in sorted(nodes, key=times.__getitem__)}
        self._places: dict[str, _Place] = {}
        self._starts: list[int] = []

    def fill(self, current: str) -> None:
        """Fill the chat, which opens on the node `current`."""
        has_children = set(self._parents.values())
        for number, key in enumerate(in_order(self._parents)):
            self._places[key] = self._come_to(number, key)
            if key not in has_children:
                self._close(self._places[key])
        last = self._places.get(current)
        self._chat.leaf = (last.closed if last.said else last.below) if last else None
        self._sort()

    def _come_to(self, number: int, key: str) -> _Place:
        above = self._places.get(self._parents[key] or "") or _Place(number)
        said = _said(mapping_in(self._nodes[key], "message"))
        self._chat.num_left_out += said.num_left_out
        if not (said.text or said.reasoning):
            return above
        if said.role == "user":
            user = ImportedMessage(self._close(above), "user", said.text, said.created_at)
            return _Place(number, below=self._add(user, number))
        return _Place(above.start if above.said else number, above.below, said, above if above.said else None)

    def _close(self, place: _Place) -> int | None:
        """The message that what comes next is below: the answer as far as it has come is a reply of its own, once."""
        if place.said is None:
            return place.below
        if place.closed is None:
            place.closed = self._add(_reply(place), place.start)
        return place.closed

    def _add(self, message: ImportedMessage, start: int) -> int:
        self._starts.append(start)
        return self._chat.add(message)

    def _sort(self) -> None:
        """Put the messages in the order in which they began: versions stand in that order."""
        chat = self._chat
        order = sorted(range(len(chat.messages)), key=self._starts.__getitem__)
        moved = {old: new for new, old in enumerate(order)}
        chat.messages = [chat.messages[old] for old in order]
        for message in chat.messages:
            message.parent = None if message.parent is None else moved[message.parent]
        chat.leaf = None if chat.leaf is None else moved[chat.leaf]


def _reply(place: _Place) -> ImportedMessage:
    parts: list[_Said] = []
    at: _Place | None = place
    while at and at.said:
        parts.insert(0, at.said)
        at = at.before
    model = next((part.model for part in reversed(parts) if part.model), "")
    return ImportedMessage(
        parent=place.below,
        role="assistant",
        text="\n\n".join(part.text for part in parts if part.text),
        created_at=parts[-1].created_at,
        reasoning="\n\n".join(part.reasoning for part in parts if part.reasoning),
        said={"model": model} if model else {},
    )


def _said(message: Mapping[str, Any]) -> _Said:
    role = text_in(mapping_in(message, "author"), "role")
    content, metadata = mapping_in(message, "content"), mapping_in(message, "metadata")
    kind = text_in(content, "content_type")
    said = _Said(role, created_at=time_in(message, "create_time"), model=text_in(metadata, "model_slug")[:200])
    if not kind or role == "system" or kind in UNSEEN or metadata.get("is_visually_hidden_from_conversation"):
        return _Said(role)
    is_for_tool = text_in(message, "recipient") not in {"", "all"}
    if role not in {"user", "assistant"} or is_for_tool:
        said.num_left_out = 1
    elif kind in {"text", "multimodal_text"}:
        _read_parts(said, content)
    elif kind == "thoughts":
        said.reasoning = _thoughts(content)
    elif kind == "code" and text_in(content, "text"):
        said.text = f"```{text_in(content, 'language').split(' ')[0]}\n{text_in(content, 'text')}\n```"
    else:
        said.num_left_out = 1
    return said


def _read_parts(said: _Said, content: Mapping[str, Any]) -> None:
    parts = content.get("parts")
    listed = parts if isinstance(parts, list) else []
    texts = [text_in({"part": part}, "part") for part in listed]
    said.text = "\n".join(text for text in texts if text.strip())
    said.num_left_out = sum(not isinstance(part, str) for part in listed)


def _thoughts(content: Mapping[str, Any]) -> str:
    thoughts = content.get("thoughts")
    listed = [thought for thought in thoughts if isinstance(thought, dict)] if isinstance(thoughts, list) else []
    return "\n\n".join(filter(None, (text_in(thought, "content") for thought in listed)))
