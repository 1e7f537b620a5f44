from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from inference.contract import ReasoningDelta, TextDelta
from inference.detokenizer import CharacterStream, Delta, Detokenizer, ThinkMarkers
from inference.stop import StopFilter

TEXT = "Grüße, 你好，世界！ 🙂👨‍👩‍👧 e\u0301 ñ\n\n```python\n\tx = 1\n```"


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_model_dir / "tokenizer.json"))


def reply(tokenizer: Tokenizer, ids: list[int], is_thinking: bool = False, stops: tuple[str, ...] = ()) -> list[Delta]:
    detokenizer = Detokenizer(tokenizer, ThinkMarkers.of(tokenizer), is_thinking, stops)
    deltas = [delta for token in ids for delta in detokenizer.feed(token)]
    return deltas + detokenizer.close()


def text(deltas: list[Delta], kind: type[Delta] = TextDelta) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def test_characters_come_whole_although_every_byte_is_a_token(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT).ids
    deltas = reply(tokenizer, ids)
    assert text(deltas) == tokenizer.decode(ids)
    assert not any("\ufffd" in delta.text for delta in deltas)
    assert len(deltas) >= len(set(TEXT))


@pytest.mark.model
def test_the_real_tokenizer_streams_what_it_decodes(real_model_dir: Path) -> None:
    real = Tokenizer.from_file(str(real_model_dir / "tokenizer.json"))
    ids = real.encode(TEXT * 3).ids
    assert text(reply(real, ids)) == real.decode(ids)


def test_a_character_cut_at_the_end_shows_as_a_replacement_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a🙂").ids
    assert text(reply(tokenizer, ids[:-1])) == "a\ufffd"


def test_bytes_that_are_no_text_hold_nothing_back_for_long(tokenizer: Tokenizer) -> None:
    stream = CharacterStream(tokenizer)
    lone = tokenizer.encode("é").ids[0]
    shown = "".join(stream.feed(lone) for _ in range(100))
    assert len(shown) > 80 and set(shown) == {"\ufffd"}
    assert (shown + stream.feed(tokenizer.encode("a").ids[0])).endswith("a")


def test_any_row_of_tokens_gives_text_without_an_error(tokenizer: Tokenizer) -> None:
    chance = random.Random(7)
    for _ in range(200):
        ids = [chance.randrange(272) for _ in range(60)]
        for delta in reply(tokenizer, ids, stops=("x", "ab")):
            delta.text.encode()


def test_reasoning_is_split_from_the_answer_by_token_ids(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<think>\nI wonder 🙂.\n</think>\n\nYes.\n").ids
    deltas = reply(tokenizer, ids)
    assert (text(deltas, ReasoningDelta), text(deltas)) == ("I wonder 🙂.\n", "Yes.\n")


def test_a_prompt_that_opens_reasoning_makes_the_reply_begin_inside(tokenizer: Tokenizer) -> None:
    markers = ThinkMarkers.of(tokenizer)
    assert markers.is_open_after(tokenizer.encode("<|im_start|>assistant\n<think>\n").ids)
    assert not markers.is_open_after(tokenizer.encode("<think>\n\n</think>\n\n").ids)
    assert not markers.is_open_after(tokenizer.encode("hello").ids)
    deltas = reply(tokenizer, tokenizer.encode("Hm.</think>Yes.").ids, is_thinking=True)
    assert (text(deltas, ReasoningDelta), text(deltas)) == ("Hm.", "Yes.")


def test_reasoning_that_never_ends_leaves_the_answer_empty(tokenizer: Tokenizer) -> None:
    deltas = reply(tokenizer, tokenizer.encode("<think>Hm").ids)
    assert (text(deltas, ReasoningDelta), text(deltas)) == ("Hm", "")


def test_control_tokens_show_no_text(tokenizer: Tokenizer) -> None:
    assert text(reply(tokenizer, tokenizer.encode("a<|im_start|>b").ids)) == "ab"


def test_a_model_without_markers_has_no_reasoning(tokenizer: Tokenizer) -> None:
    markers = ThinkMarkers(None, None)
    detokenizer = Detokenizer(tokenizer, markers, is_thinking=markers.is_open_after([1, 2]))
    assert not markers and not detokenizer.is_thinking


@pytest.mark.parametrize("stops", [("STOP",), ("STOP", "ST"), ("P\n", "OP")])
def test_a_stop_string_over_several_tokens_cuts_before_its_first_place(
    tokenizer: Tokenizer, stops: tuple[str, ...]
) -> None:
    full = "one STO two STOP\n three"
    cut = min(full.find(stop) for stop in stops if stop in full)
    assert text(reply(tokenizer, tokenizer.encode(full).ids, stops=stops)) == full[:cut]


def test_what_only_looked_like_a_stop_string_is_shown(tokenizer: Tokenizer) -> None:
    assert text(reply(tokenizer, tokenizer.encode("a STO").ids, stops=("STOP",))) == "a STO"
    assert text(reply(tokenizer, tokenizer.encode("aaaab").ids, stops=("aab",))) == "aa"


def test_stop_strings_do_not_end_reasoning(tokenizer: Tokenizer) -> None:
    deltas = reply(tokenizer, tokenizer.encode("<think>END</think>a END b").ids, stops=("END",))
    assert (text(deltas, ReasoningDelta), text(deltas)) == ("END", "a ")


def test_however_a_text_is_cut_the_filter_shows_the_same() -> None:
    chance = random.Random(3)
    for _ in range(500):
        full = "".join(chance.choice("ab\n") for _ in range(30))
        stops = tuple("".join(chance.choice("ab\n") for _ in range(chance.randint(1, 4))) for _ in range(2))
        ends = [at for at in map(full.find, stops) if at >= 0]
        expected = full[: min(ends)] if ends else full
        one_by_one = StopFilter(stops)
        shown = "".join(one_by_one.feed(letter) for letter in full) + one_by_one.flush()
        assert shown == _first_ended(full, stops) and expected.startswith(shown[: len(expected)])


def _first_ended(full: str, stops: tuple[str, ...]) -> str:
    """Letter by letter the stop string that is whole first wins; of two that end together the one that began first."""
    for end in range(1, len(full) + 1):
        found = [full[:end].find(stop) for stop in stops if stop in full[:end]]
        if found:
            return full[: min(found)]
    return full
