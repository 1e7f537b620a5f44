"""The forward pass of hybrids: what transformers computes, for replies of any length in any company."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from inference.attention import Span
from inference.memory import Wishes
from inference.model_runner import ModelRunner
from tests.inference.tiny_models import (
    Reply,
    assert_close,
    logits_by_transformers,
    make_hybrid,
    prefill,
    some_ids,
    step,
)


@pytest.fixture(scope="module")
def runner(hybrid_dir: Path) -> ModelRunner:
    return ModelRunner(hybrid_dir, "cpu", Wishes(format="fp32", num_slots=8))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 63, 64, 65, 128, 200, 256, 257, 300])
def test_a_prompt_of_any_length_gives_the_logits_of_transformers(runner: ModelRunner, hybrid: Any, length: int) -> None:
    ids = some_ids(length + 3, seed=length)
    theirs = logits_by_transformers(hybrid, ids)
    reply = Reply(runner, ids)
    assert_close(prefill(runner, reply, length)[0], theirs[length - 1])
    for place in range(length, length + 3):
        assert_close(step(runner, [(reply, 1)])[0], theirs[place])
    reply.release()


@pytest.mark.parametrize("pieces", [(1,) * 20, (1, 2, 3, 5, 1, 60, 1, 64, 64), (100, 1, 1, 90, 2), (255, 1, 1)])
def test_a_prompt_in_pieces_of_any_size_gives_the_logits_of_transformers(
    runner: ModelRunner, hybrid: Any, pieces: tuple[int, ...]
) -> None:
    ids = some_ids(sum(pieces))
    theirs = logits_by_transformers(hybrid, ids)
    reply = Reply(runner, ids)
    for num_tokens in pieces:
        assert_close(step(runner, [(reply, num_tokens)])[0], theirs[reply.num_computed - 1])
    reply.release()


def test_replies_that_join_and_leave_a_batch_each_get_their_own_logits(runner: ModelRunner, hybrid: Any) -> None:
    lengths = [300, 70, 12, 130]
    rows = [some_ids(length, seed=length) for length in lengths]
    theirs = [logits_by_transformers(hybrid, ids) for ids in rows]
    one, two, three, four = (Reply(runner, ids) for ids in rows)
    schedule: list[list[tuple[Reply, int]]] = [
        [(one, 200)],
        [(two, 64), (one, 56)],
        [(two, 1), (three, 10), (one, 40)],
        [(three, 1), (one, 1), (two, 1), (four, 65)],
        [(one, 1), (four, 63), (three, 1)],
        [(one, 1), (four, 1)],
        [(four, 1)],
    ]
    replies = [one, two, three, four]
    for work in schedule:
        for (reply, _), logits in zip(work, step(runner, work), strict=True):
            assert_close(logits, theirs[replies.index(reply)][reply.num_computed - 1])
    for reply in replies:
        reply.release()


@pytest.mark.parametrize("format_", ["fp32", "row8"])
def test_a_row_is_the_same_to_the_bit_whoever_shares_the_batch(hybrid_dir: Path, format_: Any) -> None:
    if format_ == "row8" and "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this processor has no int8 kernels")
    runner = ModelRunner(hybrid_dir, "cpu", Wishes(format=format_, num_slots=8))
    ids, others = some_ids(200), [some_ids(90, seed=seed) for seed in range(5)]
    alone = Reply(runner, ids)
    expected = [step(runner, [(alone, num)])[0] for num in (128, 64, 1, 1, 1)]
    beside, company = Reply(runner, ids), [Reply(runner, other) for other in others]
    for place, num in enumerate((128, 64, 1, 1, 1)):
        work = [(other, 1 if place > 2 else 17) for other in company]
        logits = step(runner, [*work[:2], (beside, num), *work[2:]])[2]
        if format_ == "row8":
            assert torch.equal(logits, expected[place])
        else:
            assert_close(logits, expected[place])


def test_a_row_of_no_numbers_taints_nobody(runner: ModelRunner) -> None:
    ids, other = some_ids(90), some_ids(80, seed=1)
    alone = Reply(runner, ids)
    expected = [step(runner, [(alone, num)])[0] for num in (80, 1, 1)]
    alone.release()
    sick, well = Reply(runner, other), Reply(runner, ids)
    assert runner.states
    place = runner.states.take()
    assert place is not None
    runner.states.recurrent[:, place] = torch.nan
    runner.states.inputs[:, place] = torch.nan
    sick.state = place
    found = [step(runner, [(sick, num), (well, num_well)]) for num, num_well in ((70, 80), (1, 1), (1, 1))]
    assert all(logits[0].isnan().all() for logits in found)
    for logits, theirs in zip(found, expected, strict=True):
        assert_close(logits[1], theirs)
    runner.memory.release(sick.extent, is_tainted=True)
    runner.states.drop(sick.state)
    again = [Reply(runner, ids) for _ in range(3)]
    for reply in again:
        assert_close(prefill(runner, reply, 80)[0], expected[0])
    for reply in (well, *again):
        reply.release()


def test_a_text_is_scored_as_transformers_scores_it(runner: ModelRunner, hybrid: Any) -> None:
    ids = some_ids(600)
    for _ in range(5):
        assert_close(runner.score(ids), logits_by_transformers(hybrid, ids))


def test_an_adapter_of_attention_and_feed_forward_parts_is_served(hybrid_dir: Path, tmp_path: Path) -> None:
    attention, feed = "model.layers.3.self_attn", "model.layers.0.mlp"
    modules = [*(f"{attention}.{part}_proj" for part in "qkvo"), f"{feed}.gate_proj", f"{feed}.down_proj"]
    changed = make_hybrid()
    tensors: dict[str, torch.Tensor] = {}
    for module in modules:
        weight = changed.get_submodule(module).weight
        down, up = torch.randn(2, weight.shape[1]) * 0.3, torch.randn(weight.shape[0], 2) * 0.3
        weight.data += up @ down
        tensors |= {
            f"base_model.model.{module}.lora_{part}.weight": part_of for part, part_of in (("A", down), ("B", up))
        }
    (tmp_path / "team").mkdir()
    save_file(tensors, tmp_path / "team" / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": modules, "bias": "none"}
    (tmp_path / "team" / "adapter_config.json").write_text(json.dumps(about))
    adapted = ModelRunner(hybrid_dir, "cpu", Wishes(format="fp32", num_slots=2, adapters=tmp_path))
    assert (adapted.adapters, adapted.refused) == (("team",), ())
    ids = some_ids(80)
    extent = adapted.memory.allocate(1)
    assert extent
    logits = adapted.forward([ids], [Span(extent.offset, 0, 80, "team")], [True])
    assert_close(logits[0], logits_by_transformers(changed, ids)[-1])
