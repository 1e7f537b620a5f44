"""The engine on this machine: one thread gives every running reply one step in turn."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer

from inference.catalog import default_sampling
from inference.contract import EngineInfo, Failure, FinishReason, GenerationRequest
from inference.detokenizer import Detokenizer, ThinkMarkers
from inference.errors import ModelError, PromptTooLong
from inference.loop import BEAT_S, EngineLoop
from inference.model_runner import KeyValues, ModelRunner, end_tokens
from inference.prompt import Prompter
from inference.run import BROKEN, OUT_OF_MEMORY, POISON, EngineRun, too_long
from inference.sampling import sample
from inference.weights import manifest
from inference.window import Prompt

log = logging.getLogger(__name__)

STALL_S = 15.0
_NUM_SLOTS = {"cpu": 4, "cuda": 16}
_PREFILL_TOKENS = {"cpu": 256, "cuda": 2048}


class LocalRun(EngineRun):
    """A run with its place in the prompt and in the reply."""

    def __init__(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> None:
        super().__init__(request, on_cancel)
        self.prompt = Prompt([])
        self.max_tokens = 0
        self.text: Detokenizer | None = None
        self.cache: KeyValues = None
        self.num_prefilled = 0
        self.next_token = 0
        seed = request.sampling.seed
        self.seed = secrets.randbelow(2**63) if seed is None else seed
        self.random = torch.Generator().manual_seed(self.seed)

    def finish(self, reason: FinishReason, failure: Failure | None = None) -> None:
        if self.text and not self.is_finished:
            for delta in self.text.close():
                self.emit(delta)
        super().finish(reason, failure)
        self.cache = None


class LocalEngine(EngineLoop[LocalRun]):
    """The Engine over a model in this process.

    Replies are computed one step each in turn, so a second person does not wait for the end of the first one's.
    """

    def __init__(self, runner: ModelRunner, prompter: Prompter, tokenizer: Tokenizer, ends: set[int], info: EngineInfo):
        super().__init__("engine", STALL_S)
        self.info = info
        self._runner = runner
        self._prompter = prompter
        self._tokenizer = tokenizer
        self._markers = ThinkMarkers.of(tokenizer)
        self._ends = ends
        self._prefill_tokens = _PREFILL_TOKENS[runner.device.type]
        self._waiting: deque[LocalRun] = deque()
        self._active: list[LocalRun] = []
        self._thread.start()

    @classmethod
    def open(cls, model_dir: Path, device: str = "cpu") -> LocalEngine:
        """Load a ready model directory; ModelError for one that is refused."""
        runner, prompter = ModelRunner(model_dir, device), Prompter(model_dir)
        tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        named = {tokenizer.token_to_id(name) for name in ("<|im_end|>", "<|endoftext|>")}
        about = manifest(model_dir)
        info = EngineInfo(
            model=about.get("name", model_dir.resolve().name),
            revision=about.get("revision", ""),
            device=device,
            dtype="bfloat16",
            context_length=prompter.context_length,
            num_slots=_NUM_SLOTS[runner.device.type],
            has_thinking=bool(ThinkMarkers.of(tokenizer)),
            sampling=default_sampling(model_dir),
        )
        ends = end_tokens(model_dir) | {token for token in named if token is not None}
        return cls(runner, prompter, tokenizer, ends, info)

    def open_run(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> LocalRun:
        run = LocalRun(request, on_cancel)
        try:
            run.prompt = self._prompter.build(request.messages, request.enable_thinking)
        except PromptTooLong as error:
            run.fail(too_long(error.num_tokens, error.limit))
        except ModelError:
            log.exception("no prompt can be made")
            run.fail(POISON)
        run.prompt_tokens = len(run.prompt.ids)
        window = self.info.context_length - run.prompt_tokens
        run.max_tokens = min(window, request.sampling.max_tokens or window)
        return run

    def take(self, run: LocalRun) -> None:
        self._waiting.append(run)

    def wake(self, run: LocalRun) -> None:
        """Every step looks at every run, so a cancelled one needs no more than that the loop is awake."""

    def work(self) -> float:
        self._waiting = deque(run for run in self._waiting if not run.end_if_unwanted())
        while self._waiting and len(self._active) < self.info.num_slots:
            self._admit(self._waiting.popleft())
        for run in self._active:
            self._advance(run)
            self._beat = time.monotonic()
        self._active = [run for run in self._active if not run.is_finished]
        return 0 if self._active or self._waiting else BEAT_S

    def unfinished(self) -> list[LocalRun]:
        return [*self._waiting, *self._active]

    def release(self) -> None:
        self._active.clear()
        del self._runner
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _admit(self, run: LocalRun) -> None:
        run.admit()
        run.cache = self._runner.new_cache()
        is_thinking = self._markers.is_open_after(run.prompt.ids)
        run.text = Detokenizer(self._tokenizer, self._markers, is_thinking, run.request.sampling.stop)
        self._active.append(run)

    def _advance(self, run: LocalRun) -> None:
        """Give a run its next step; what goes wrong in it is its own end only."""
        if run.is_finished or run.end_if_unwanted():
            return
        try:
            self._step(run)
        except (torch.OutOfMemoryError, MemoryError):
            log.exception("out of memory")
            run.fail(OUT_OF_MEMORY)
        except torch.AcceleratorError:
            # A broken device does not recover within the process: the loop ends, and the worker with it.
            raise
        except Exception:
            log.exception("a step failed")
            run.fail(BROKEN)

    def _step(self, run: LocalRun) -> None:
        ids = run.prompt.ids
        if run.started_at is None:
            piece = ids[run.num_prefilled : run.num_prefilled + self._prefill_tokens]
            logits = self._forward(run, piece)
            run.num_prefilled += len(piece)
            if run.num_prefilled < len(ids):
                return
            run.start(run.prompt.num_dropped_messages, run.seed)
        else:
            logits = self._forward(run, [run.next_token])
        self._accept(run, sample(logits, run.request.sampling, run.random))

    def _forward(self, run: LocalRun, ids: list[int]) -> torch.Tensor:
        started_at = time.monotonic()
        try:
            return self._runner.forward(ids, run.cache)
        finally:
            run.device_s += time.monotonic() - started_at

    def _accept(self, run: LocalRun, token: int) -> None:
        assert run.text
        if token in self._ends:
            run.finish("stop")
            return
        run.next_token = token
        run.completion_tokens += 1
        run.reasoning_tokens += run.text.is_thinking or self._markers.is_marker(token)
        for delta in run.text.feed(token):
            run.emit(delta)
        if run.text.is_stopped:
            run.finish("stop")
        elif run.completion_tokens >= run.max_tokens:
            run.finish("length")
