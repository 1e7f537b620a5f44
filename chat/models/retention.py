"""The end of chats that nobody uses, by the rules of groups, with a receipt for each person in the audit log.

A chat is used when something is asked in it. Of several groups the longest time holds, and groups that say nothing
about it do not count. Pinned chats stay: pinning says that they are wanted. Temporary ones have an end of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import structlog
from django.db import connection, transaction
from redis.exceptions import RedisError

from chat import reply_stream, valkey
from chat.models.audit import Audit
from chat.models.conversation import Conversation
from chat.models.generation import Generation
from chat.models.user import User

log = structlog.get_logger()

# What one run removes at most; the next one goes on. A batch is what is looked up at once.
MOST_CHATS = 5000
BATCH = 100


def remove_unused() -> int:
    """Delete the chats whose time is over, and enter for each owner what that was; how many chats."""
    num_chats = 0
    for owner in User.objects.filter(id__in=_owners()):
        removed: Counter[str] = Counter()
        for conversation in _due(owner.id, MOST_CHATS - num_chats):
            removed += remove(conversation)
        num_chats += removed["conversation"]
        if removed:
            Audit.enter(None, "retention.removed", owner, None, **removed)
    return num_chats


def remove(conversation: Conversation) -> Counter[str]:
    """Delete a chat with all that hangs on it, in the cache too; how many rows of each kind that were.

    Nothing is deleted when it was used or pinned since it was looked up.
    """
    generations = list(Generation.objects.filter(message__conversation=conversation).values_list("id", flat=True))
    unchanged = Conversation.objects.select_for_update().filter(
        id=conversation.id, last_active_at=conversation.last_active_at, pinned_at=None
    )
    with transaction.atomic():
        rows = conversation.remove() if unchanged.first() else {}
    if not rows:
        return Counter()
    receipt = Counter({label.rpartition(".")[2].lower(): number for label, number in rows.items()})
    receipt["cached replies"] = forget_cached(generations)
    return +receipt


def forget_cached(generations: list[UUID]) -> int:
    """Remove the streams of replies that are gone; how many there were."""
    try:
        return reply_stream.forget(valkey.client(), generations)
    except RedisError as error:  # what is left there ends by itself
        log.warning("retention.cache_unreachable", error=str(error))
        return 0


def _owners() -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT owner_id FROM ({DUE}) AS due")
        return [row[0] for row in cursor.fetchall()]


def _due(owner_id: UUID, most: int) -> Iterator[Conversation]:
    """Chats of one person whose time is over, the oldest first. Each is gone before the next batch is looked up."""
    while most > 0:
        with connection.cursor() as cursor:
            cursor.execute(f"{DUE} AND owner_id = %s ORDER BY last_active_at LIMIT %s", [owner_id, min(BATCH, most)])
            ids = [row[0] for row in cursor.fetchall()]
        yield from Conversation.objects.filter(id__in=ids)
        most = most - len(ids) if ids else 0


DUE = """
    SELECT conversation.id, owner_id FROM chat_conversation conversation JOIN (
        SELECT user_id, max(keep_days) AS days
        FROM chat_user_groups JOIN chat_grouprule USING (group_id) WHERE keep_days IS NOT NULL GROUP BY 1
    ) AS kept ON kept.user_id = owner_id
    WHERE pinned_at IS NULL AND expires_at IS NULL AND last_active_at < now() - make_interval(days => days)
"""
