"""A run of the engine on this machine: its tokens, how many of them are computed, and where their keys stand."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from inference.attention import Span
from inference.contract import Failure, FinishReason, GenerationRequest
from inference.draft import Draft
from inference.kv_cache import CHUNK, Extent
from inference.run import EngineRun
from inference.sampling import Choice
from inference.states import GRID, NOTHING
from inference.window import Prompt

if TYPE_CHECKING:
    from inference.detokenizer import Detokenizer
    from inference.guide import GuidedText


class LocalRun(EngineRun):
    """`ids` are the prompt's tokens, then the reply's; keys and values of the first `num_computed` are in `extent`.

    In hybrids the state after those is in slot `state`, and the next step writes to `next_state`.
    """

    def __init__(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> None:
        super().__init__(request, on_cancel)
        seed = request.sampling.seed
        self.seed = secrets.randbelow(2**63) if seed is None else seed
        self.num_dropped_messages = 0
        self.ids: list[int] = []
        self.num_computed = 0
        self.extent: Extent | None = None
        self.state = self.next_state = NOTHING
        self.snapshots: dict[int, int] = {}
        self.stops: list[int] | None = None
        """Of hybrids: numbers of tokens after which the state is kept, since other prompts begin alike."""
        self.is_tainted = False
        self.most_ids = 0
        self.forced: deque[int] = deque()
        """Tokens that come next whatever the model says."""
        self.draft = Draft()
        self.text: Detokenizer | None = None
        self.guided: GuidedText | None = None
        self.last_token_at = 0.0

    def prepare(self, prompt: Prompt, text: Detokenizer, context_length: int) -> None:
        self.ids = list(prompt.ids)
        self.num_dropped_messages = prompt.num_dropped_messages
        self.prompt_tokens = prompt.num_prompt_tokens
        window = context_length - self.prompt_tokens
        self.most_ids = self.prompt_tokens + min(window, self.request.sampling.max_tokens or window)
        self.text = text

    @property
    def num_left(self) -> int:
        """Tokens whose keys and values are not computed yet; the last of them gives the next token."""
        return len(self.ids) - self.num_computed

    @property
    def is_prefilling(self) -> bool:
        return self.num_left > 1

    def span(self, budget: int) -> Span:
        """The next tokens to compute, `budget` at most."""
        assert self.extent
        room = CHUNK - self.num_computed % CHUNK
        end = self.num_computed + min(self.num_left, room, budget)
        if self.stops is not None:
            end = self._stop_before(end)
        model = self.request.model
        return Span(self.extent.offset, self.num_computed, end - self.num_computed, model, self.state, self.next_state)

    @property
    def guide(self) -> GuidedText | None:
        """What the next token must follow; reasoning is free, and so is what closes it."""
        return None if self.forced or (self.text and self.text.is_thinking) else self.guided

    def _stop_before(self, end: int) -> int:
        """Where a span that may go to `end` ends, so that the same prompt is always cut into the same pieces."""
        assert self.stops is not None
        stop = next((stop for stop in self.stops if stop > self.num_computed), end + 1)
        if stop <= end or end == len(self.ids):
            return min(stop, end)
        return max(self.num_computed, end // GRID * GRID)

    def resumable(self, num_tokens: int) -> int:
        """How many of its first tokens another run can go on from, once this one has computed `num_tokens`."""
        if self.stops is None:
            return num_tokens
        return max((place for place in (*self.snapshots, *self.stops) if place <= num_tokens), default=0)

    def guess(self, most: int) -> list[int]:
        """Tokens that may come next, `most` at most, as far as they can be checked in one step with the last one."""
        if self.guided or self.num_left > 1:
            return []
        room = CHUNK - self.num_computed % CHUNK
        return self.draft.guess(self.ids, min(most, room - 1, self.most_ids - len(self.ids) - 1))

    def choices(self, guesses: Sequence[int] = ()) -> list[Choice]:
        """How its next token is chosen, and those after each guess."""
        prompt, reply = self.ids[: self.prompt_tokens], [*self.ids[self.prompt_tokens :], *guesses]
        num = len(reply) - len(guesses)
        return [
            Choice(self.request.sampling, self.seed, end, prompt, reply[:end]) for end in range(num, len(reply) + 1)
        ]

    def finish(self, reason: FinishReason, failure: Failure | None = None) -> None:
        if self.text and not self.is_finished:
            for delta in self.text.close():
                self.emit(delta)
        super().finish(reason, failure)
