"""What happens elsewhere in Django that open pages must hear of (I8), and the start of the inference worker."""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from celery.signals import worker_init, worker_shutting_down
from django.contrib.auth.signals import user_logged_in
from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal, receiver
from django.http import HttpRequest

from chat import hints, valkey
from chat.models import Audit, Generation, Session, ShareLink, User
from chat.sessions import USER_AGENT_KEY
from chat.text import clean_text


@receiver(post_delete, sender=Session)
def sockets_end_with_the_session(instance: Session, **_: Any) -> None:
    # Not at user_logged_out: it is sent while the session is still good.
    if instance.user_id:
        hints.check_sessions(instance.user_id)


@receiver(user_logged_in)
def sessions_know_their_device(request: HttpRequest, **_: Any) -> None:
    request.session[USER_AGENT_KEY] = clean_text(request.META.get("HTTP_USER_AGENT", ""))[:200]


@receiver([post_save, post_delete], sender=Authenticator)
def people_know_their_second_factor(instance: Authenticator, created: bool = True, **_: Any) -> None:
    """Kept with the person, whom every request reads anyway."""
    if created:
        User.objects.filter(id=instance.user_id).update(has_second_factor=_factors_of(instance.user_id).exists())
        hints.check_sessions(instance.user_id)


def _factors_of(user_id: UUID) -> QuerySet[Authenticator]:
    found: QuerySet[Authenticator] = Authenticator.objects.filter(user=user_id)
    return found.exclude(type=Authenticator.Type.RECOVERY_CODES)


@receiver([authenticator_added, authenticator_removed, authenticator_reset])
def second_factors_are_entered(
    request: HttpRequest, user: User, authenticator: Authenticator, signal: Signal, **_: Any
) -> None:
    """A first factor ends the other sessions: they were made without it."""
    acts = {authenticator_added: "added", authenticator_removed: "removed", authenticator_reset: "renewed"}
    Audit.enter(user, f"second_factor.{acts[signal]}", user, request, kind=authenticator.type)
    if signal is authenticator_added and [authenticator] == list(_factors_of(user.id)):
        user.end_other_sessions(request.session.session_key or "")


@receiver([post_save, post_delete], sender=User)
def sockets_follow_the_user(instance: User, created: bool = False, **_: Any) -> None:
    if not created:
        hints.check_sessions(instance.id)
    if not instance.is_active:
        Generation.stop_all_of(instance)
        instance.sessions.all().delete()  # or they would be good again when the person is activated


@receiver(post_save, sender=User)
def links_die_with_their_owner(instance: User, **_: Any) -> None:
    if not instance.is_active:
        ShareLink.objects.filter(owner=instance).revoke()


@worker_init.connect(weak=False)  # type: ignore[untyped-decorator]
def refuse_eviction(**_: Any) -> None:
    valkey.refuse_eviction()


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
