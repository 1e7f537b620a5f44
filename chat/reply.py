"""One reply being made: from the claimed row through the engine into the stream, and back into the row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile

import structlog
from django.conf import settings

from chat.database import AWAY, borrowed
from chat.held import Held
from chat.models import Generation, ModerationRule, UsageRecord
from chat.models.again import SAMPLED_BY
from chat.moderation import Moderated
from chat.prompt import Texts
from chat.reply_stream import Kind, Told, Writer
from inference.contract import (
    ChatMessage,
    Engine,
    Event,
    Failure,
    Finished,
    GenerationRequest,
    Prefix,
    ReasoningDelta,
    Run,
    SamplingParams,
    Started,
    TextDelta,
)

log = structlog.get_logger()

STORE_FOR_S = 60.0


class RunningReply:
    def __init__(self, generation: Generation, engine: Engine, writer: Writer) -> None:
        self.generation = generation
        self._engine = engine
        self._writer = writer
        # All that Postgres knows comes first: when it is away, nothing has begun, and the reply is taken up again.
        self._messages = _prompt(generation)
        self._sampling = _sampling(generation, engine.info.sampling)
        self._rules = ModerationRule.active(ModerationRule.Side.REPLIES)
        self._stream = writer.open(generation.id, generation.attempt)
        self._run: Run | None = None
        self._is_cancelled = False
        self._is_moving = False
        self._wants_answer = generation.answer_requested_at is not None
        self._prefix = Prefix(generation.message.text, generation.message.reasoning)
        self._told = Told(self._prefix.text, self._prefix.reasoning)
        self._started: Started | None = None
        self._submitted_at = time.monotonic()
        self._first_at: float | None = None
        self._reasoning_at: float | None = None

    def submit(self) -> None:
        """Hand the request to the engine, with the branch that ends in this reply's question."""
        generation = self.generation
        self._submitted_at = time.monotonic()
        self._run = self._engine.submit(
            GenerationRequest(
                id=f"{generation.id}-{generation.attempt}",
                messages=self._messages,
                sampling=self._sampling,
                enable_thinking=generation.enable_thinking,
                deadline_s=settings.DEADLINE_S,
                thinking_budget=generation.thinking_budget,
                prefix=self._prefix,
                model=self._adapter,
            )
        )
        self._tell_beginning(self._run.prompt_tokens)
        if self._is_cancelled or self._is_moving:
            self._run.cancel()
        if self._wants_answer:
            self._run.answer_now()

    def _tell_beginning(self, prompt_tokens: int) -> None:
        """What a continued reply has already is told first: its readers get all of it from this attempt."""
        stage = "held" if settings.MODERATES_REPLIES else "reading"
        self._writer.tell(self._stream, "stage", f"{stage} {prompt_tokens}")
        if self._prefix.reasoning:
            self._writer.tell(self._stream, "reasoning", self._prefix.reasoning)
        if self._prefix.text:
            self._writer.tell(self._stream, "text", self._prefix.text)

    def leave(self) -> None:
        """Tell no more; what was told stays."""
        self._writer.leave(self._stream)

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._run:
            self._run.cancel()

    def move(self) -> None:
        """End this attempt at the next token; another worker goes on from there."""
        self._is_moving = True
        if self._run:
            self._run.cancel()

    @property
    def num_tokens(self) -> int:
        """How many tokens this attempt has made."""
        return self._told.num_tokens

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._submitted_at

    def answer_now(self) -> None:
        """End the thinking; nothing to a reply that does not think."""
        self._wants_answer = True
        if self._run:
            self._run.answer_now()

    def run(self) -> None:
        """Tell the events as they come; then store the end, and only then tell it."""
        assert self._run
        finished = Finished("error", failure=Failure("engine", "The model stopped without an end.", is_retryable=True))
        moderated = Moderated(self._run, self._rules) if self._rules else None
        events = self._timed(moderated or self._run)
        held = Held(events, self._prefix) if settings.MODERATES_REPLIES else None
        for event in held or events:
            if isinstance(event, Finished):
                finished = event
            else:
                self._tell(event)
        self._note_reasoning_end()
        status = self._store(finished)
        if moderated and moderated.found:
            self._note(moderated.found)
        if held and held.categories is not None:
            self._note([ModerationRule.of_model()], categories=", ".join(held.categories))
        if status and status != Generation.Status.QUEUED:
            self._writer.tell(self._stream, "end", status)
        else:
            self._writer.leave(self._stream)

    def _timed(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events; how long the thinking takes is measured as they come, whenever they may be told."""
        for event in events:
            if isinstance(event, ReasoningDelta):
                self._reasoning_at = self._reasoning_at or time.monotonic()
            elif isinstance(event, TextDelta):
                self._note_reasoning_end()
            yield event

    def _note(self, found: Iterable[ModerationRule], **details: str) -> None:
        """Say in the audit log what the rules did."""
        generation = self.generation
        try:
            with borrowed():
                ModerationRule.note(
                    found, generation.requested_by_id, "reply", generation=str(generation.id), **details
                )
        except AWAY as error:
            log.error("reply.moderation_unnoted", generation=str(generation.id), error=type(error).__name__)

    def _is_unfinished(self, finished: Finished) -> bool:
        """Whether it was the worker that came to an end, and not the reply."""
        if finished.failure:
            code = finished.failure.code
            return code == "shutdown" or (code == "engine" and not self._engine.is_healthy())
        return finished.reason == "cancelled" and self._is_moving and not self._is_cancelled

    def _tell(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, ReasoningDelta):
            self._told.reasoning += event.text
            self._told.num_reasoning_tokens = event.num_tokens
            self._tell_text("reasoning", event)
        elif isinstance(event, TextDelta):
            self._told.text += event.text
            self._tell_text("text", event)

    def _tell_text(self, kind: Kind, delta: TextDelta | ReasoningDelta) -> None:
        self._first_at = self._first_at or time.monotonic()
        self._told.num_tokens = delta.num_tokens
        self._writer.tell(self._stream, kind, delta.text, delta.num_tokens)

    def _note_reasoning_end(self) -> None:
        if self._reasoning_at and not self._told.reasoning_ms:
            self._told.reasoning_ms = (time.monotonic() - self._reasoning_at) * 1000

    def _store(self, finished: Finished) -> str | None:
        """Write the end into Postgres, which may be away for a while; None when this attempt is stale."""
        give_up_at = time.monotonic() + STORE_FOR_S
        end = self.generation.finish
        if self._is_unfinished(finished):
            end = partial(self.generation.hand_over, is_lost=not self._is_moving)
        while True:
            try:
                with borrowed():
                    return end(self._told, self._started, finished, **self._how())
            except AWAY as error:
                log.warning("reply.unstored", generation=str(self.generation.id), error=type(error).__name__)
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)

    @property
    def _adapter(self) -> str:
        """The adapter that was asked for; "" where it was the model itself, or any."""
        asked = self.generation.asked_model
        return asked if asked in self._engine.info.adapters else ""

    def _how(self) -> dict[str, object]:
        """How the reply was made, for its row."""
        info = self._engine.info
        ttft_ms = None
        if self._first_at:
            ttft_ms = self.generation.queue_ms + (self._first_at - self._submitted_at) * 1000
        return {
            "model": self._adapter or info.model,
            "revision": info.revision,
            "device": info.device,
            "dtype": info.dtype,
            "sampling": {name: getattr(self._sampling, name) for name in SAMPLED_BY},
            "ttft_ms": ttft_ms,
        }


def _sampling(generation: Generation, recommended: SamplingParams) -> SamplingParams:
    """What was asked for, else what the model's makers recommend; never without an end, which lies further on for a
    reply that has something already. What workers that are gone made of it since it was asked for lies before it."""
    asked = generation.sampling or generation.asked_sampling
    sampling = replace(recommended, **{**asked, "stop": tuple(asked.get("stop", recommended.stop))})
    num_tokens = _num_tokens(generation)
    if sampling.max_tokens and not num_tokens:
        return sampling
    return replace(sampling, max_tokens=num_tokens + settings.MAX_TOKENS)


def _num_tokens(reply: Generation) -> int:
    """How many tokens a reply had when it was asked for, or to be continued.

    A worker may be lost together with the stream that tells how many it made. Then it is at most one for each byte:
    too many, but with too few there might be no room to go on.
    """
    text = reply.message.reasoning + reply.message.text
    if not text:
        return 0
    ends = UsageRecord.objects.filter(generation_id=reply.id).order_by("-attempt")
    counts = list(ends.values_list("status", "completion_tokens"))
    if (Generation.Status.INTERRUPTED, 0) in counts:
        return len(text.encode())
    since = takewhile(lambda end: end[0] == UsageRecord.HANDED_OVER, counts)
    return reply.completion_tokens - sum(num_tokens for _, num_tokens in since)


def _prompt(generation: Generation) -> tuple[ChatMessage, ...]:
    """The branch above a reply as the model is asked; what ended without a word is left out.

    For another length the model sees the reply that had the wrong one, and is asked for it again.
    """
    reply = generation.message
    texts = Texts(reply.conversation_id)
    read = [each.said for each in texts.branch(reply.parent_id)]
    if generation.length and generation.source_id and generation.source_id in texts:
        read.append(ChatMessage("assistant", texts.text(generation.source_id)))
        read.append(ChatMessage("user", ANOTHER_LENGTH[generation.length]))
    return (*texts.system(generation.system_prompt), *read)


ANOTHER_LENGTH = {
    "shorter": "Write your last answer again, but much shorter. Keep its language and what matters most.",
    "longer": "Write your last answer again, but longer and with more detail. Keep its language.",
}
