"""What happens to a reply before its first word, in a sentence for the person who waits."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy, override

from chat.models import Generation, Worker, queue
from inference import catalog

WAITING_IS_KNOWN_S = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    status: str
    stage: str
    text: str | Promise
    num_ahead: int | None = None
    expected_s: float | None = None
    prompt_tokens: int | None = None

    @property
    def is_over(self) -> bool:
        return self.status not in {"queued", "running"}

    def frame(self, generation_id: str, language: str) -> dict[str, str | float]:
        """How the page hears of it; with place in the queue, seconds to wait, length of the prompt, where known."""
        with override(language):
            text = str(self.text)
        frame: dict[str, str | float] = {
            "type": "reply.status",
            "generation": generation_id,
            "status": self.status,
            "stage": self.stage,
            "text": text,
        }
        known = {"num_ahead": self.num_ahead, "expected_s": self.expected_s, "prompt_tokens": self.prompt_tokens}
        return frame | {name: value for name, value in known.items() if value is not None}


GONE = Stage("stopped", "gone", "")
READING = Stage("running", "reading", _("Reading your message"))
HELD = Stage("running", "held", _("Writing. The reply is checked before it is shown"))
LOADING = Stage("queued", "loading", _("The model is loading"))
MOVING = Stage("queued", "moving", _("Moving to another worker"))


def stages(ids: Iterable[UUID]) -> dict[UUID, Stage]:
    """The stage of each of these generations; those that are gone are missing."""
    statuses = Generation.statuses(ids)
    queued = [id_ for id_, status in statuses.items() if status == Generation.Status.QUEUED]
    waiting = _queued(queued) if queued else {}
    return {id_: waiting.get(id_) or stage_of(status) for id_, status in statuses.items()}


def stage_of(status: str) -> Stage:
    if status == Generation.Status.QUEUED:
        return _waiting(int(time.monotonic() / WAITING_IS_KNOWN_S))
    return replace(READING, status=status)


def reading(prompt_tokens: int) -> Stage:
    """The stage of a reply whose prompt has so many tokens; 0 is not known."""
    if not prompt_tokens:
        return READING
    words = ngettext_lazy("Reading {number} token", "Reading {number} tokens", prompt_tokens)
    text = format_lazy(words, number=f"{prompt_tokens:,}")
    return Stage(Generation.Status.RUNNING, "reading", text, prompt_tokens=prompt_tokens)


def _queued(ids: list[UUID]) -> dict[UUID, Stage]:
    """Why these wait, and for how long; those that wait no longer are missing."""
    reason = stage_of(Generation.Status.QUEUED)
    if reason.stage != "waiting":
        return dict.fromkeys(ids, reason)
    moving = set(Generation.moving().filter(id__in=ids).values_list("id", flat=True))
    places = queue.places(ids)
    queue.note_expected(places)
    waiting = {id_: _waiting_at(place, reason) for id_, place in places.items()}
    return {id_: MOVING if id_ in moving else stage for id_, stage in waiting.items()}


def _waiting_at(place: queue.Place, reason: Stage) -> Stage:
    """The stage of a reply that waits for those before it, too."""
    text = reason.text
    if place.num_ahead:
        words = ngettext_lazy(
            "Waiting for a free place, {number} reply before this one",
            "Waiting for a free place, {number} replies before this one",
            place.num_ahead,
        )
        text = format_lazy(words, number=f"{place.num_ahead:,}")
    return replace(reason, text=text, num_ahead=place.num_ahead, expected_s=place.expected_s)


def obstacle() -> Stage | None:
    """What stands in the way of an answer now, for the page; None when a model is ready."""
    waiting = stage_of(Generation.Status.QUEUED)
    if waiting == LOADING:
        words = _("The model is loading. You can write already: your message is answered as soon as it is ready.")
        return replace(LOADING, text=words)
    return None if waiting.stage == "waiting" else waiting


@lru_cache(maxsize=1)
def _waiting(_period: int) -> Stage:
    """Why a queued reply waits. The same for all of them, so it is asked once a period and not for each."""
    live = list(Worker.live().values_list("state", "is_draining"))
    if (Worker.State.READY, False) in live:
        return Stage("queued", "waiting", _("Waiting for a free place"))
    states = {state for state, _is_draining in live}
    if Worker.State.LOADING in states:
        return LOADING
    if Worker.State.FAILED in states:
        return Stage("queued", "no_worker", _("The model could not be started. Your administrator can see why."))
    if catalog.is_fetching(settings.DATA_DIR):
        return LOADING
    return Stage("queued", "no_worker", _("No model is running right now. Your message is kept and will be answered."))
