"""The engine on this machine: everybody's replies in one batch, a token each at every step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, zip_longest
from pathlib import Path

import torch
from tokenizers import Tokenizer

from inference.catalog import default_sampling
from inference.contract import EngineInfo, EngineStats, Failure, GenerationRequest
from inference.detokenizer import Detokenizer, ThinkMarkers
from inference.errors import ModelError, PromptTooLong
from inference.guide import GuidedText, Guides, mask
from inference.local_run import LocalRun
from inference.loop import BEAT_S, EngineLoop
from inference.memory import NO_WISHES, Wishes
from inference.meter import Meter
from inference.model_runner import end_tokens
from inference.prompt import Prompter
from inference.run import BROKEN, OUT_OF_MEMORY, OVERLOADED, POISON, EngineRun, bad_request, too_long
from inference.runner import Runner, open_runner
from inference.sampling import choose
from inference.scheduler import Scheduler, Work
from inference.states import turn_ends
from inference.weights import manifest

log = logging.getLogger(__name__)

STALL_S = 5.0
MOST_WAITING = 256
_PREFILL_TOKENS = {"cpu": 256, "cuda": 2048}
_REACH = {"cpu": 2560, "cuda": 32768}
"""To look at so many tokens before it costs a token as much as all else: measured with 0.5B on CPUs, on CUDA reckoned
for 8B."""


class LocalEngine(EngineLoop[LocalRun]):
    """The Engine over a model in this process.

    Each step computes one token of every running reply and a piece of the prompts that came in, in one forward pass.
    """

    def __init__(self, runner: Runner, prompter: Prompter, tokenizer: Tokenizer, ends: set[int], info: EngineInfo):
        super().__init__("engine", STALL_S)
        self.info = info
        self._runner = runner
        self._prompter = prompter
        self._tokenizer = tokenizer
        self._markers = ThinkMarkers.of(tokenizer)
        self._ends = ends
        self._guides = Guides(tokenizer, runner.vocab_size, ends)
        self._closing_ids = _closing_ids(tokenizer, self._markers)
        kind = runner.device.type
        piece = _PREFILL_TOKENS[kind], _REACH[kind]
        self._scheduler = Scheduler(runner.memory, info.num_slots, *piece, runner.states, runner.num_spare_rows)
        self._opener = tokenizer.token_to_id("<|im_start|>")
        self._meter = Meter(runner.device)
        self._is_to_forget = threading.Event()
        self._thread.start()

    @classmethod
    def open(cls, model_dir: Path, device: str = "cpu", wishes: Wishes = NO_WISHES) -> LocalEngine:
        """Load a ready model directory; ModelError for one that is refused."""
        # A thread that has used OpenMP keeps its helpers, and more of them than cores make all wait less eagerly,
        # which costs a third of the speed. The thread that loads the model must not live on beside the engine's.
        with ThreadPoolExecutor(1) as loading:
            runner = loading.submit(open_runner, model_dir, device, wishes).result()
        prompter = Prompter(model_dir)
        prompter.limit_context(runner.plan.context_length)
        tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        named = {tokenizer.token_to_id(name) for name in ("<|im_end|>", "<|endoftext|>")}
        about = manifest(model_dir)
        info = EngineInfo(
            model=about.get("name", model_dir.resolve().name),
            revision=about.get("revision", ""),
            device=device,
            dtype=runner.plan.format,
            context_length=prompter.context_length,
            num_slots=runner.plan.num_slots,
            has_thinking=bool(ThinkMarkers.of(tokenizer)),
            sampling=default_sampling(model_dir),
            plan=". ".join([str(runner.plan), *runner.refused]),
            adapters=runner.adapters,
        )
        ends = end_tokens(model_dir) | {token for token in named if token is not None}
        return cls(runner, prompter, tokenizer, ends, info)

    def score(self, tokens: list[int]) -> torch.Tensor:
        """The logits [tokens, vocabulary] after each token of a text, for measuring; only while nothing runs."""
        return self._runner.score(tokens)

    def forget(self) -> None:
        """Drop what is kept of ended replies, before anything that is submitted from now on begins."""
        self._is_to_forget.set()

    # Taking requests, in their own threads

    def open_run(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> LocalRun:
        run = LocalRun(request, on_cancel)
        if request.model and request.model not in self.info.adapters:
            run.fail(bad_request(f"This engine has no model {request.model!r}."))
            return run
        try:
            self._prepare(run)
        except PromptTooLong as error:
            run.fail(too_long(error.num_tokens, error.limit))
        except ValueError as error:
            run.fail(bad_request(str(error)))
        except ModelError:
            log.exception("no prompt can be made")
            run.fail(POISON)
        return run

    def _prepare(self, run: LocalRun) -> None:
        request = run.request
        prompt = self._prompter.build(request.messages, request.enable_thinking, prefix=request.prefix)
        is_thinking = self._markers.is_open_after(prompt.ids)
        text = Detokenizer(
            self._tokenizer, self._markers, is_thinking, request.sampling.stop, is_begun=bool(request.prefix)
        )
        if request.guide:
            run.guided = self._guides.open(request.guide)
            run.guided.accept(*self._tokenizer.encode(request.prefix.text, add_special_tokens=False).ids)
        run.prepare(prompt, text, self.info.context_length)
        if self._scheduler.states:
            run.stops = turn_ends(prompt.ids, self._opener)

    # The loop's thread

    def take(self, run: LocalRun) -> None:
        if len(self._scheduler.waiting) >= MOST_WAITING:
            run.fail(OVERLOADED)
        elif len(run.ids) >= run.most_ids:
            self._start(run)
            run.finish("length")
        else:
            self._scheduler.waiting.append(run)

    def wake(self, run: LocalRun) -> None:
        """Every step looks at every run, so a cancelled one needs no more than that the loop is awake."""

    @torch.inference_mode()
    def work(self) -> float:
        if self._is_to_forget.is_set():
            self._is_to_forget.clear()
            self._scheduler.forget()
        work = self._scheduler.plan()
        if not work:
            return BEAT_S
        self._compute(work)
        return 0

    def unfinished(self) -> list[LocalRun]:
        return [*self._scheduler.waiting, *self._scheduler.running]

    def release(self) -> None:
        self._scheduler.clear()
        del self._runner
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        running = [run for run in list(scheduler.running) if not run.is_finished]
        return self._meter.stats(
            num_waiting=len(scheduler.waiting),
            num_running=len(running),
            kv_tokens=sum(run.num_computed for run in list(scheduler.running)) + scheduler.prefixes.num_tokens,
            kv_capacity_tokens=scheduler.memory.capacity,
            num_preemptions=scheduler.num_preemptions,
        )

    def _compute(self, work: list[Work]) -> None:
        """Give each piece of work its step. What breaks a step is looked for by halves, and ends its own run only."""
        try:
            self._step(work)
        except torch.AcceleratorError:
            # A broken device does not recover within the process: the loop ends, and the worker with it.
            raise
        except (torch.OutOfMemoryError, MemoryError):
            log.exception("out of memory")
            self._scheduler.prefixes.clear()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._compute_parts(work, OUT_OF_MEMORY)
        except Exception:
            log.exception("a step failed")
            self._compute_parts(work, BROKEN)

    def _compute_parts(self, work: list[Work], failure: Failure) -> None:
        if len(work) == 1:
            work[0].run.is_tainted = True
            work[0].run.fail(failure)
            return
        middle = len(work) // 2
        for part in (work[:middle], work[middle:]):
            self._beat = time.monotonic()
            self._compute(part)

    def _step(self, work: Sequence[Work]) -> None:
        started_at = time.monotonic()
        tokens, spans = [piece.tokens for piece in work], [piece.span for piece in work]
        logits = self._runner.forward(tokens, spans, [piece.num_wanted for piece in work])
        ending = [piece for piece in work if piece.is_last]
        mask(logits, [run.guide for run, _, guesses in ending for _ in (None, *guesses)])
        chosen = choose(logits, [choice for run, _, guesses in ending for choice in run.choices(guesses)])
        found = iter(chosen)
        kept = [(piece, _right([*islice(found, piece.num_wanted)], piece.guesses)) for piece in ending]
        self._meter.note(work, sum(len(rest) for _, rest in kept), started_at)
        self._scheduler.note_computed(work)
        for piece, rest in kept:
            self._accept_all(piece.run, rest)
            if piece.guesses:
                piece.run.draft.judge(len(piece.guesses), len(rest) - 1)

    def _accept_all(self, run: LocalRun, tokens: Sequence[int | None]) -> None:
        """Add the next token to a reply, and those after it whose keys and values are there by a right guess."""
        for number, token in enumerate(tokens):
            # Where another token was forced, the guess behind it was wrong after all.
            if number and (run.is_finished or run.ids[-1] != tokens[number - 1]):
                return
            run.num_computed += number > 0
            self._accept(run, token)

    def _start(self, run: LocalRun) -> None:
        run.start(run.num_dropped_messages, run.seed)
        self._meter.note_start(run)

    def _accept(self, run: LocalRun, token: int | None) -> None:
        """Add the next token to a reply; None says that the model's numbers are none."""
        if run.started_at is None:
            self._start(run)
        if token is None:
            run.is_tainted = True
            run.fail(POISON)
            return
        guide = run.guide
        if guide and guide.failure:
            run.fail(bad_request(guide.failure))
            return
        token = self._forced(run, token)
        sampling = run.request.sampling
        if token in sampling.stop_ids or (token in self._ends and not sampling.ignore_end):
            run.finish("stop")
            return
        self._say(run, token, guide)

    def _say(self, run: LocalRun, token: int, guide: GuidedText | None) -> None:
        assert run.text
        run.ids.append(token)
        run.completion_tokens += 1
        run.reasoning_tokens += run.text.is_thinking or self._markers.is_marker(token)
        self._meter.note_token(run)
        for delta in run.text.feed(token):
            run.emit(delta)
        if guide:
            guide.accept(token)
        if run.text.is_stopped or (guide and guide.is_done):
            run.finish("stop")
        elif len(run.ids) >= run.most_ids:
            run.finish("length")

    def _forced(self, run: LocalRun, token: int) -> int:
        """The token that comes in place of the model's, when the reasoning must end now."""
        assert run.text
        budget = run.request.thinking_budget
        is_over = run.wants_answer or (budget is not None and run.reasoning_tokens >= budget)
        if is_over and run.text.is_thinking and not run.forced and token != self._markers.close:
            run.forced.extend(self._closing_ids)
        return run.forced.popleft() if run.forced else token


def _right(tokens: Sequence[int | None], guesses: Sequence[int]) -> list[int | None]:
    """The chosen tokens up to the first that was guessed wrong, with it."""
    right: list[int | None] = []
    for token, guess in zip_longest(tokens, guesses):
        right.append(token)
        if token != guess:
            break
    return right


def _closing_ids(tokenizer: Tokenizer, markers: ThinkMarkers) -> list[int]:
    """The end of the reasoning as a model writes it itself."""
    if not markers:
        return []
    assert markers.close is not None
    newline, gap = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("\n", "\n\n"))
    return [*newline, markers.close, *gap]
