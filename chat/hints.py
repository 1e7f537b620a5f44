"""Content-free hints between processes, through Valkey: each may get lost; a page load or the next look repairs it.

They are sent by a thread of their own, so that no request waits for Valkey, up or down, and a burst costs one wake-up.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from uuid import UUID

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from chat import valkey

CHANNEL = "hints"
WORKER_CHANNEL = "workers"

log = structlog.get_logger()


def wake() -> None:
    """After commit: tell the inference workers that a reply is queued."""
    transaction.on_commit(lambda: _sender().wake())


def conversation_changed(owner_id: UUID, conversation_id: UUID) -> None:
    """After commit: the owner's pages load again what changed."""
    _publish(CHANNEL, {"type": "conversation.changed", "user": str(owner_id), "conversation": str(conversation_id)})


def reply_over(owner_id: UUID, generation_id: UUID) -> None:
    """After commit: a reply ended whose stream will not say so, as it never began."""
    _publish(CHANNEL, {"type": "reply.over", "user": str(owner_id), "generation": str(generation_id)})


def check_sessions(user_id: UUID) -> None:
    """After commit: the sockets of a user look again whether they may stay."""
    _publish(CHANNEL, {"type": "session.check", "user": str(user_id)})


def stop(generation_id: UUID) -> None:
    """After commit: the worker that runs this generation ends it."""
    _publish(WORKER_CHANNEL, {"generation": str(generation_id)})


def answer_now(generation_id: UUID) -> None:
    """After commit: the worker that runs this generation ends its thinking."""
    _publish(WORKER_CHANNEL, {"generation": str(generation_id), "end": "reasoning"})


def wake_holders(worker_ids: Iterable[UUID]) -> None:
    """After commit: these workers look for what was left to them."""
    _publish(WORKER_CHANNEL, {"wake": [str(id_) for id_ in worker_ids]})


def _publish(channel: str, hint: Mapping[str, object]) -> None:
    transaction.on_commit(lambda: _sender().publish(channel, json.dumps(hint)))


@cache
def _sender() -> Sender:
    return Sender()


class Sender:
    """The first of a burst goes out at once; what comes in the pause after it goes together."""

    PAUSE_S = 0.02

    def __init__(self) -> None:
        self._pending: deque[tuple[str, str]] = deque(maxlen=10_000)
        self._is_wake_due = False
        self._due = threading.Event()
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def wake(self) -> None:
        self._is_wake_due = True
        self._due.set()

    def publish(self, channel: str, text: str) -> None:
        self._pending.append((channel, text))
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            try:
                self._send()
            except (RedisError, OSError, OperationalError):
                log.warning("hints.lost")
            except Exception:
                log.exception("hints.failed")
            time.sleep(self.PAUSE_S)

    def _send(self) -> None:
        from chat.tasks import wake

        if self._is_wake_due:
            self._is_wake_due = False
            wake.apply_async(retry=False, expires=30)
        with valkey.client().pipeline(transaction=False) as pipeline:
            while self._pending:
                pipeline.publish(*self._pending.popleft())
            pipeline.execute()
