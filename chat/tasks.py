from __future__ import annotations

from celery import shared_task

from chat.models import Conversation, Import, Message, RollUp, retention
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
    if Import.is_due():
        import_chats.apply_async(expires=60)


@shared_task
def import_chats() -> None:
    if Import.go_on():
        import_chats.apply_async(expires=60)


@shared_task
def roll_up() -> None:
    RollUp.go_on()


@shared_task
def remove_unused() -> None:
    retention.remove_unused()


@shared_task
def clear_sessions() -> None:
    SessionStore.clear_expired()
