from __future__ import annotations

from celery import shared_task

from chat.models import Conversation, Message, RollUp, retention
from chat.sessions import SessionStore
from chat.sweeper import rescue_orphans


@shared_task
def wake() -> None:
    """A reply is queued: the inference worker of this process looks for it."""
    from chat.worker import running_worker

    if worker := running_worker():
        worker.wake()


@shared_task
def sweep() -> None:
    rescue_orphans()
    Message.finish_deletions()
    Conversation.remove_expired()


@shared_task
def roll_up() -> None:
    RollUp.go_on()


@shared_task
def remove_unused() -> None:
    retention.remove_unused()


@shared_task
def clear_sessions() -> None:
    SessionStore.clear_expired()
