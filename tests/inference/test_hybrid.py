"""Hybrids in the engine: states in place of most keys and values, beside everybody else's replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from inference.attention import Span
from inference.contract import ChatMessage, EngineInfo, Event, GenerationRequest, SamplingParams, Started
from inference.engine import LocalEngine
from inference.memory import Wishes
from inference.model_runner import ModelRunner, end_tokens
from inference.prompt import Prompter
from inference.states import turn_ends
from inference.weights import context_length
from tests.inference.asking import answer, end, reasoning
from tests.inference.tiny_models import (
    CONTEXT,
    DELTA_SIZES,
    SIZES,
    make,
    save,
)

FP32 = Wishes(format="fp32", num_slots=4)
VISIBLE = range(94)
"""The tokens of "!" to "~"."""
LONG = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 3


@pytest.fixture(scope="module")
def runner(hybrid_dir: Path) -> ModelRunner:
    return ModelRunner(hybrid_dir, "cpu", Wishes(format="fp32", num_slots=8))


# What a directory says


def test_a_hybrid_has_keys_and_values_in_its_attention_layers_alone(runner: ModelRunner) -> None:
    assert runner.states
    assert runner.memory.keys_values.shape[0] == 1 and runner.states.recurrent.shape[0] == 3
    assert runner.plan.bytes_per_token == 2 * 2 * 16 * 4
    assert runner.plan.state_bytes == 3 * (4 * 8 * 16 + 3 * (2 * 2 * 8 + 4 * 16)) * 4
    assert "for states" in str(runner.plan)


def test_a_model_that_sees_is_served_by_what_its_text_part_says(tmp_path: Path) -> None:
    vision = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 32}
    text = {**SIZES, **DELTA_SIZES, "eos_token_id": 77}
    model = make("Qwen3_5ForConditionalGeneration", text_config=text, vision_config=vision)
    model_dir = save(model, tmp_path)
    assert (context_length(model_dir), end_tokens(model_dir)) == (CONTEXT, {77})
    engine = LocalEngine.open(model_dir, wishes=FP32)
    events = list(engine.submit(chat("hello")))
    engine.shutdown()
    ids = Prompter(model_dir).build([ChatMessage("user", "hello")]).ids
    assert answer(events) + reasoning(events) == text_by_transformers(model, model_dir, ids)


# The engine


class FailingRunner(ModelRunner):
    """The real runner, whose steps fail on purpose: after they have written what they write."""

    is_failing: Callable[[Sequence[Span]], bool] = staticmethod(lambda spans: False)
    num_failures = 0

    def forward(self, tokens: Any, spans: Sequence[Span], wanted: Sequence[int]) -> torch.Tensor:
        logits = super().forward(tokens, spans, wanted)
        if self.is_failing(spans):
            self.num_failures += 1
            raise RuntimeError("broken")
        return logits


Open = Callable[..., tuple[LocalEngine, FailingRunner]]


@pytest.fixture
def open_engine(hybrid_dir: Path) -> Iterator[Open]:
    engines: list[LocalEngine] = []

    def build(num_slots: int = 4) -> tuple[LocalEngine, FailingRunner]:
        runner = FailingRunner(hybrid_dir, "cpu", Wishes(format="fp32", num_slots=num_slots))
        tokenizer = Tokenizer.from_file(str(hybrid_dir / "tokenizer.json"))
        info = EngineInfo("hybrid", "1", "cpu", "fp32", CONTEXT, num_slots, has_thinking=True)
        engines.append(LocalEngine(runner, Prompter(hybrid_dir), tokenizer, {258}, info))
        return engines[-1], runner

    yield build
    for engine in engines:
        engine.shutdown()


def chat(*texts: str, max_tokens: int = 24, **settings: Any) -> GenerationRequest:
    """A request whose messages are a person's and the model's in turn; the reply is of visible characters."""
    messages = tuple(ChatMessage("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))
    visible = tuple((token, 100.0) for token in VISIBLE)
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_end=True, logit_bias=visible)
    return GenerationRequest("r", messages, sampling, **settings)


def text_by_transformers(model: Any, model_dir: Path, ids: list[int], num_tokens: int = 24) -> str:
    others = [[token] for token in range(272) if token not in VISIBLE]
    output = model.generate(
        torch.tensor([ids]),
        max_new_tokens=num_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        bad_words_ids=others,
    )
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    text: str = tokenizer.decode(output[0, len(ids) :].tolist())
    return text


def run(engine: LocalEngine, request: GenerationRequest) -> tuple[str, int]:
    """The text of a reply, and how much of its prompt was there already."""
    return outcome(list(engine.submit(request)))


def outcome(events: list[Event]) -> tuple[str, int]:
    assert end(events).failure is None
    started = next(event for event in events if isinstance(event, Started))
    return reasoning(events) + answer(events), started.cached_tokens


def states_in_use(engine: LocalEngine) -> int:
    states = engine._scheduler.states
    assert states
    return states.recurrent.shape[1] - 2 - states.num_free


def test_greedy_text_equals_that_of_transformers(open_engine: Open, hybrid: Any, hybrid_dir: Path) -> None:
    engine, _ = open_engine()
    for text in ("hello", LONG):
        ids = Prompter(hybrid_dir).build([ChatMessage("user", text)]).ids
        assert run(engine, chat(text))[0] == text_by_transformers(hybrid, hybrid_dir, ids)


def test_replies_are_the_same_alone_and_together(open_engine: Open) -> None:
    texts = [LONG, "hi", f"{LONG}{LONG}", "what?", LONG[5:], "x" * 200]
    engine, _ = open_engine()
    alone = [run(open_engine()[0], chat(text))[0] for text in texts]
    runs = [engine.submit(chat(text)) for text in texts]
    assert [outcome(list(one))[0] for one in runs] == alone


def test_the_next_turn_goes_on_from_the_end_of_the_reply(open_engine: Open) -> None:
    engine, _ = open_engine()
    said = run(engine, chat(LONG))[0]
    again, cached = run(engine, chat(LONG, said, "go on"))
    assert cached == len(f"<user\n{LONG}>\n<assistant\n") + 23
    assert (again, 0) == run(open_engine()[0], chat(LONG, said, "go on"))


def test_the_next_turn_goes_on_from_the_turn_before_when_the_template_drops_the_reasoning(open_engine: Open) -> None:
    engine, _ = open_engine()
    run(engine, chat(LONG, enable_thinking=True))
    history = (LONG, "<think>\nwell\n</think>\n\nyes", "go on")
    again, cached = run(engine, chat(*history))
    assert cached == len(f"<user\n{LONG}>\n")
    assert (again, 0) == run(open_engine()[0], chat(*history))


def test_a_reply_made_again_computes_its_opening_alone(open_engine: Open) -> None:
    engine, _ = open_engine()
    first, _ = run(engine, chat(LONG))
    again, cached = run(engine, chat(LONG))
    assert (again, cached) == (first, len(f"<user\n{LONG}>\n"))


def test_an_edit_of_the_second_turn_goes_on_from_the_first(open_engine: Open) -> None:
    engine, _ = open_engine()
    said = run(engine, chat(LONG))[0]
    run(engine, chat(LONG, said, f"now {LONG}"))
    edited, cached = run(engine, chat(LONG, said, f"but {LONG}"))
    assert cached >= len(f"<user\n{LONG}>\n")
    assert (edited, 0) == run(open_engine()[0], chat(LONG, said, f"but {LONG}"))


def test_conversations_with_one_beginning_share_it_while_they_run(open_engine: Open) -> None:
    engine, _ = open_engine()
    system = ChatMessage("system", LONG)
    requests = [
        GenerationRequest("r", (system, *chat(text).messages), chat(text).sampling) for text in ("one", "two", "three")
    ]
    alone = [run(open_engine()[0], request)[0] for request in requests]
    runs = [engine.submit(request) for request in requests]
    outcomes = [outcome(list(one)) for one in runs]
    assert [text for text, _ in outcomes] == alone
    assert [cached for _, cached in outcomes] == [0, *[len(f"<system\n{LONG}>\n")] * 2]


def test_without_a_fitting_snapshot_a_prompt_is_computed_anew(open_engine: Open) -> None:
    engine, _ = open_engine()
    run(engine, chat(f"{LONG} one"))
    text, cached = run(engine, chat(f"{LONG} two"))
    assert cached == 0
    assert (text, 0) == run(open_engine()[0], chat(f"{LONG} two"))


def test_a_step_that_broke_after_it_wrote_changes_no_reply(open_engine: Open) -> None:
    texts = [LONG, f"{LONG}more", "hi"]
    alone = [run(open_engine()[0], chat(text))[0] for text in texts]
    engine, runner = open_engine()
    # Whatever is computed together fails; each piece alone succeeds.
    runner.is_failing = lambda spans: len(spans) > 1
    runs = [engine.submit(chat(text)) for text in texts]
    assert [outcome(list(one))[0] for one in runs] == alone
    assert runner.num_failures > 20


def test_a_run_that_breaks_gives_its_states_back(open_engine: Open) -> None:
    engine, runner = open_engine()
    runner.is_failing = lambda spans: any(span.start > 200 for span in spans)
    failed = end(list(engine.submit(chat(LONG)))).failure
    assert failed and failed.code == "engine"
    runner.is_failing = lambda spans: False
    expected = run(open_engine()[0], chat(LONG))
    assert run(engine, chat(LONG)) == expected
    engine.shutdown()
    assert states_in_use(engine) == 0


def test_numbers_that_are_none_end_their_own_reply_alone(open_engine: Open, hybrid_dir: Path) -> None:
    expected = run(open_engine()[0], chat(LONG))[0]
    engine, runner = open_engine()
    poison = Tokenizer.from_file(str(hybrid_dir / "tokenizer.json")).encode("é").ids[0]
    embedding = runner._decoder._embedding.clone()
    embedding[poison] = torch.nan
    runner._decoder._embedding = embedding
    runs = [engine.submit(chat(text)) for text in (LONG, f"{LONG}é", "é", LONG)]
    events = [list(one) for one in runs]
    assert [end(one).failure is None for one in events] == [True, False, False, True]
    assert outcome(events[0])[0] == outcome(events[3])[0] == expected
    again = [engine.submit(chat(LONG)) for _ in range(6)]
    assert [outcome(list(one))[0] for one in again] == [expected] * 6


def test_a_reply_that_gave_way_goes_on_as_if_nothing_had_been(open_engine: Open) -> None:
    texts = ["a" * 200, "b" * 200]
    alone = [run(open_engine()[0], chat(text, max_tokens=330))[0] for text in texts]
    engine, runner = open_engine()
    assert runner.memory.allocate(runner.memory.num_pages - 5)
    runs = [engine.submit(chat(text, max_tokens=330)) for text in texts]
    assert [outcome(list(one))[0] for one in runs] == alone
    assert engine.stats().num_preemptions > 0


def test_snapshots_are_bounded_and_the_oldest_conversations_go_first(open_engine: Open) -> None:
    engine, _ = open_engine(num_slots=1)
    states = engine._scheduler.states
    assert states
    total = states.recurrent.shape[1] - 2
    turns = [LONG]
    for turn in range(7):
        said, cached = run(engine, chat(*turns, max_tokens=3))
        assert (cached > 0) == (turn > 0)
        turns += [said, f"and {turn}"]
        assert states_in_use(engine) <= total
    for i in range(5):
        run(engine, chat(f"{i} {LONG}", max_tokens=3))
    assert run(engine, chat(f"4 {LONG}", max_tokens=3))[1] > 0
    assert run(engine, chat(*turns, max_tokens=3))[1] == 0
    engine.shutdown()
    assert states_in_use(engine) == 0


def test_the_states_of_many_replies_come_back_when_all_is_over(open_engine: Open) -> None:
    engine, _ = open_engine()
    runs = [engine.submit(chat(f"{LONG}{i % 3}", max_tokens=1 + i % 7)) for i in range(20)]
    runs[3].cancel()
    runs[11].cancel()
    for one in runs:
        end(list(one))
    engine.shutdown()
    assert states_in_use(engine) == 0


def test_turns_end_after_the_first_message_and_before_the_reply() -> None:
    ids = [9, *[1] * 99, 9, *[1] * 49, 9, *[1] * 20]
    assert turn_ends(ids, 9) == [100, 150]
    assert turn_ends([9, *[1] * 20, 9, 1], 9) == []
    assert turn_ends(ids, None) == []
