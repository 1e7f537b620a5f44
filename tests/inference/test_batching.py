"""What holds when many replies are computed at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.contract import ChatMessage, Event, GenerationRequest, Prefix, ReasoningDelta, SamplingParams, Started
from inference.engine import MOST_WAITING, LocalEngine
from inference.memory import Wishes
from tests.inference.asking import answer, ask, end, reasoning
from tests.inference.test_engine import POISON, Build, build, code, said

__all__ = ["build"]

GREEDY = SamplingParams(temperature=0, max_tokens=30, ignore_end=True)
HOT = SamplingParams(temperature=1.5, top_p=0.95, top_k=50, max_tokens=40, seed=11, ignore_end=True)


def started(events: list[Event]) -> Started:
    assert isinstance(events[0], Started)
    return events[0]


@pytest.fixture(scope="module", params=["row8", "fp32"])
def engine(request: pytest.FixtureRequest, tiny_model_dir: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine.open(tiny_model_dir, "cpu", Wishes(format=request.param, num_slots=9))
    yield engine
    engine.shutdown()


@pytest.mark.parametrize("sampling", [HOT, GREEDY], ids=["drawn", "greedy"])
def test_a_reply_is_the_same_alone_and_among_eight_others(engine: LocalEngine, sampling: SamplingParams) -> None:
    alone = said(list(engine.submit(ask("one of nine", sampling=sampling))))
    engine.forget()
    others = [engine.submit(ask("other " * (5 + 6 * i), sampling=replace(HOT, seed=i))) for i in range(8)]
    among = said(list(engine.submit(ask("one of nine", sampling=sampling))))
    assert alone == among
    assert all(end(list(run)).reason == "length" for run in others)


def test_a_reply_that_is_asked_for_again_is_the_same_from_the_cache(engine: LocalEngine) -> None:
    text = "words to be remembered " * 8
    first = list(engine.submit(ask(text, sampling=HOT)))
    again = list(engine.submit(ask(text, sampling=HOT)))
    assert said(first) == said(again)
    assert started(again).cached_tokens == started(again).prompt_tokens - 1
    assert end(again).usage.cached_tokens == started(again).cached_tokens


def test_the_next_turn_computes_only_what_is_new(build: Build) -> None:
    engine, runner = build(context_length=512)
    first = list(engine.submit(ask("x" * 200, sampling=GREEDY)))
    runner.steps.clear()
    turns = (ChatMessage("user", "x" * 200), ChatMessage("assistant", said(first)), ChatMessage("user", "and now"))
    second = list(engine.submit(GenerationRequest("2", turns, GREEDY)))
    assert started(second).cached_tokens >= started(first).prompt_tokens
    assert sum(num for step in runner.steps for num in step if num > 1) < 120
    fresh, _ = build()
    assert said(list(fresh.submit(GenerationRequest("2", turns, GREEDY)))) == said(second)


def test_an_edited_message_reuses_what_stands_above_it(build: Build) -> None:
    engine, _ = build()
    above = (ChatMessage("user", "y" * 100), ChatMessage("assistant", "z" * 50))
    list(engine.submit(GenerationRequest("1", (*above, ChatMessage("user", "first try")), GREEDY)))
    edited = list(engine.submit(GenerationRequest("2", (*above, ChatMessage("user", "second try")), GREEDY)))
    assert started(edited).cached_tokens > 150


def test_a_system_prompt_that_many_share_is_computed_once(build: Build) -> None:
    engine, runner = build(num_slots=6)
    system = ChatMessage("system", "s" * 250)
    runner.gate.clear()
    runs = [
        engine.submit(GenerationRequest(str(i), (system, ChatMessage("user", f"{i} asks")), GREEDY)) for i in range(6)
    ]
    runner.gate.set()
    begun = [started(list(run)) for run in runs]
    assert [one.cached_tokens > 250 for one in begun].count(True) == 5


def test_the_more_of_a_prompt_is_there_the_smaller_its_next_piece(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.scheduler._LEAST_PIECE", 42)
    engine, runner = build()
    engine._scheduler._prefill_tokens, engine._scheduler._reach = 64, 256
    list(engine.submit(ask("x" * 200, sampling=replace(GREEDY, max_tokens=1))))
    assert [max(step) for step in runner.steps][:4] == [64, 51, 44, 42]


def test_replies_that_do_not_fit_give_way_and_end_with_the_same_text(build: Build) -> None:
    long = SamplingParams(temperature=0, max_tokens=300, ignore_end=True)
    texts = ["a" * 200, "b" * 150, "c" * 100]
    roomy, _ = build(num_slots=3)
    expected = [said(list(roomy.submit(ask(text, sampling=long)))) for text in texts]
    narrow, _ = build(num_slots=3, pages=3)
    runs = [narrow.submit(ask(text, sampling=long)) for text in texts]
    assert [said(list(run)) for run in runs] == expected
    assert narrow.stats().num_preemptions > 0


def test_a_prompt_larger_than_all_memory_ends_with_its_reason(build: Build) -> None:
    engine, _ = build(pages=1)
    assert code(list(engine.submit(ask("x" * 300, sampling=GREEDY)))) == "out_of_memory"
    assert end(list(engine.submit(ask("x", sampling=GREEDY)))).reason == "length"


def test_the_queue_is_bounded(build: Build) -> None:
    engine, runner = build()
    runner.gate.clear()
    runs = [engine.submit(ask(sampling=GREEDY)) for _ in range(MOST_WAITING + 40)]
    time.sleep(0.05)
    runner.gate.set()
    codes = [code(list(run)) for run in runs]
    assert "overloaded" in codes and codes.count("") >= MOST_WAITING


def _oom(engine: LocalEngine, runner: Any) -> None:
    runner.trouble = torch.OutOfMemoryError("full")


def _broken(engine: LocalEngine, runner: Any) -> None:
    runner.trouble = RuntimeError("broken")


def _nan(engine: LocalEngine, runner: Any) -> None:
    runner.makes_nan = True


@pytest.mark.parametrize("trouble", [_oom, _broken, _nan])
def test_eight_healthy_replies_finish_beside_one_that_breaks(
    build: Build, trouble: Callable[[LocalEngine, Any], None]
) -> None:
    engine, runner = build(num_slots=9)
    expected = [said(list(engine.submit(ask(f"healthy {i}", sampling=HOT)))) for i in range(8)]
    trouble(engine, runner)
    runs = [engine.submit(ask(f"healthy {i}", sampling=HOT)) for i in range(8)]
    broken = list(engine.submit(ask(f"hello {POISON}", sampling=GREEDY)))
    assert end(broken).reason == "error"
    assert [said(list(run)) for run in runs] == expected
    assert engine.is_healthy()


def test_eight_healthy_replies_finish_beside_odd_requests(build: Build) -> None:
    engine, _ = build(num_slots=9)
    runs = [engine.submit(ask(f"healthy {i}", sampling=HOT)) for i in range(8)]
    odd = [engine.submit(ask("x" * 5000)), engine.submit(ask(model="nobody's")), engine.submit(ask(sampling=GREEDY))]
    cancelled = [engine.submit(ask(sampling=GREEDY)) for _ in range(50)]
    for run in cancelled:
        run.cancel()
    assert [code(list(run)) for run in odd] == ["prompt_too_long", "bad_request", ""]
    assert {end(list(run)).reason for run in cancelled} <= {"cancelled", "length"}
    assert {end(list(run)).reason for run in runs} == {"length"}


def test_what_is_not_a_number_does_not_stay_in_memory(build: Build) -> None:
    engine, runner = build(pages=2)
    runner.memory.keys_values[:, 3:5] = float("nan")
    run = engine.submit(ask("some words", sampling=GREEDY))
    assert end(list(run)).reason in ("error", "length")
    again = engine.submit(ask("other words", sampling=GREEDY))
    assert end(list(again)).reason == "length"


def test_the_reasoning_ends_at_its_budget_and_the_answer_follows(engine: LocalEngine) -> None:
    sampling = replace(GREEDY, logit_bias=((262, -100.0),))
    events = list(engine.submit(ask(enable_thinking=True, thinking_budget=6, sampling=sampling)))
    assert reasoning(events) and answer(events)
    usage = end(events).usage
    assert 6 <= usage.reasoning_tokens <= 8 and usage.completion_tokens == 30


def test_answer_now_closes_the_reasoning(build: Build) -> None:
    engine, _ = build()
    sampling = SamplingParams(temperature=0, max_tokens=60, ignore_end=True, logit_bias=((262, -100.0),))
    run = engine.submit(ask(enable_thinking=True, sampling=sampling))
    events = iter(run)
    shown = [next(events) for _ in range(4)]
    run.answer_now()
    rest = list(events)
    assert any(isinstance(event, ReasoningDelta) for event in shown) and answer(rest)
    assert end(rest).usage.reasoning_tokens < 60


@pytest.mark.parametrize(
    ("settings", "least"),
    [({"repetition_penalty": 5.0}, 20), ({"presence_penalty": 2.0, "temperature": 0.0}, 1), ({}, 1)],
)
def test_penalties_make_a_reply_more_varied(engine: LocalEngine, settings: dict[str, Any], least: int) -> None:
    sampling = replace(GREEDY, **settings)
    run = engine.submit(ask("abc", sampling=sampling))
    assert end(list(run)).reason == "length"
    reply = run.ids[run.prompt_tokens :]
    assert len(set(reply)) >= least


def test_a_bias_forces_and_forbids_tokens(engine: LocalEngine) -> None:
    forced = list(engine.submit(ask(sampling=replace(GREEDY, logit_bias=((65, 100.0),)))))
    assert len(set(said(forced))) == 1
    letter = said(forced)[0]
    forbidden = list(engine.submit(ask(sampling=replace(GREEDY, logit_bias=((65, -100.0),)))))
    assert letter not in said(forbidden)


def test_a_stop_id_ends_a_reply_and_ignored_ends_do_not(engine: LocalEngine) -> None:
    biased = ((65, 100.0),)
    events = list(engine.submit(ask(sampling=replace(GREEDY, logit_bias=biased, stop_ids=(65,)))))
    assert (end(events).reason, said(events)) == ("stop", "")
    end_token = next(iter(engine._ends))
    ended = ask(sampling=SamplingParams(temperature=0, max_tokens=5, logit_bias=((end_token, 100.0),)))
    assert end(list(engine.submit(ended))).reason == "stop"
    goes_on = replace(ended.sampling, ignore_end=True)
    assert end(list(engine.submit(ask(sampling=goes_on)))).reason == "length"


def test_the_engine_counts_what_it_does(build: Build) -> None:
    engine, _ = build()
    list(engine.submit(ask("x" * 100, sampling=GREEDY)))
    list(engine.submit(ask("x" * 100, sampling=GREEDY)))
    stats = engine.stats()
    assert stats.num_completion_tokens == 60 and stats.num_prompt_tokens == 2 * 119
    assert stats.num_cached_tokens == 118 and stats.busy_s > 0 and stats.step_p50_ms > 0
    assert stats.kv_tokens > 0 and stats.num_running == 0


def test_device_seconds_of_all_replies_are_the_seconds_the_device_was_busy(build: Build) -> None:
    engine, _ = build()
    runs = [engine.submit(ask("y" * (20 + 50 * i), sampling=GREEDY)) for i in range(4)]
    shares = [end(list(run)).timings.device_s for run in runs]
    assert sum(shares) == pytest.approx(engine.stats().busy_s, rel=1e-6)


@pytest.mark.model
def test_the_real_model_goes_on_from_a_prefix_as_it_would_have(real_engine: LocalEngine) -> None:
    sampling = SamplingParams(temperature=0.8, seed=3, max_tokens=60)
    request = ask("Count from one to thirty in words.", sampling=sampling)
    whole = answer(list(real_engine.submit(request)))
    for share in (0.2, 0.7):
        shown = whole[: whole.index(" ", int(len(whole) * share))]
        rest = answer(list(real_engine.submit(replace(request, prefix=Prefix(text=shown)))))
        assert shown + rest == whole


@pytest.mark.model
def test_the_real_model_says_the_same_alone_and_among_eight_others(real_engine: LocalEngine) -> None:
    sampling = SamplingParams(temperature=0.9, seed=7, max_tokens=48)
    asked = ask("Why does a bicycle stay upright?", sampling=sampling)
    alone = answer(list(real_engine.submit(asked)))
    others = [real_engine.submit(ask("Tell a story. " * (1 + 7 * i), sampling=sampling)) for i in range(8)]
    assert answer(list(real_engine.submit(asked))) == alone
    real_engine.forget()
    assert answer(list(real_engine.submit(asked))) == alone
    for run in others:
        run.cancel()
        list(run)


@pytest.mark.model
def test_the_real_model_reads_a_long_prompt_in_pieces(real_engine: LocalEngine) -> None:
    question = "The secret word is marmalade. " + "Nothing to see here. " * 130 + "What is the secret word?"
    events = list(real_engine.submit(ask(question, sampling=SamplingParams(temperature=0, max_tokens=20))))
    assert "marmalade" in answer(events) and started(events).prompt_tokens > 600
