"""Finding what one wrote or was told: words, their beginnings, and pieces of text that has no spaces between words.

Postgres keeps the words of each title and message in a generated column; `chat_words` in migration 0005 makes them the
way `_terms` reads a query: small letters, words apart at everything that is no letter or digit, and overlapping pairs
of characters where a script writes without spaces.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from chat.models import User
from chat.text import clean_text

LONGEST_QUERY = 200
MOST_CHATS = 20
MOST_MESSAGES = 60
SHOWN_BEFORE = 40
SHOWN_LENGTH = 160

# The same ranges as in the migration.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
)
_APART = re.compile(
    "[\x01-\x2f:-@\\[-\x60{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u2190-\u2bff\u3000-\u3004"
    "\u3008-\u303f\ufe30-\ufe4f\uff01-\uff0f]+"
)
_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}\\s]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
# Marks of Markdown that say nothing in one line.
_MARKS = re.compile(r"\*\*|`{3}\w*|`")


class Found(NamedTuple):
    """A conversation with the words that match: those of its newest such message, or only of its title."""

    conversation_id: UUID
    message_id: UUID | None
    title: SafeString
    snippet: SafeString


def search(user: User, query: str) -> list[Found]:
    """A person's own conversations that have all words of the query in their title, then in one message; the newest
    first, each conversation once. The last word may be the beginning of one."""
    terms = _terms(query)
    if not terms:
        return []
    params: dict[str, Any] = {
        "owner": user.id,
        "words": " & ".join(_lexemes(terms)),
        "pieces": [f"%{term}%" for term in terms if len(term) > 2 and _UNSPACED.match(term)],
        "most_chats": MOST_CHATS,
        "most_messages": MOST_MESSAGES,
    }
    marks = re.compile("|".join(map(re.escape, sorted(terms, key=len, reverse=True))), re.IGNORECASE)
    found: dict[UUID, Found] = {}
    with connection.cursor() as cursor:
        cursor.execute(TITLES, params)
        for conversation_id, title in cursor.fetchall():
            found[conversation_id] = Found(conversation_id, None, _marked(title, marks), SafeString())
        cursor.execute(MESSAGES, params)
        for conversation_id, title, message_id, text in cursor.fetchall():
            if conversation_id not in found or found[conversation_id].message_id is None:
                snippet = _snippet(text, marks)
                found[conversation_id] = Found(conversation_id, message_id, _marked(title, marks), snippet)
    return list(found.values())[:MOST_CHATS]


def _terms(query: str) -> list[str]:
    normal = unicodedata.normalize("NFKC", clean_text(query)[:LONGEST_QUERY]).lower()
    return list(dict.fromkeys(_RUN.findall(_APART.sub(" ", normal))))[:16]


def _lexemes(terms: list[str]) -> list[str]:
    """What Postgres looks up; letters of a word that is still being typed are the beginning of one."""
    lexemes: list[str] = []
    for term in terms:
        if _UNSPACED.match(term):
            # Every other pair covers the word, whose text is looked at besides. With all of them Postgres would take it
            # for much rarer than it is, and fetch every message that has it instead of the newest ones.
            pairs = [term[start : start + 2] for start in {*range(0, len(term) - 1, 2), max(0, len(term) - 2)}]
            lexemes += [f"'{pair}'" if len(pair) > 1 else f"'{pair}':*" for pair in pairs]
        else:
            is_beginning = term is terms[-1] and len(term) > 1
            lexemes.append(f"'{term[:60]}'{':*' * is_beginning}")
    return lexemes


def _snippet(text: str, marks: re.Pattern[str]) -> SafeString:
    """The place of the first match with what stands around it, in one line."""
    found = marks.search(text)
    start = max(0, found.start() - SHOWN_BEFORE) if found else 0
    shown = " ".join(_MARKS.sub("", text[start : start + SHOWN_LENGTH]).split())
    before, after = "…" * (start > 0), "…" * (start + SHOWN_LENGTH < len(text))
    return _marked(f"{before}{shown}{after}", marks)


def _marked(text: str, marks: re.Pattern[str]) -> SafeString:
    parts: list[str] = []
    end = 0
    for match in marks.finditer(text):
        parts += [escape(text[end : match.start()]), "<mark>", escape(match[0]), "</mark>"]
        end = match.end()
    return mark_safe("".join([*parts, escape(text[end:])]))


TITLES = """
    SELECT id, title FROM chat_conversation
    WHERE owner_id = %(owner)s AND expires_at IS NULL AND words @@ %(words)s::tsquery
      AND title ILIKE ALL (%(pieces)s::text[])
    ORDER BY last_active_at DESC LIMIT %(most_chats)s
"""
MESSAGES = """
    SELECT conversation.id, conversation.title, message.id, message.text
    FROM chat_message message JOIN chat_conversation conversation ON conversation.id = message.conversation_id
    WHERE conversation.owner_id = %(owner)s AND conversation.expires_at IS NULL AND message.deleted_at IS NULL
      AND message.words @@ %(words)s::tsquery AND message.text ILIKE ALL (%(pieces)s::text[])
    ORDER BY message.id DESC LIMIT %(most_messages)s
"""
