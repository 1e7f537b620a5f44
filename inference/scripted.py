"""A deterministic engine for tests and benchmarks of everything around the model: token i is a pure function of
the prompt and i. One thread with a heap of due times carries hundreds of replies."""

from __future__ import annotations

import heapq
import itertools
import re
import time
from collections import deque
from collections.abc import Callable
from zlib import crc32

from inference.contract import EngineInfo, EngineStats, GenerationRequest, ReasoningDelta, TextDelta
from inference.errors import PromptTooLong
from inference.loop import BEAT_S, EngineLoop
from inference.run import BROKEN, OUT_OF_MEMORY, POISON, EngineRun, too_long
from inference.script import Script
from inference.stop import StopFilter
from inference.window import Messages, Prompt, fit, prompt_limit

SENTENCE = "the model reads a prompt and writes one token after another so that people can follow what it thinks"
WORDS = SENTENCE.split()
MARKDOWN = """\
## Reading a file line by line

A *file object* is its own iterator, so **no list** is needed:

```python
def num_lines(path: str) -> int:
    with open(path, encoding="utf-8") as lines:
        return sum(1 for _ in lines)
```

1. The file is opened once.
2. Each line is read when it is asked for.

| lines | time |
|------:|:-----|
| 1,000 | `O(n)` |

The cost is $t(n) = a n + b$, see [the docs](https://docs.python.org/3/).

"""


class ScriptedPrompter:
    """Counts a token for each piece of up to four characters and four more for each message."""

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length
        self.max_prompt_tokens = prompt_limit(context_length)

    @classmethod
    def of(cls, line: str) -> ScriptedPrompter:
        return cls(Script.parse(line).context)

    def count(self, messages: Messages) -> int:
        return len(self._encode(messages))

    def build(
        self, messages: Messages, enable_thinking: bool | None = None, max_prompt_tokens: int | None = None
    ) -> Prompt:
        return fit(messages, max_prompt_tokens or self.max_prompt_tokens, self._encode)

    def _encode(self, messages: Messages) -> list[int]:
        pieces = (piece for message in messages for piece in [message.role, "", "", "", *_pieces(message.content, 4)])
        return [crc32(piece.encode("utf-8", "replace")) for piece in pieces]


class ScriptedRun(EngineRun):
    """A run with its own script, the place in it, and the moment its next token is due."""

    script: Script
    seed: int
    num_left: float
    tokens: list[str]
    stops: StopFilter
    num_dropped_messages = 0
    num_held = 0
    first_due = 0.0

    def prepare(self, script: Script, prompter: ScriptedPrompter) -> None:
        """Build the prompt; raise PromptTooLong when it can't fit."""
        request = self.request
        self.script = script.directed(request.messages)
        prompt = prompter.build(request.messages)
        self.prompt_tokens, self.num_dropped_messages = (len(prompt.ids), prompt.num_dropped_messages)
        self.seed = crc32(repr(prompt.ids).encode()) ^ crc32(request.model.encode())
        window = prompter.context_length - self.prompt_tokens
        self.num_left = min(window, request.sampling.max_tokens or window)
        self.num_reasoning = self._num_reasoning()
        self.tokens = _pieces(self.script.text, 3) if self.script.kind == "say" else _pieces(MARKDOWN, 4)
        self.stops = StopFilter(request.sampling.stop)
        self.num_held = self._num_held()

    def _num_reasoning(self) -> int:
        budget = self.request.thinking_budget
        num = 0 if self.request.enable_thinking is False else self.script.reasoning
        return num if budget is None else min(num, budget)

    def _num_held(self) -> int:
        """How many tokens the prefix holds: as many of this reply's own as it begins with."""
        prefix = self.request.prefix
        if not prefix.text:
            return _num_matching(prefix.reasoning, self._reasoning_token, self.num_reasoning)
        if self.script.kind == "stamp":  # the time in it is another each time
            return self.num_reasoning + len(_STAMP.findall(prefix.text))
        return self.num_reasoning + _num_matching(prefix.text, self._token, self.num_tokens - self.num_reasoning)

    @property
    def place(self) -> int:
        """Which token comes next, those of the prefix counted."""
        return self.num_held + self.completion_tokens

    @property
    def num_tokens(self) -> float:
        """All tokens the script has, reasoning included."""
        if self.script.mode == "no_eos":
            return float("inf")
        return self.num_reasoning + (len(self.tokens) if self.script.kind == "say" else self.script.tokens)

    @property
    def next_due(self) -> float:
        rate = self.script.rate
        return self.first_due + (self.completion_tokens / rate if rate else 0)

    @property
    def hangs(self) -> bool:
        return self.script.mode == "hang" and self.place >= (self.script.fail_at or 0)

    def step(self) -> None:
        """Emit the next token or the end."""
        i = self.place
        if self.wants_answer:
            self.num_reasoning = min(self.num_reasoning, i)
        if self.started_at is None:
            sampling_seed = self.request.sampling.seed
            self.start(self.num_dropped_messages, self.seed if sampling_seed is None else sampling_seed)
        if self.script.fail_at == i or (self.script.fail_at is None and i == 0 and self.script.mode in FAILURES):
            self.fail(FAILURES.get(self.script.mode, BROKEN))
        elif i >= self.num_tokens:
            self.emit(TextDelta(self.stops.flush()))
            self.finish("stop")
        elif i >= self.num_left:
            self.emit(TextDelta(self.stops.flush()))
            self.finish("length")
        else:
            self._emit_token(i)

    def _emit_token(self, i: int) -> None:
        self.completion_tokens += 1
        if i < self.num_reasoning:
            self.reasoning_tokens += 1
            self.emit(ReasoningDelta(self._reasoning_token(i)))
            return
        self.emit(TextDelta(self.stops.feed(self._token(i - self.num_reasoning))))
        if self.stops.is_hit:
            self.finish("stop")

    def _reasoning_token(self, i: int) -> str:
        return _word(self.seed ^ 1, i)

    def _token(self, i: int) -> str:
        match self.script.kind:
            case "stamp":
                # A stamp is as long as five words' tokens, so a paragraph of twenty is as long as people write them.
                return f"‹{i}:{time.time_ns()}›" + ("\n\n" if i % 20 == 19 else "")
            case "words":
                return _word(self.seed, i)
        return self.tokens[i % len(self.tokens)]


