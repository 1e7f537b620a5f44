"""All chats of a person as one ZIP file, made while it is sent: no more than one chat is in memory."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import override

from chat.transfer.as_markdown import as_markdown
from chat.transfer.file_names import file_name
from chat.transfer.own import written

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from chat.models import Conversation

AT_ONCE = 50


class _Sink:
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def archive(chats: QuerySet[Conversation], language: str) -> Iterator[bytes]:
    """The ZIP file in parts: each chat as JSON, to be imported, and as Markdown, to be read, the oldest first.

    Every part is made by itself, so that each may be asked for in another thread.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:  # type: ignore[call-overload]
        last: UUID | None = None
        while page := list((chats.filter(id__gt=last) if last else chats).order_by("id")[:AT_ONCE]):
            for conversation in page:
                with override(language):
                    _add(file, conversation)
                yield sink.take()
            last = page[-1].id
    yield sink.take()


def _add(file: zipfile.ZipFile, conversation: Conversation) -> None:
    # Of the id the end: its beginning is a time, which several chats may share.
    name, mark = f"{conversation.created_at:%Y-%m-%d} {conversation.title}", f" {conversation.id.hex[-8:]}"
    for ending, text in (
        (".json", json.dumps(written(conversation), ensure_ascii=False, indent=1)),
        (".md", as_markdown(conversation, conversation.branch())),
    ):
        member = zipfile.ZipInfo(file_name(name, mark + ending), conversation.last_active_at.timetuple()[:6])
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = 0o600 << 16
        file.writestr(member, text)
