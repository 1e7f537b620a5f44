from __future__ import annotations

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from chat.models import Message
from chat.sweeper import interrupt_orphans


@shared_task
def wake() -> None:
    """A reply is queued: the inference worker of this process looks for it."""
    from chat.worker import running_worker

    if worker := running_worker():
        worker.wake()


@shared_task
def sweep() -> None:
    interrupt_orphans()
    Message.finish_deletions()


@shared_task
def clear_sessions() -> None:
    SessionStore.clear_expired()
