"""Guesses make replies faster and change nothing in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inference.contract import Event, SamplingParams
from inference.draft import Draft
from inference.engine import LocalEngine
from inference.memory import Wishes
from tests.inference.asking import ask, end
from tests.inference.test_engine import Build, build, said

__all__ = ["build"]

GREEDY = SamplingParams(temperature=0, max_tokens=60, ignore_end=True)
COOL = SamplingParams(temperature=0.4, top_p=0.9, top_k=20, max_tokens=60, seed=3, ignore_end=True)
SETTINGS = {
    "greedy": GREEDY,
    "drawn": COOL,
    "penalised": replace(COOL, repetition_penalty=1.2, presence_penalty=0.5, frequency_penalty=0.1),
    "biased": replace(GREEDY, logit_bias=((65, 5.0), (66, 4.0))),
    "short": replace(GREEDY, max_tokens=3),
}


def test_what_followed_before_is_guessed_to_follow_again() -> None:
    assert Draft().guess([1, 2, 3, 4, 5, 1, 2, 3], 2) == [4, 5]
    assert Draft().guess([1, 2, 3, 4, 5], 4) == []


def test_the_longest_cue_and_then_the_latest_place_counts() -> None:
    assert Draft().guess([1, 2, 7, 5, 2, 8, 1, 2], 1) == [7]
    assert Draft().guess([2, 7, 2, 8, 2], 1) == [8]


def test_a_repetition_is_guessed_to_go_on() -> None:
    assert Draft().guess([9, 4, 4], 4) == [4, 4, 4, 4]
    assert Draft().guess([9, 1, 2, 1, 2], 4) == [1, 2, 1, 2]


def test_guesses_grow_where_they_are_right_and_shrink_where_they_are_wrong() -> None:
    draft, ids = Draft(), [1] * 10
    assert len(draft.guess(ids, 100)) == 4
    draft.judge(4, 4)
    assert len(draft.guess(ids, 100)) == 8
    draft.judge(8, 0)
    assert len(draft.guess(ids, 100)) == 1


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine.open(tiny_model_dir, "cpu", Wishes(format="row8"))
    yield engine
    engine.shutdown()


def reply(engine: LocalEngine, sampling: SamplingParams, num_spare_rows: int) -> list[Event]:
    engine.forget()
    engine._scheduler._num_spare_rows = num_spare_rows
    return list(engine.submit(ask("one two one two one two", sampling=sampling)))


@pytest.mark.parametrize("sampling", SETTINGS.values(), ids=SETTINGS)
def test_a_reply_is_the_same_with_and_without_guesses(engine: LocalEngine, sampling: SamplingParams) -> None:
    plain, guessed = (reply(engine, sampling, num) for num in (0, 7))
    assert said(plain) == said(guessed)
    assert end(plain).usage.completion_tokens == end(guessed).usage.completion_tokens == sampling.max_tokens


def test_a_reply_that_repeats_itself_takes_fewer_steps(build: Build) -> None:
    engine, runner = build(format="row8")
    taken = []
    for num_spare_rows in (0, 7):
        runner.steps.clear()
        reply(engine, replace(GREEDY, logit_bias=((65, 100.0),)), num_spare_rows)
        taken.append(len(runner.steps))
    assert taken[0] >= 60 and taken[1] < 20


def test_many_replies_leave_no_room_for_guesses(build: Build) -> None:
    engine, runner = build(format="row8", num_slots=8)
    runs = [engine.submit(ask(f"{i} again", sampling=replace(GREEDY, logit_bias=((65, 100.0),)))) for i in range(8)]
    assert all(end(list(run)).usage.completion_tokens == 60 for run in runs)
    assert max(sum(step) for step in runner.steps if len(step) > 1 and max(step) <= 8) <= 8


def test_a_guess_never_crosses_the_end_of_a_page(build: Build) -> None:
    engine, _ = build(format="row8", context_length=512)
    sampling = replace(GREEDY, max_tokens=300, logit_bias=((65, 100.0),))
    events = list(engine.submit(ask("x", sampling=sampling)))
    assert end(events).usage.completion_tokens == 300
    assert said(events).endswith("b" * 290)
