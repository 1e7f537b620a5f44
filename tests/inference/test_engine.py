from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from inference.attention import Span
from inference.contract import (
    ChatMessage,
    EngineInfo,
    Event,
    Finished,
    GenerationRequest,
    ReasoningDelta,
    SamplingParams,
    Started,
    TextDelta,
)
from inference.detokenizer import Detokenizer, ThinkMarkers
from inference.engine import LocalEngine
from inference.kv_cache import KVCache
from inference.local_run import LocalRun
from inference.memory import Wishes
from inference.model_runner import ModelRunner
from inference.prompt import Prompter
from tests.inference.asking import answer, ask, end, reasoning

GREEDY = SamplingParams(temperature=0, max_tokens=20)
POISON = "Z"


class TroubledRunner(ModelRunner):
    """The real runner, which fails on purpose when the poison letter comes by, can be held, and notes its steps."""

    trouble: BaseException | None = None
    poison = -1
    makes_nan = False

    def __init__(self, model_dir: Path, wishes: Wishes) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.steps: list[list[int]] = []
        super().__init__(model_dir, "cpu", wishes)

    def forward(self, tokens: Sequence[Sequence[int]], spans: Sequence[Span], wanted: Sequence[int]) -> torch.Tensor:
        self.gate.wait()
        self.steps.append([span.num_tokens for span in spans])
        is_poisoned = [self.poison in span_tokens for span_tokens in tokens]
        if self.trouble and any(is_poisoned):
            raise self.trouble
        logits = super().forward(tokens, spans, wanted)
        if self.makes_nan:
            last = [poisoned for poisoned, num in zip(is_poisoned, wanted, strict=True) for _ in range(num)]
            logits[torch.tensor(last, dtype=torch.bool)] = float("nan")
        return logits


Build = Callable[..., tuple[LocalEngine, TroubledRunner]]


@pytest.fixture
def build(tiny_model_dir: Path) -> Iterator[Build]:
    engines: list[tuple[LocalEngine, TroubledRunner]] = []

    def build_engine(
        ends: set[int] | None = None, trouble: BaseException | None = None, pages: int | None = None, **wishes: Any
    ) -> Any:
        runner = TroubledRunner(tiny_model_dir, Wishes(**{"format": "fp32", "num_slots": 2, **wishes}))
        prompter = Prompter(tiny_model_dir)
        tokenizer = Tokenizer.from_file(str(tiny_model_dir / "tokenizer.json"))
        runner.trouble, runner.poison = trouble, tokenizer.encode(POISON).ids[0]
        runner.steps.clear()
        if pages:
            runner.memory = KVCache(2, 1, 16, pages, torch.float32, runner.device)
        num_slots = runner.plan.num_slots
        info = EngineInfo("tiny", "1", "cpu", "fp32", prompter.context_length, num_slots, has_thinking=True)
        engines.append((LocalEngine(runner, prompter, tokenizer, ends or set(), info), runner))
        return engines[-1]

    yield build_engine
    for engine, runner in engines:
        runner.gate.set()
        engine.shutdown()


def code(events: list[Event]) -> str:
    failure = end(events).failure
    return failure.code if failure else ""