_STAMP = re.compile(r"‹\d+:\d+›")
FAILURES = {"oom": OUT_OF_MEMORY, "poison": POISON}


class ScriptedEngine(EngineLoop[ScriptedRun]):
    """The Engine without a model; made from a script line like `tokens=200;rate=20;prefill_ms=50`."""

    def __init__(self, line: str = "") -> None:
        self._script = script = Script.parse(line)
        super().__init__("scripted-engine", script.stall_s)
        if script.mode == "slow_load":
            time.sleep(script.load_s)
        self._prompter = ScriptedPrompter(script.context)
        adapters = script.adapters
        self.info = EngineInfo(
            "scripted", "1", "cpu", "text", script.context, script.slots, has_thinking=True, adapters=adapters
        )
        self._order = itertools.count()
        self._due: list[tuple[float, int, ScriptedRun]] = []
        self._waiting: deque[ScriptedRun] = deque()
        self._active: set[ScriptedRun] = set()
        self._num_prompt_tokens = self._num_completion_tokens = 0
        self._thread.start()

    def open_run(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> ScriptedRun:
        run = ScriptedRun(request, on_cancel)
        try:
            run.prepare(self._script, self._prompter)
        except PromptTooLong as error:
            run.fail(too_long(error.num_tokens, error.limit))
        return run

    def take(self, run: ScriptedRun) -> None:
        self._waiting.append(run)
        if run.request.deadline_s is not None:
            self._push(run, run.expires_at)

    def wake(self, run: ScriptedRun) -> None:
        self._push(run, 0)

    def work(self) -> float:
        self._admit()
        if not self._due:
            return BEAT_S
        wait_s = self._due[0][0] - time.monotonic()
        if wait_s <= 0:
            self._move(heapq.heappop(self._due)[2])
        return max(wait_s, 0)

    def unfinished(self) -> list[ScriptedRun]:
        return [*self._waiting, *self._active]

    def _admit(self) -> None:
        while self._waiting and len(self._active) < self._script.slots:
            run = self._waiting.popleft()
            run.admit()
            run.first_due = time.monotonic() + run.script.prefill_ms / 1000
            self._active.add(run)
            self._push(run, run.first_due)

    def _move(self, run: ScriptedRun) -> None:
        if run.end_if_unwanted():
            self._forget(run)
        elif run in self._active:
            if run.hangs:
                self._closing.wait()
                return
            if run.script.rate:
                run.device_s += 1 / run.script.rate / len(self._active)
            run.step()
            if run.is_finished:
                self._forget(run)
            else:
                self._push(run, run.next_due)

    def stats(self) -> EngineStats:
        active = list(self._active)
        return EngineStats(
            num_waiting=len(self._waiting),
            num_running=len(active),
            num_prompt_tokens=self._num_prompt_tokens + sum(run.prompt_tokens for run in active),
            num_completion_tokens=self._num_completion_tokens + sum(run.completion_tokens for run in active),
        )

    def _forget(self, run: ScriptedRun) -> None:
        if run in self._active:
            self._num_prompt_tokens += run.prompt_tokens
            self._num_completion_tokens += run.completion_tokens
        self._active.discard(run)
        if run in self._waiting:
            self._waiting.remove(run)

    def _push(self, run: ScriptedRun, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._order), run))


def _word(seed: int, i: int) -> str:
    """Words with a full stop every twelve and a new paragraph every sixty."""
    word = WORDS[crc32(f"{seed}:{i}".encode()) % len(WORDS)]
    if i % 12 == 0:
        word = word.capitalize()
    end = "" if i % 12 != 11 else "." if i % 60 != 59 else ".\n\n"
    return f"{word}{end}" if i % 60 == 0 else f" {word}{end}"


def _num_matching(text: str, token: Callable[[int], str], most: float) -> int:
    """With how many of the first `most` tokens a text begins."""
    num = at = 0
    while at < len(text) and num < most and text.startswith(piece := token(num), at):
        num, at = num + 1, at + len(piece)
    return num


def _pieces(text: str, length: int) -> list[str]:
    return re.findall(rf"[\s\S]{{1,{length}}}", text)
