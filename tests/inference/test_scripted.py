from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from inference import open_engine, open_prompter
from inference.contract import ChatMessage, Prefix, ReasoningDelta, SamplingParams, Started, TextDelta
from inference.errors import ModelError, PromptTooLong
from inference.scripted import ScriptedEngine, ScriptedPrompter
from tests.inference.asking import answer, ask, end, reasoning

Open = Callable[[str], ScriptedEngine]


@pytest.fixture
def scripted() -> Iterator[Open]:
    engines: list[ScriptedEngine] = []

    def open_scripted(line: str) -> ScriptedEngine:
        engines.append(ScriptedEngine(line))
        return engines[-1]

    yield open_scripted
    for engine in engines:
        engine.shutdown()


def test_the_same_prompt_always_gets_the_same_tokens(scripted: Open) -> None:
    first, second = scripted("tokens=30"), scripted("tokens=30")
    texts = [answer(list(engine.submit(ask("hello")))) for engine in (first, second)]
    assert texts[0] == texts[1] != answer(list(first.submit(ask("other"))))
    assert len(texts[0].split()) == 30


def test_started_comes_first_and_finished_last_with_exact_counts(scripted: Open) -> None:
    events = list(scripted("tokens=5;reasoning=3").submit(ask("hello", sampling=SamplingParams(seed=7))))
    started = events[0]
    assert isinstance(started, Started) and started.seed == 7
    assert [type(event) for event in events[1:-1]] == [ReasoningDelta] * 3 + [TextDelta] * 5
    usage = end(events).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens) == (started.prompt_tokens, 8, 3)
    assert end(events).reason == "stop"


@pytest.mark.parametrize("kind", ["words", "markdown", "say"])
@pytest.mark.parametrize("num", [1, 4, 9, 10, 11, 29, 30])
def test_a_reply_that_is_continued_is_the_same_as_one_in_a_piece(scripted: Open, kind: str, num: int) -> None:
    engine = scripted(f"tokens=20;reasoning=10;{kind}")
    question = "hello" if kind != "say" else "[[say]]" + "A text of sixty characters, in which each token has three of"
    whole = list(engine.submit(ask(question)))
    first = list(engine.submit(ask(question, sampling=SamplingParams(max_tokens=num))))
    prefix = Prefix(answer(first), reasoning(first))
    rest = list(engine.submit(ask(question, prefix=prefix)))

    assert prefix.reasoning + reasoning(rest) == reasoning(whole)
    assert prefix.text + answer(rest) == answer(whole)
    counts = [end(events).usage for events in (first, rest, whole)]
    assert counts[0].completion_tokens + counts[1].completion_tokens == counts[2].completion_tokens == 30
    assert counts[0].reasoning_tokens + counts[1].reasoning_tokens == counts[2].reasoning_tokens == 10


def test_the_longest_length_counts_what_was_there_before(scripted: Open) -> None:
    engine = scripted("tokens=20")
    first = answer(list(engine.submit(ask(sampling=SamplingParams(max_tokens=6)))))
    rest = list(engine.submit(ask(prefix=Prefix(first), sampling=SamplingParams(max_tokens=10))))
    assert (end(rest).reason, end(rest).usage.completion_tokens) == ("length", 4)


def test_stamps_go_on_counting_after_a_prefix(scripted: Open) -> None:
    events = list(scripted("stamp;tokens=3").submit(ask(prefix=Prefix("‹0:17›‹1:18›"))))
    assert answer(events).startswith("‹2:")


def test_a_prefix_of_other_words_is_simply_continued(scripted: Open) -> None:
    engine = scripted("tokens=5")
    assert answer(list(engine.submit(ask(prefix=Prefix("Never said"))))) == answer(list(engine.submit(ask())))


def test_reasoning_is_left_out_when_thinking_is_off(scripted: Open) -> None:
    events = list(scripted("tokens=2;reasoning=3").submit(ask("hello", enable_thinking=False)))
    assert not any(isinstance(event, ReasoningDelta) for event in events)


def test_a_directive_in_the_last_message_changes_the_reply(scripted: Open) -> None:
    engine = scripted("tokens=5")
    assert "## Reading" in answer(list(engine.submit(ask("please [[tokens=80;markdown]]"))))
    stamps = answer(list(engine.submit(ask("[[tokens=3;stamp]]"))))
    assert [part.split(":")[0] for part in stamps.strip("‹›").split("›‹")] == ["0", "1", "2"]
    assert len(answer(list(engine.submit(ask("a [[wiki link]] is no directive")))).split()) == 5


@pytest.mark.parametrize("text", ["<script>alert(1)</script>\n\n* 你好 🙂; [[x]]", "x", " \n"])
def test_say_answers_exactly_the_text_that_follows(scripted: Open, text: str) -> None:
    engine = scripted("")
    assert answer(list(engine.submit(ask(f"[[rate=5000;say]]{text}")))) == text
    assert answer(list(scripted("text=a;b=c").submit(ask("hello")))) == "a;b=c"


@pytest.mark.parametrize(
    ("line", "code", "is_retryable"),
    [("fail_at=3", "engine", True), ("mode=oom", "out_of_memory", True), ("mode=poison;fail_at=3", "engine", False)],
)
def test_failures_come_by_script_and_hit_one_run_only(scripted: Open, line: str, code: str, is_retryable: bool) -> None:
    engine = scripted("tokens=20;rate=500")
    healthy, failing = engine.submit(ask("hello")), engine.submit(ask(f"[[{line}]]"))
    failure = end(list(failing)).failure
    assert failure is not None and (failure.code, failure.is_retryable) == (code, is_retryable)
    assert end(list(healthy)).reason == "stop"


