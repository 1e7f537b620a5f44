"""What stands above a page: that an administrator may read one's chats, and the administrator's banners.

One prepared query a page, and none where a page shows no notices.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from chat.database import execute
from chat.models import Banner


class Notice(NamedTuple):
    """A banner; or, with a `reader`, that this person may read one's chats, or one of them, from `since` to `until`."""

    id: UUID
    level: str
    text: str
    reader: str
    conversation_id: UUID | None
    since: datetime
    until: datetime | None

    @property
    def can_be_dismissed(self) -> bool:
        return self.level != Banner.Level.ERROR


def notices(request: HttpRequest) -> dict[str, object]:
    """The context of templates: `notices` are looked up where a template shows them."""
    return {"notices": SimpleLazyObject(lambda: _shown_to(request))}


def _shown_to(request: HttpRequest) -> list[Notice]:
    user = getattr(request, "user", None)
    is_known = bool(user and user.is_authenticated)
    user_id = user.pk if user and is_known else None
    is_staff = bool(user and user.is_staff)
    return [Notice(*row) for row in execute(SHOWN, [user_id, is_staff, user_id]).fetchall()]


SHOWN = """
    SELECT id, level, text, reader, conversation_id, since, until FROM (
        SELECT id, 'error' AS level, reason AS text, reader_name AS reader, conversation_id, created_at AS since,
               coalesce(ended_at, expires_at) AS until, 0 AS place
        FROM chat_glassbreak WHERE person_id = %s::uuid AND acknowledged_at IS NULL
        UNION ALL
        SELECT id, level, text, '', NULL, starts_at, ends_at,
               CASE level WHEN 'error' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END
        FROM chat_banner banner
        WHERE starts_at <= now() AND (ends_at IS NULL OR ends_at > now()) AND (audience = 'everyone' OR %s::boolean)
          AND (level = 'error' OR NOT EXISTS (
              SELECT FROM chat_banner_dismissed_by dismissed
              WHERE dismissed.banner_id = banner.id AND dismissed.user_id = %s::uuid
          ))
    ) AS notice ORDER BY place, since DESC
"""
