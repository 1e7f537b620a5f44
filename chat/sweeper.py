"""What a dead worker left behind goes on elsewhere, or is brought to an end (I3)."""

from __future__ import annotations

import structlog

from chat import reply_stream, valkey
from chat.models import Generation

log = structlog.get_logger()


def rescue_orphans() -> int:
    """Queue every reply whose worker is gone again, with the text people were shown; how many there were.

    The stream is fenced before it is read: what a worker that still twitches sends later, nobody was or will be shown.
    """
    orphans = list(Generation.objects.orphaned().select_related("message"))
    for generation in orphans:
        rescue(generation)
    return len(orphans)


def rescue(generation: Generation) -> None:
    """Take a running reply away from its worker, and queue or end it with the text people were shown."""
    client = valkey.client()
    reply_stream.fence(client, generation.id, generation.attempt + 1)
    status = generation.rescue(reply_stream.told(client, generation.id, generation.attempt))
    if status and status != Generation.Status.QUEUED:
        reply_stream.end(client, generation.id, generation.attempt + 1, status)
    if status:
        worker = str(generation.worker_id)
        log.warning("generation.rescued", generation=str(generation.id), worker=worker, status=status)
