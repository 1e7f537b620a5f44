"""What the model reads of a conversation: the same for a reply that is made and for a draft that is measured."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from chat.database import execute
from chat.models import Message
from inference.contract import ChatMessage


class Read(NamedTuple):
    """A message of a branch, and how the model reads it."""

    id: UUID
    said: ChatMessage


def system(folder: str, preset: str) -> list[ChatMessage]:
    """One message: what the folder of the conversation says, then what the preset says.

    The folder is about the matter, the preset about the task at hand; where they differ, models heed what comes last.
    """
    text = "\n\n".join(filter(None, [folder, preset]))
    return [ChatMessage("system", text)] if text else []


class Texts:
    """All messages of a conversation, and the system prompt of its folder; one query."""

    def __init__(self, conversation_id: UUID) -> None:
        rows = execute(MESSAGES, [conversation_id] * 2).fetchall()
        self._messages = {row[0]: row[1:] for row in rows}
        _, _, self._folder = self._messages.pop(None, (None, "", ""))

    def system(self, preset: str) -> list[ChatMessage]:
        """What stands before the conversation, with the system prompt of the preset it is asked with."""
        return system(self._folder, preset)

    def __contains__(self, message_id: UUID | None) -> bool:
        return message_id in self._messages

    def text(self, message_id: UUID) -> str:
        return str(self._messages[message_id][2])

    def branch(self, leaf: UUID | None) -> list[Read]:
        """From the root down to a message; what ended without a word is left out."""
        found: list[Read] = []
        while leaf:
            above, role, text = self._messages[leaf]
            if text:
                found.append(Read(leaf, ChatMessage("user" if role == Message.Role.USER else "assistant", text)))
            leaf = above
        return found[::-1]


# The folder's system prompt is a message without an id.
MESSAGES = """
    SELECT id, parent_id, role, text FROM chat_message WHERE conversation_id = %s
    UNION ALL
    SELECT NULL, NULL, 'system', folder.system_prompt
    FROM chat_conversation conversation JOIN chat_folder folder ON folder.id = conversation.folder_id
    WHERE conversation.id = %s AND folder.system_prompt <> ''
"""
