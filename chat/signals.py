"""What happens elsewhere in Django that open pages must hear of (I8), and the start of the inference worker."""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from celery.signals import worker_init, worker_shutting_down
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from chat import hints
from chat.models import Generation, ShareLink, User


@receiver(post_delete, sender=Session)
def sockets_end_with_the_session(instance: Session, **_: Any) -> None:
    # Not at user_logged_out: it is sent while the session is still good.
    if user_id := instance.get_decoded().get(SESSION_KEY):
        hints.check_sessions(UUID(user_id))


@receiver([post_save, post_delete], sender=User)
def sockets_follow_the_user(instance: User, created: bool = False, **_: Any) -> None:
    if not created:
        hints.check_sessions(instance.id)
    if not instance.is_active:
        Generation.stop_all_of(instance)


@receiver(post_save, sender=User)
def links_die_with_their_owner(instance: User, **_: Any) -> None:
    if not instance.is_active:
        ShareLink.objects.filter(owner=instance).revoke()


@worker_init.connect(weak=False)  # type: ignore[untyped-decorator]
def start_inference(**_: Any) -> None:
    if os.environ.get("QWENWEB_DEVICE"):
        from chat.worker import start_worker

        start_worker()


@worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def stop_inference(**_: Any) -> None:
    """Celery calls this inside a signal handler, so the stopping is left to a thread that the process waits for."""
    from threading import Thread

    from chat.worker import running_worker

    if worker := running_worker():
        Thread(target=worker.stop, name="stop").start()