def test_no_eos_goes_on_to_the_length_limit(scripted: Open) -> None:
    engine = scripted("mode=no_eos;context=200")
    events = list(engine.submit(ask("hello", sampling=SamplingParams(max_tokens=9))))
    assert (end(events).reason, end(events).usage.completion_tokens) == ("length", 9)
    events = list(engine.submit(ask("hello")))
    usage = end(events).usage
    assert (end(events).reason, usage.prompt_tokens + usage.completion_tokens) == ("length", 200)


def test_a_stop_string_ends_the_reply_before_it(scripted: Open) -> None:
    run = scripted("").submit(ask("[[say]]one two three", sampling=SamplingParams(stop=("two",))))
    events = list(run)
    assert (answer(events), end(events).reason) == ("one ", "stop")


def test_a_cancelled_run_ends_at_once_running_or_waiting(scripted: Open) -> None:
    engine = scripted("rate=1;tokens=1000;slots=1")
    running, waiting = engine.submit(ask("hello")), engine.submit(ask("hello"))
    events = iter(running)
    assert isinstance(next(events), Started)
    waiting.cancel()
    assert end(list(waiting)).reason == "cancelled"
    running.cancel()
    running.cancel()
    assert end(list(events)).reason == "cancelled"


def test_a_waiting_run_is_taken_when_a_slot_is_free(scripted: Open) -> None:
    engine = scripted("rate=200;tokens=10;slots=1")
    runs = [engine.submit(ask("hello")) for _ in range(3)]
    assert [end(list(run)).reason for run in runs] == ["stop"] * 3


def test_the_deadline_counts_from_submission_even_while_waiting(scripted: Open) -> None:
    engine = scripted("rate=1;tokens=1000;slots=1")
    runs = [engine.submit(ask("hello", deadline_s=0.05)), engine.submit(ask("hello", deadline_s=0.02))]
    for run in runs:
        failure = end(list(run)).failure
        assert failure is not None and failure.code == "deadline"


def test_a_shutdown_ends_every_run_and_later_ones_too(scripted: Open) -> None:
    engine = scripted("rate=1;tokens=1000;slots=2")
    runs = [engine.submit(ask("hello")) for _ in range(4)]
    engine.shutdown()
    for run in [*runs, engine.submit(ask("late"))]:
        failure = end(list(run)).failure
        assert failure is not None and failure.code == "shutdown"
    assert not engine.is_healthy()


def test_a_hanging_engine_is_not_healthy_and_can_be_shut_down(scripted: Open) -> None:
    engine = scripted("rate=500;stall_s=0.3")
    other = engine.submit(ask("[[tokens=100000]]"))
    hanging = engine.submit(ask("[[mode=hang;fail_at=2]]"))
    assert engine.is_healthy()
    while engine.is_healthy():
        time.sleep(0.02)
    engine.shutdown()
    for run in (other, hanging):
        assert end(list(run)).reason == "error"


def test_a_reader_that_goes_away_frees_its_slot(scripted: Open) -> None:
    engine = scripted("rate=100;tokens=100000;slots=1")
    events = iter(engine.submit(ask("hello")))
    next(events)
    del events
    assert end(list(engine.submit(ask("[[tokens=2]]")))).reason == "stop"


def test_hundreds_of_runs_share_one_thread(scripted: Open) -> None:
    num_threads = threading.active_count()
    engine = scripted("tokens=10;rate=200")
    runs = [engine.submit(ask(f"hello {i}")) for i in range(300)]
    assert threading.active_count() == num_threads + 1
    assert {end(list(run)).usage.completion_tokens for run in runs} == {10}


def test_the_oldest_turns_are_dropped_and_the_system_message_stays() -> None:
    prompter = ScriptedPrompter(80)
    system, turn = ChatMessage("system", "s" * 8), [ChatMessage("user", "u" * 60), ChatMessage("assistant", "a" * 20)]
    messages = [system, *turn, *turn, *turn, ChatMessage("user", "last")]
    prompt = prompter.build(messages)
    assert prompt.num_dropped_messages == 4
    assert prompt.ids == prompter.build([system, *turn, ChatMessage("user", "last")]).ids
    assert len(prompt.ids) == prompter.count([system, *turn, ChatMessage("user", "last")]) <= prompter.max_prompt_tokens


def test_a_message_longer_than_the_window_is_refused_with_both_numbers(scripted: Open) -> None:
    with pytest.raises(PromptTooLong) as refused:
        ScriptedPrompter(100).build([ChatMessage("user", "x" * 4000)])
    assert (refused.value.num_tokens, refused.value.limit) == (1004, 75)
    failure = end(list(scripted("context=100").submit(ask("x" * 4000)))).failure
    assert failure is not None and failure.code == "prompt_too_long"
    assert "1,004" in failure.message and "75" in failure.message


def test_the_scripted_engine_is_opened_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QWENWEB_ENGINE", raising=False)
    with pytest.raises(ModelError):
        open_engine(None)
    monkeypatch.setenv("QWENWEB_ENGINE", "scripted")
    monkeypatch.setenv("QWENWEB_SCRIPT", "tokens=3;context=500")
    engine = open_engine(None)
    assert engine.info.context_length == open_prompter(None).context_length == 500
    assert end(list(engine.submit(ask("hello")))).usage.completion_tokens == 3
    engine.shutdown()


def test_an_unknown_word_in_a_script_is_refused() -> None:
    for line in ("speed=3", "mode=sleepy", "loud", "tokens=many"):
        with pytest.raises(ValueError):
            ScriptedEngine(line)


def test_the_scripted_engine_needs_no_torch() -> None:
    import subprocess

    code = "import sys, inference.scripted; sys.exit('torch' in sys.modules or 'tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
