"""Replies that must look as they were asked to, beside others that need not."""

from __future__ import annotations

import json
import re

import pytest

from inference.contract import Guide, Prefix, SamplingParams
from inference.engine import LocalEngine
from tests.inference.asking import answer, ask, end, reasoning
from tests.inference.test_engine import code

DATE = Guide("regex", r"\d{4}-\d{2}-\d{2}")
PERSON = Guide(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 120}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
    ),
)
HOT = SamplingParams(temperature=1.5, top_k=0, top_p=1, max_tokens=200, seed=4)


def test_an_answer_follows_its_expression_beside_free_ones(tiny: LocalEngine) -> None:
    free = [tiny.submit(ask(f"free {i}", sampling=HOT)) for i in range(2)]
    guided = [tiny.submit(ask(f"guided {i}", sampling=HOT, guide=DATE)) for i in range(3)]
    for run in guided:
        events = list(run)
        assert end(events).reason == "stop" and re.fullmatch(r"\d{4}-\d{2}-\d{2}", answer(events))
    assert all(end(list(run)).reason in ("length", "stop") for run in free)


def test_an_answer_follows_its_schema(tiny: LocalEngine) -> None:
    events = list(tiny.submit(ask(sampling=HOT, guide=PERSON)))
    assert end(events).reason == "stop"
    assert set(json.loads(answer(events))) == {"name", "age"}


def test_reasoning_is_free_and_the_answer_is_guided(tiny: LocalEngine) -> None:
    events = list(tiny.submit(ask(enable_thinking=True, thinking_budget=5, sampling=HOT, guide=DATE)))
    assert reasoning(events) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", answer(events))


def test_a_guided_answer_goes_on_from_what_was_shown(tiny: LocalEngine) -> None:
    events = list(tiny.submit(ask(sampling=HOT, guide=DATE, prefix=Prefix(text="2024-1"))))
    assert re.fullmatch(r"2024-1\d-\d{2}", "2024-1" + answer(events))


@pytest.mark.parametrize("guide", [Guide("json_schema", "{"), Guide("regex", "("), Guide("json_schema", "[1]")])
def test_a_bad_guide_is_refused_in_plain_words_and_others_finish(tiny: LocalEngine, guide: Guide) -> None:
    healthy = tiny.submit(ask(sampling=SamplingParams(temperature=0, max_tokens=10)))
    events = list(tiny.submit(ask(guide=guide)))
    failure = end(events).failure
    assert code(events) == "bad_request" and failure and failure.message.startswith("The ")
    assert end(list(healthy)).failure is None


@pytest.mark.model
def test_the_real_model_fills_in_a_schema(real_engine: LocalEngine) -> None:
    sampling = SamplingParams(temperature=0, max_tokens=100)
    events = list(real_engine.submit(ask("Ada Lovelace is 36 years old. Who is she?", sampling=sampling, guide=PERSON)))
    assert json.loads(answer(events)) == {"name": "Ada Lovelace", "age": 36}
