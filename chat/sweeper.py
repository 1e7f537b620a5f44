"""What a dead worker left behind is brought to an end (I3)."""

from __future__ import annotations

import structlog

from chat import reply_stream, valkey
from chat.models import Generation

log = structlog.get_logger()


def interrupt_orphans() -> int:
    """End every reply whose worker is gone with the text people were shown; how many there were.

    The stream is fenced before it is read: what a worker that still twitches sends later, nobody was or will be shown.
    """
    orphans = list(Generation.objects.orphaned().select_related("message"))
    client = valkey.client()
    for generation in orphans:
        reply_stream.fence(client, generation.id, generation.attempt + 1)
        status = generation.interrupt(reply_stream.told(client, generation.id, generation.attempt))
        if status:
            reply_stream.end(client, generation.id, generation.attempt + 1, status)
            log.warning("generation.interrupted", generation=str(generation.id), worker=str(generation.worker_id))
    return len(orphans)