def greedy_ids(model_dir: Path, text: str, num_tokens: int) -> list[int]:
    """What transformers itself generates."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    ids = Prompter(model_dir).build([ChatMessage("user", text)]).ids
    output = model.generate(
        torch.tensor([ids]), max_new_tokens=num_tokens, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    return [int(token) for token in output[0, len(ids) :]]


def test_a_reply_is_started_fed_and_finished_with_exact_counts(tiny: LocalEngine) -> None:
    request = ask(sampling=GREEDY)
    events = list(tiny.submit(request))
    started, finished = events[0], end(events)
    assert isinstance(started, Started)
    assert all(isinstance(event, TextDelta | ReasoningDelta) for event in events[1:-1])
    assert started.prompt_tokens == finished.usage.prompt_tokens == len("<user\nhello>\n<assistant\n")
    assert (finished.reason, finished.usage.completion_tokens) == ("length", 20)
    times = finished.timings
    assert times.queue_ms >= 0 and times.prefill_ms > 0 and times.decode_ms > 0
    assert 0 < times.device_s * 1000 <= times.prefill_ms + times.decode_ms


def test_greedy_text_equals_that_of_transformers(build: Build, tiny_model_dir: Path) -> None:
    engine, _ = build()
    ids = greedy_ids(tiny_model_dir, "hello", 40)
    events = list(engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=40))))
    assert said(events) == decoded(tiny_model_dir, ids)
    assert end(events).usage.completion_tokens == 40


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta | ReasoningDelta))


def decoded(model_dir: Path, ids: list[int]) -> str:
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    detokenizer = Detokenizer(tokenizer, ThinkMarkers.of(tokenizer), is_thinking=False)
    deltas = [delta for token in ids for delta in detokenizer.feed(token)] + detokenizer.close()
    return "".join(delta.text for delta in deltas)


def test_a_prompt_in_pieces_gives_what_it_gives_whole(build: Build) -> None:
    text = "some words " * 20
    texts = []
    for budget, longest in ((1024, 239), (16, 16)):
        engine, runner = build()
        engine._scheduler._prefill_tokens = budget
        texts.append(said(list(engine.submit(ask(text, sampling=GREEDY)))))
        assert max(map(max, runner.steps)) == longest
    assert texts[0] == texts[1]


def test_every_end_token_ends_the_reply_without_text(build: Build, tiny_model_dir: Path) -> None:
    ids = greedy_ids(tiny_model_dir, "hello", 12)
    for place in (0, 5, 11):
        engine, _ = build(ends={ids[place], 271})
        events = list(engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=12))))
        assert end(events).reason == "stop"
        assert end(events).usage.completion_tokens == ids.index(ids[place])


def test_the_end_tokens_come_from_the_configuration_and_by_name(tiny: LocalEngine) -> None:
    assert tiny._ends == {256, 258}


def test_the_reply_ends_at_the_context_window(build: Build) -> None:
    engine, _ = build()
    events = list(engine.submit(ask("x" * 340, sampling=SamplingParams(temperature=0))))
    usage = end(events).usage
    assert (end(events).reason, usage.prompt_tokens + usage.completion_tokens) == ("length", 512)


def test_a_stop_string_ends_the_reply_before_it(tiny: LocalEngine) -> None:
    full = answer(list(tiny.submit(ask(sampling=GREEDY))))
    assert len(full) >= 4
    stop = full[2:4]
    events = list(tiny.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=20, stop=(stop,)))))
    assert (answer(events), end(events).reason) == (full[: full.index(stop)], "stop")


def test_the_same_seed_gives_the_same_reply_beside_others(tiny: LocalEngine) -> None:
    hot = SamplingParams(temperature=1.5, top_p=0.95, top_k=0, max_tokens=30, seed=11)
    alone = list(tiny.submit(ask(sampling=hot)))
    runs = [tiny.submit(ask(sampling=hot)), *(tiny.submit(ask(sampling=SamplingParams(max_tokens=30))) for _ in "123")]
    together = list(runs[0])
    assert answer(alone) + reasoning(alone) == answer(together) + reasoning(together)
    assert isinstance(alone[0], Started) and alone[0].seed == 11


def test_a_seed_that_was_drawn_is_told_and_repeats_the_reply(tiny: LocalEngine) -> None:
    first = list(tiny.submit(ask(sampling=SamplingParams(temperature=2, top_k=0, top_p=1, max_tokens=30))))
    assert isinstance(first[0], Started)
    again = SamplingParams(temperature=2, top_k=0, top_p=1, max_tokens=30, seed=first[0].seed)
    second = list(tiny.submit(ask(sampling=again)))
    assert answer(first) + reasoning(first) == answer(second) + reasoning(second)


def test_thinking_that_the_prompt_opens_is_reasoning(tiny: LocalEngine) -> None:
    events = list(tiny.submit(ask(enable_thinking=True, sampling=SamplingParams(temperature=0, max_tokens=5))))
    assert reasoning(events) and not answer(events)
    usage = end(events).usage
    assert usage.reasoning_tokens == usage.completion_tokens == 5


def test_several_replies_advance_in_turn(build: Build) -> None:
    engine, _ = build()
    long = engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=400)))
    short = engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=3)))
    assert end(list(short)).reason == "length"
    assert not long.is_finished
    long.cancel()
    assert end(list(long)).reason == "cancelled"


def test_a_waiting_reply_gets_the_next_free_slot(build: Build) -> None:
    engine, _ = build()
    runs = [engine.submit(ask(sampling=GREEDY)) for _ in range(7)]
    assert [end(list(run)).reason for run in runs] == ["length"] * 7


def test_a_cancel_ends_a_run_before_it_starts(build: Build) -> None:
    engine, runner = build()
    runner.gate.clear()
    running = [engine.submit(ask(sampling=GREEDY)) for _ in range(2)]
    waiting = engine.submit(ask(sampling=GREEDY))
    waiting.cancel()
    runner.gate.set()
    events = list(waiting)
    assert [type(event) for event in events] == [Finished] and end(events).reason == "cancelled"
    assert all(end(list(run)).reason == "length" for run in running)


def test_a_cancel_ends_a_run_in_the_middle_of_its_prompt(build: Build) -> None:
    engine, runner = build()
    engine._scheduler._prefill_tokens = 8
    runner.gate.clear()
    run = engine.submit(ask("x" * 300, sampling=GREEDY))
    run.cancel()
    runner.gate.set()
    events = list(run)
    assert end(events).reason == "cancelled" and not any(isinstance(event, Started) for event in events)
    assert len(runner.steps) <= 1


def test_a_cancel_while_tokens_come_ends_the_run_within_a_step(build: Build) -> None:
    engine, runner = build()
    run = engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=400)))
    events = iter(run)
    shown = [next(events) for _ in range(5)]
    runner.gate.clear()
    run.cancel()
    before = len(runner.steps)
    runner.gate.set()
    finished = end(shown + list(events))
    assert finished.reason == "cancelled" and len(runner.steps) <= before + 1


def test_a_reader_that_goes_away_ends_its_run(build: Build) -> None:
    engine, _ = build()
    run = engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=400)))
    events = iter(run)
    next(events)
    del events
    assert run.is_cancelled
    assert end(list(engine.submit(ask(sampling=GREEDY)))).reason == "length"


def test_a_deadline_ends_a_run_with_its_reason(build: Build) -> None:
    engine, runner = build()
    runner.gate.clear()
    runs = [engine.submit(ask(deadline_s=0.05, sampling=GREEDY)) for _ in range(4)]
    timely = engine.submit(ask(deadline_s=600, sampling=GREEDY))
    threading.Event().wait(0.1)
    runner.gate.set()
    assert {code(list(run)) for run in runs} == {"deadline"}
    assert end(list(timely)).reason == "length"


def test_a_prompt_that_is_too_long_ends_at_once_with_both_numbers(tiny: LocalEngine) -> None:
    events = list(tiny.submit(ask("x" * 5000)))
    failure = end(events).failure
    assert failure and failure.code == "prompt_too_long" and "5,019" in failure.message and "384" in failure.message
    assert len(events) == 1


def test_dropped_messages_are_told(tiny: LocalEngine) -> None:
    old = (ChatMessage("user", "x" * 200), ChatMessage("assistant", "y" * 200))
    request = GenerationRequest("r", (*old, ChatMessage("user", "now")), GREEDY)
    started = next(iter(tiny.submit(request)))
    assert isinstance(started, Started) and started.num_dropped_messages == 2


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (RuntimeError("broken"), "engine"),
        (torch.OutOfMemoryError("full"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_an_error_in_a_forward_fails_that_run_only(build: Build, trouble: BaseException, expected: str) -> None:
    engine, _ = build(trouble=trouble)
    healthy = engine.submit(ask(sampling=GREEDY))
    poisoned = list(engine.submit(ask(f"hello {POISON}", sampling=GREEDY)))
    assert code(poisoned) == expected and "broken" not in str(end(poisoned).failure)
    assert end(list(healthy)).reason == "length" and engine.is_healthy()
    assert end(list(engine.submit(ask(sampling=GREEDY)))).reason == "length"


def test_a_broken_device_ends_every_run_and_the_engine_says_so(build: Build) -> None:
    engine, _ = build(trouble=torch.AcceleratorError("device-side assert"))
    others = [engine.submit(ask(sampling=GREEDY)) for _ in range(3)]
    others[0].cancel()
    assert code(list(engine.submit(ask(POISON)))) == "engine"
    assert all(isinstance(end(list(run)), Finished) for run in others)
    engine._thread.join()
    assert not engine.is_healthy() and code(list(engine.submit(ask()))) == "shutdown"


def test_a_shutdown_ends_running_waiting_and_later_runs(build: Build) -> None:
    engine, _ = build()
    runs = [engine.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=450))) for _ in range(5)]
    engine.shutdown()
    assert {code(list(run)) for run in [*runs, engine.submit(ask())]} == {"shutdown"}
    assert not engine.is_healthy()
    engine.shutdown()


def test_a_stuck_device_counts_as_unhealthy_and_does_not_hold_up_a_shutdown(build: Build) -> None:
    engine, runner = build()
    engine._stall_s = 0.2
    runner.gate.clear()
    run = engine.submit(ask(sampling=GREEDY))
    threading.Event().wait(0.5)
    assert not engine.is_healthy()
    engine.shutdown()
    assert code(list(run)) == "shutdown"


def test_whatever_happens_every_run_ends_once_and_starts_before_it_speaks(build: Build) -> None:
    chance = random.Random(5)
    engine, _ = build(trouble=RuntimeError("broken"), ends={3, 77, 130}, num_slots=5)
    engine._scheduler._prefill_tokens = 32
    runs = [engine.submit(_any_request(chance, i)) for i in range(60)]
    cancelled = chance.sample(runs, 15)
    canceller = threading.Thread(target=lambda: list(map(LocalRun.cancel, cancelled)))
    canceller.start()
    seen: dict[int, list[Event]] = {}
    readers = [threading.Thread(target=lambda i=i, run=run: seen.update({i: list(run)})) for i, run in enumerate(runs)]
    for reader in readers:
        reader.start()
    for i in chance.sample(range(60), 5):
        runs[i].cancel()
    readers[0].join()
    for reader in readers[1:40]:
        reader.join()
    engine.shutdown()
    for thread in [*readers, canceller]:
        thread.join()
    for events in seen.values():
        _assert_well_formed(events)
    assert len(seen) == 60


def _any_request(chance: random.Random, i: int) -> GenerationRequest:
    text = chance.choice(["hi", "x" * 300, "x" * 2000, POISON, "words " * 20])
    sampling = SamplingParams(
        temperature=chance.choice([0, 0.7, 2]),
        top_k=chance.choice([0, 1, 20]),
        top_p=chance.choice([0.1, 1]),
        min_p=chance.choice([0, 0.3]),
        max_tokens=chance.choice([1, 5, 100, None]),
        stop=chance.choice([(), ("a",), ("\ufffd", "e")]),
    )
    thinking = chance.choice([None, True, False])
    deadline_s = chance.choice([None, None, 0.0, 0.2])
    return GenerationRequest(str(i), (ChatMessage("user", text),), sampling, thinking, deadline_s)


def _assert_well_formed(events: list[Event]) -> None:
    finished = end(events)
    starts = [i for i, event in enumerate(events) if isinstance(event, Started)]
    assert starts in ([], [0]) and (len(events) == 1 or starts)
    assert (finished.reason == "error") == (finished.failure is not None)
    assert finished.usage.reasoning_tokens <= finished.usage.completion_tokens


@pytest.mark.model
def test_the_real_model_answers_as_transformers_does(real_engine: LocalEngine, real_model_dir: Path) -> None:
    question = "Write a Python function that reverses a string. 用中文解释。"
    ids = greedy_ids(real_model_dir, question, 24)
    expected = Tokenizer.from_file(str(real_model_dir / "tokenizer.json")).decode(ids)
    events = list(real_engine.submit(ask(question, sampling=SamplingParams(temperature=0, max_tokens=24))))
    assert answer(events) == expected and end(events).usage.completion_tokens == 24
    question = "Reply with the single word: yes"
    finished = end(list(real_engine.submit(ask(question, sampling=SamplingParams(temperature=0, max_tokens=200)))))
    assert finished.reason == "stop"
