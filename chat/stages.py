"""What happens to a reply before its first word, in a sentence for the person who waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from chat.models import Generation, Worker


@dataclass(frozen=True, slots=True)
class Stage:
    status: str
    stage: str
    text: str

    @property
    def is_over(self) -> bool:
        return self.status not in {"queued", "running"}

    def frame(self, generation_id: str) -> dict[str, str]:
        return {
            "type": "reply.status",
            "generation": generation_id,
            "status": self.status,
            "stage": self.stage,
            "text": self.text,
        }


def stages(ids: Iterable[UUID]) -> dict[UUID, Stage]:
    """The stage of each of these generations; those that are gone are missing."""
    statuses = Generation.statuses(ids)
    if "queued" not in statuses.values():
        return {id_: _of(status, None) for id_, status in statuses.items()}
    waiting = _waiting()
    return {id_: _of(status, waiting) for id_, status in statuses.items()}


def model_notice() -> str:
    """What stands in the way of an answer now, for the page; empty when a model is ready."""
    waiting = _waiting()
    return "" if waiting.stage == "waiting" else waiting.text


def _of(status: str, waiting: Stage | None) -> Stage:
    if status == "queued" and waiting:
        return waiting
    return Stage(status, "reading", "Reading your message")


def _waiting() -> Stage:
    states = dict(Worker.live().values_list("state", "notice"))
    if Worker.State.READY in states:
        return Stage("queued", "waiting", "Waiting for a free place")
    if Worker.State.LOADING in states:
        return Stage("queued", "loading", "The model is loading")
    if Worker.State.FAILED in states:
        return Stage("queued", "no_worker", "The model could not be started. Your administrator can see why.")
    return Stage("queued", "no_worker", "No model is running right now. Your message is kept and will be answered.")
