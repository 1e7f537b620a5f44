"""Models that the own forward pass does not know answer as transformers' own generate does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from inference import open_engine
from inference.attention import Span
from inference.contract import ChatMessage, SamplingParams, Started
from inference.detokenizer import Detokenizer, ThinkMarkers
from inference.engine import LocalEngine
from inference.errors import ModelError
from inference.kv_cache import CHUNK
from inference.memory import Wishes
from inference.prompt import Prompter
from inference.transformers_runner import TransformersRunner
from inference.weights import check
from tests.inference.asking import answer, ask, end, reasoning
from tests.inference.conftest import write_tokenizer

CONTEXT = 1024
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_end=True)
FP32 = Wishes(format="fp32")
LONG = "words of a long prompt " * 12
SIZES: dict[str, Any] = {
    "vocab_size": 272,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": 258,
    "pad_token_id": 0,
}


def gpt_neox() -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES))


def phi() -> Any:
    from transformers import PhiConfig, PhiForCausalLM

    return PhiForCausalLM(PhiConfig(**SIZES))


def gemma() -> Any:
    """Sliding windows in two layers of three: shorter than the prompts, so its cache can't be cut."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    return Gemma3ForCausalLM(
        Gemma3TextConfig(**SIZES, num_key_value_heads=1, head_dim=16, sliding_window=32, layer_types=kinds)
    )


def granite_hybrid() -> Any:
    """A recurrent state in two layers of three."""
    from transformers import GraniteMoeHybridConfig, GraniteMoeHybridForCausalLM

    return GraniteMoeHybridForCausalLM(
        GraniteMoeHybridConfig(
            **SIZES,
            num_key_value_heads=1,
            shared_intermediate_size=48,
            num_local_experts=0,
            layer_types=["mamba", "attention", "mamba"],
            mamba_n_heads=4,
            mamba_d_head=16,
            mamba_d_state=8,
        )
    )


MODELS = {"gpt_neox": gpt_neox, "phi": phi, "gemma3_text": gemma, "granitemoehybrid": granite_hybrid}


@pytest.fixture(scope="module")
def model_dirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    place = tmp_path_factory.mktemp("foreign")

    def directory(kind: str) -> Path:
        if not (place / kind).exists():
            torch.manual_seed(3)
            MODELS[kind]().save_pretrained(place / kind)
            write_tokenizer(place / kind)
        return place / kind

    return directory


@pytest.fixture(scope="module", params=MODELS)
def model_dir(request: pytest.FixtureRequest, model_dirs: Callable[[str], Path]) -> Path:
    return model_dirs(request.param)


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine.open(model_dir, wishes=FP32)
    yield engine
    engine.shutdown()


def generated(model_dir: Path, text: str) -> str:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    ids = Prompter(model_dir).build([ChatMessage("user", text)]).ids
    output = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    detokenizer = Detokenizer(tokenizer, ThinkMarkers.of(tokenizer), is_thinking=False)
    deltas = [delta for token in output[0, len(ids) :].tolist() for delta in detokenizer.feed(token)]
    return "".join(delta.text for delta in deltas + detokenizer.close())


def said(engine: LocalEngine, text: str) -> str:
    events = list(engine.submit(ask(text, sampling=GREEDY)))
    return reasoning(events) + answer(events)


def test_greedy_text_equals_that_of_generate(engine: LocalEngine, model_dir: Path) -> None:
    assert len(LONG) > CHUNK
    for text in ("hello", LONG):
        assert said(engine, text) == generated(model_dir, text)


def test_several_at_once_answer_as_each_does_alone(engine: LocalEngine, model_dir: Path) -> None:
    texts = ["hello", "other", LONG, "x", "hello", f"{LONG} and more", "y"]
    runs = [engine.submit(ask(text, sampling=GREEDY)) for text in texts]
    for run, text in zip(runs, texts, strict=True):
        events = list(run)
        assert reasoning(events) + answer(events) == generated(model_dir, text)


def test_a_cancel_frees_the_place(engine: LocalEngine, model_dir: Path) -> None:
    most = SamplingParams(temperature=0, max_tokens=900, ignore_end=True)
    runs = [engine.submit(ask(f"hello {i}", sampling=most)) for i in range(engine.info.num_slots)]
    for run in runs:
        next(events := iter(run))
        run.cancel()
        assert end(list(events)).reason == "cancelled"
    assert said(engine, "hello") == generated(model_dir, "hello")


def test_what_is_computed_is_reused_only_where_the_cache_can_be_cut(engine: LocalEngine, model_dir: Path) -> None:
    first, second = f"{LONG} one", f"{LONG} two"
    said(engine, first)
    run = engine.submit(ask(second, sampling=GREEDY))
    events = list(run)
    assert isinstance(events[0], Started)
    assert (events[0].cached_tokens > len(LONG)) == (model_dir.name in ("gpt_neox", "phi"))
    assert reasoning(events) + answer(events) == generated(model_dir, second)


def test_a_step_that_another_reply_broke_can_be_tried_again(model_dir: Path) -> None:
    runner = TransformersRunner(model_dir, "cpu", FP32)
    ids, extents = [[5, 70, 33, 9], [8, 8]], [runner.memory.allocate(1) for _ in range(2)]
    spans = [Span(extent.offset, 0, len(own)) for extent, own in zip(extents, ids, strict=True) if extent]
    expected = runner.forward(ids, spans, [True, True])
    next_spans = [Span(span.offset, span.end, 1) for span in spans]
    with pytest.raises(IndexError):
        runner.forward([[7], [9999]], next_spans, [True, True])
    again = runner.forward([[7]], next_spans[:1], [True])
    whole = runner.memory.allocate(1)
    assert whole
    alone = runner.forward([[*ids[0], 7]], [Span(whole.offset, 0, 5)], [True])
    torch.testing.assert_close(again, alone, atol=1e-3, rtol=1e-3)
    assert expected.shape == (2, runner.vocab_size)


def test_the_plan_says_the_format_and_takes_wishes(model_dirs: Callable[[str], Path]) -> None:
    directory = model_dirs("phi")
    runner = TransformersRunner(directory, "cpu", Wishes(num_slots=2, context_length=512, adapters=directory))
    assert (runner.plan.num_slots, runner.plan.context_length, runner.adapters) == (2, 512, ())
    assert runner.plan.format in ("bf16", "fp32")
    assert runner.refused
    with pytest.raises(ModelError, match="can be bf16 or fp32"):
        TransformersRunner(directory, "cpu", Wishes(format="row8"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_type": "no-such-model"}, "config.json says model_type 'no-such-model', which is not supported."),
        ({"model_type": "vit"}, "config.json says model_type 'vit', which does not write text."),
        ({"model_type": ["phi"]}, "config.json says model_type ['phi'], which is no model."),
        ({"num_hidden_layers": 4}, "do not fit their config.json"),
        ({"hidden_size": 64}, "do not fit their config.json"),
        ({"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "asks for code of its own"),
    ],
)
def test_what_transformers_can_not_run_is_refused_in_plain_words(
    model_dirs: Callable[[str], Path], tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    directory = Path(shutil.copytree(model_dirs("phi"), tmp_path / "model"))
    edit(directory / "config.json", **changes)
    with pytest.raises(ModelError) as refused:
        open_engine(directory)
    assert why in str(refused.value) and str(refused.value).endswith(".") and str(tmp_path) not in str(refused.value)


def test_a_foreign_directory_is_taken_without_loading_it(model_dirs: Callable[[str], Path]) -> None:
    check(model_dirs("gpt_neox"))
