from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inference.catalog import fetch, resolve
from inference.contract import ChatMessage, SamplingParams
from inference.conversion import convert
from inference.engine import LocalEngine
from inference.errors import ModelError
from inference.prompt import Prompter
from tests.inference.asking import answer, ask, reasoning
from tests.inference.tiny_gguf import write_gguf


def silent(stage: str, done: int, total: int | None) -> None:
    pass


def never(stage: str, done: int, total: int | None) -> None:
    raise AssertionError(stage)


@pytest.fixture(scope="module")
def gguf(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model_dir, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_a_gguf_file_is_converted_once_and_answers_as_the_model_it_was_made_of(
    gguf: Path, tiny: LocalEngine, tiny_model_dir: Path, tmp_path: Path
) -> None:
    assert resolve(str(gguf), tmp_path) is None
    steps: list[tuple[str, int, int | None]] = []
    made = fetch(str(gguf), tmp_path, lambda *step: steps.append(step))
    assert {stage for stage, _, _ in steps} == {"convert", "verify"} and steps[-1][1] == steps[-1][2]
    assert fetch(str(gguf), tmp_path, never) == made == resolve(str(gguf), tmp_path)
    converted, original = load_file(made / "model.safetensors"), load_file(tiny_model_dir / "model.safetensors")
    assert converted.keys() == original.keys()
    assert all(torch.equal(converted[name], original[name]) for name in original)
    turns = [ChatMessage("user", "Grüße 你好 🙂 <|im_end|>")]
    assert Prompter(made).build(turns).ids == Prompter(tiny_model_dir).build(turns).ids
    greedy = ask(sampling=SamplingParams(temperature=0, max_tokens=30))
    engine = LocalEngine.open(made)
    replies = [list(either.submit(greedy)) for either in (engine, tiny)]
    engine.shutdown()
    assert answer(replies[0]) + reasoning(replies[0]) == answer(replies[1]) + reasoning(replies[1])


def test_a_changed_gguf_file_is_another_model(gguf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny.gguf"
    copy.write_bytes(gguf.read_bytes())
    first = fetch(str(copy), tmp_path, silent)
    os.utime(copy, (1, 1))
    assert resolve(str(copy), tmp_path) is None and first.exists()


def test_rounding_to_bf16_is_that_of_torch() -> None:
    from inference.conversion import _bf16

    values = torch.randn(100_000) * torch.logspace(-30, 30, 100_000)
    expected = values.bfloat16().view(torch.int16).numpy().tobytes()
    assert _bf16(values.numpy()) == expected


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_gguf_file_is_refused_by_name(gguf: Path, tmp_path: Path, share: float) -> None:
    damaged = tmp_path / "short.gguf"
    damaged.write_bytes(gguf.read_bytes()[: int(gguf.stat().st_size * share)])
    with pytest.raises(ModelError, match=r"short\.gguf"):
        fetch(str(damaged), tmp_path, silent)
    assert not list((tmp_path / "models").glob("short*"))


def test_no_flipped_header_byte_brings_more_than_a_refusal(gguf: Path, tmp_path: Path) -> None:
    whole = gguf.read_bytes()
    for at in [*range(64), *range(64, 4000, 97)]:
        damaged = tmp_path / "flipped.gguf"
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        into = tmp_path / f"{at}"
        into.mkdir()
        # Some bytes may change without harm, such as those of a name.
        with suppress(ModelError):
            convert(damaged, into, silent)


def test_what_is_no_gguf_file_or_no_known_model_is_refused(gguf: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.gguf"
    foreign.write_bytes(b"PK\x03\x04" + bytes(1000))
    llama = write_gguf(tiny_model_dir, tmp_path / "llama.gguf", architecture="llama")
    part = write_gguf(tiny_model_dir, tmp_path / "part.gguf", split__count=2)
    for path, reason in (
        (foreign, "not a GGUF"),
        (llama, "llama"),
        (part, "one part"),
        (tmp_path / "no.gguf", "no file"),
    ):
        with pytest.raises(ModelError, match=reason):
            fetch(str(path), tmp_path, silent)


@pytest.mark.model
def test_the_real_model_is_tied_and_whole(real_model_dir: Path) -> None:
    config = json.loads((real_model_dir / "config.json").read_text())
    assert config["tie_word_embeddings"] and config["max_position_embeddings"] == 32768
    assert json.loads((real_model_dir / "generation_config.json").read_text())["eos_token_id"] == [151645, 151643]
