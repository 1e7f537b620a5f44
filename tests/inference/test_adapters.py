"""Adapters against their formula: transformers runs the base model with each adapter's product added to its weights."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference import open_engine
from inference.attention import Span
from inference.contract import ChatMessage, Event, SamplingParams, Started
from inference.engine import LocalEngine
from inference.errors import ModelError
from inference.memory import Wishes
from inference.prompt import Prompter
from inference.runner import Runner, open_runner
from tests.inference.asking import answer, ask, end, reasoning

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_end=True)
SHAPES = {
    "self_attn.q_proj": (32, 16),
    "self_attn.k_proj": (16, 16),
    "self_attn.v_proj": (16, 16),
    "self_attn.o_proj": (16, 32),
    "mlp.gate_proj": (32, 16),
    "mlp.up_proj": (32, 16),
    "mlp.down_proj": (16, 32),
}
ALL = [name.split(".")[1] for name in SHAPES]


def write_adapter(into: Path, seed: int, modules: list[str] = ALL, rank: int = 4, **config: object) -> Path:
    """Random low-rank weights for both layers of the tiny model, as PEFT saves them."""
    into.mkdir(parents=True)
    chance = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (num_out, num_in) in SHAPES.items():
        if name.split(".")[1] in modules:
            for layer in range(2):
                module = f"base_model.model.model.layers.{layer}.{name}"
                tensors[f"{module}.lora_A.weight"] = torch.randn(rank, num_in, generator=chance)
                tensors[f"{module}.lora_B.weight"] = torch.randn(num_out, rank, generator=chance) * 0.2
    save_file(tensors, into / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": modules, "bias": "none", **config}
    (into / "adapter_config.json").write_text(json.dumps(about))
    return into


def merged(model_dir: Path, adapter_dir: Path | None, scale: float = 2.0) -> Any:
    """The model of transformers in fp32, W + scale · B A in the place of W."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    tensors = load_file(adapter_dir / "adapter_model.safetensors") if adapter_dir else {}
    for name in tensors:
        if name.endswith(".lora_A.weight"):
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            product = tensors[name.replace("lora_A", "lora_B")] @ tensors[name]
            model.get_submodule(module).weight.data += scale * product
    return model


def greedy_text(model_dir: Path, adapter_dir: Path | None, text: str) -> str:
    from tokenizers import Tokenizer

    from inference.detokenizer import Detokenizer, ThinkMarkers

    ids = Prompter(model_dir).build([ChatMessage("user", text)]).ids
    output = merged(model_dir, adapter_dir).generate(
        torch.tensor([ids]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    detokenizer = Detokenizer(tokenizer, ThinkMarkers.of(tokenizer), is_thinking=False)
    deltas = [delta for token in output[0, len(ids) :].tolist() for delta in detokenizer.feed(token)]
    return "".join(delta.text for delta in deltas + detokenizer.close())


def said(events: list[Event]) -> str:
    return reasoning(events) + answer(events)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("adapters")
    write_adapter(directory / "support", 1)
    write_adapter(directory / "legal-2.1", 2)
    (directory / "notes.txt").write_text("not an adapter")
    (directory / ".git").mkdir()
    return directory


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path, adapters: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine.open(tiny_model_dir, wishes=Wishes(format="fp32", adapters=adapters))
    yield engine
    engine.shutdown()


def runner_with(model_dir: Path, adapters_dir: Path, **wishes: Any) -> Runner:
    return open_runner(model_dir, "cpu", Wishes(adapters=adapters_dir, **wishes))


def logits_of(runner: Runner, models: list[str], ids: list[int]) -> torch.Tensor:
    """The same tokens once for each model, all in one step; the logits [models, vocabulary] after them."""
    extents = [runner.memory.allocate(1) for _ in models]
    spans = [Span(extent.offset, 0, len(ids), model) for extent, model in zip(extents, models, strict=True) if extent]
    logits = runner.forward([ids] * len(models), spans, [True] * len(models))
    for extent in filter(None, extents):
        runner.memory.release(extent)
    return logits


def test_the_adapters_are_models_of_the_engine(engine: LocalEngine) -> None:
    assert engine.info.adapters == ("legal-2.1", "support")
    assert end(list(engine.submit(ask(model="marketing")))).failure


def test_an_adapter_answers_as_the_merged_model_does(engine: LocalEngine, tiny_model_dir: Path, adapters: Path) -> None:
    expected = greedy_text(tiny_model_dir, adapters / "support", "hello")
    assert expected != greedy_text(tiny_model_dir, None, "hello")
    assert said(list(engine.submit(ask(sampling=GREEDY, model="support")))) == expected


def test_the_base_and_two_adapters_answer_in_one_batch_as_each_does_alone(
    engine: LocalEngine, tiny_model_dir: Path, adapters: Path
) -> None:
    asked = [("", f"hello {i}") for i in range(2)] + [
        ("support", "hello 1"),
        ("legal-2.1", "hello 1"),
        ("support", "x"),
    ]
    runs = [engine.submit(ask(text, sampling=GREEDY, model=model)) for model, text in asked]
    for run, (model, text) in zip(runs, asked, strict=True):
        assert said(list(run)) == greedy_text(tiny_model_dir, adapters / model if model else None, text)


def test_a_prompt_that_one_model_computed_is_not_reused_by_another(engine: LocalEngine) -> None:
    def num_cached(model: str) -> int:
        started = next(iter(engine.submit(ask("a prompt of some length", sampling=GREEDY, model=model))))
        assert isinstance(started, Started)
        return started.cached_tokens

    assert [num_cached(model) for model in ("", "support", "legal-2.1")] == [0, 0, 0]
    assert min(num_cached(model) for model in ("", "support", "legal-2.1")) > 20


CASES: list[tuple[dict[str, Any], float]] = [
    ({"target_modules": "all-linear"}, 2.0),
    ({"target_modules": r".*\.(self_attn|mlp)\.\w+_proj"}, 2.0),
    ({"use_rslora": True}, 8 / math.sqrt(4)),
    ({"modules": ["q_proj", "v_proj"]}, 2.0),
    ({"modules": ["k_proj", "up_proj"], "lora_alpha": 3, "rank": 7}, 3 / 7),
    ({"modules": ["down_proj", "o_proj"], "r": 9, "rank_pattern": {"down_proj": 4, "layers.*.o_proj": 4}}, 2.0),
    ({"modules": ["gate_proj"], "alpha_pattern": {"mlp.gate_proj": 12}}, 3.0),
]


@pytest.mark.parametrize(("written", "scale"), CASES)
def test_what_is_adapted_and_how_much_is_as_the_configuration_says(
    tiny_model_dir: Path, tmp_path: Path, written: dict[str, Any], scale: float
) -> None:
    adapter = write_adapter(tmp_path / "all" / "one", 5, **written)
    runner = runner_with(tiny_model_dir, tmp_path / "all", format="fp32")
    assert not runner.refused
    ids = [5, 70, 33, 9, 120, 41]
    base, adapted = logits_of(runner, ["", "one"], ids)
    for found, model in ((base, merged(tiny_model_dir, None)), (adapted, merged(tiny_model_dir, adapter, scale))):
        expected = model(torch.tensor([ids])).logits[0, -1]
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert (base - adapted).abs().max() > 0.1


def test_in_row8_a_row_does_not_depend_on_the_adapters_of_the_others(tiny_model_dir: Path, adapters: Path) -> None:
    runner = runner_with(tiny_model_dir, adapters, format="row8")
    for ids in ([5], [5, 70, 33], list(range(100))):
        alone = {model: logits_of(runner, [model], ids)[0] for model in ("", "support", "legal-2.1")}
        for models in (["", "support"], ["support", "", "legal-2.1", "support"], ["support"] * 5 + ["legal-2.1"] * 6):
            for row, model in zip(logits_of(runner, models, ids), models, strict=True):
                assert torch.equal(row, alone[model])


def test_adapters_take_their_part_of_the_memory(tiny_model_dir: Path) -> None:
    from inference.architecture import Architecture
    from inference.memory import make_plan

    about, cpu = Architecture.of(tiny_model_dir), torch.device("cpu")
    make_plan(about, tiny_model_dir, cpu, 512, num_adapter_weights=1000)
    with pytest.raises(ModelError, match=r"needs about 40\d\d\.\d GB"):
        make_plan(about, tiny_model_dir, cpu, 512, num_adapter_weights=10**12)


def configure(adapter: Path, **changes: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change(adapter: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(adapter / "adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")


Q = "base_model.model.model.layers.1.self_attn.q_proj"

DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda d: (d / "adapter_config.json").unlink(), "adapter_config.json is missing"),
    (lambda d: (d / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
    (lambda d: (d / "adapter_config.json").write_text("{"), "adapter_config.json can't be read"),
    (lambda d: (d / "adapter_model.safetensors").write_bytes(b"PK" * 50), "adapter_model.safetensors is"),
    (lambda d: (d / "adapter_model.bin").write_bytes(pickle.dumps({})), "adapter_model.bin may hold pickled code"),
    (lambda d: (d / "modeling.py").write_text("raise SystemExit"), "modeling.py is code"),
    (lambda d: configure(d, auto_map={"a": "b"}), "adapter_config.json asks for code"),
    (lambda d: configure(d, peft_type="LOHA"), "adapter_config.json says peft_type 'LOHA'"),
    (lambda d: configure(d, use_dora=True), "adapter_config.json sets use_dora"),
    (lambda d: configure(d, bias="all"), "adapter_config.json sets bias"),
    (lambda d: configure(d, modules_to_save=["lm_head"]), "adapter_config.json sets modules_to_save"),
    (lambda d: configure(d, init_lora_weights="pissa_niter_4"), "init_lora_weights 'pissa_niter_4'"),
    (lambda d: configure(d, r=8), "adapter_config.json says rank 8"),
    (lambda d: configure(d, lora_alpha=None), "adapter_config.json does not say"),
    (lambda d: configure(d, lora_alpha="much"), "adapter_config.json does not say"),
    (lambda d: configure(d, target_modules=None), "adapter_config.json does not say"),
    (lambda d: configure(d, target_modules="("), "adapter_config.json does not say"),
    (lambda d: configure(d, target_modules=["v_proj"]), "which adapter_config.json does not name"),
    (lambda d: configure(d, rank_pattern=[1]), "adapter_config.json does not say"),
    (lambda d: change(d, dict.clear), "holds nothing"),
    (lambda d: change(d, lambda t: t.pop(f"{Q}.lora_B.weight")), "does not fit the base model at model.layers.1"),
    (lambda d: change(d, lambda t: t.update({f"{Q}.lora_A.weight": torch.zeros(4, 15)})), "does not fit"),
    (lambda d: change(d, lambda t: t.update({f"{Q}.lora_A.weight": torch.zeros(0, 16)})), "does not fit"),
    (lambda d: change(d, lambda t: t.update({Q.replace("1", "7") + ".lora_A.weight": torch.zeros(4, 16)})), "layers.7"),
    (lambda d: change(d, lambda t: t.update({f"{Q}.bias": torch.zeros(32)})), "can't be adapted here"),
    (lambda d: change(d, lambda t: t.update({f"{Q}.lora_A.weight": torch.full((4, 16), math.nan)})), "not a number"),
    (lambda d: change(d, lambda t: t.update({f"{Q}.lora_A.weight": torch.zeros(4, 16).long()})), "must be F32"),
    (lambda d: d.rename(d.with_name("a b")), "its name may have letters"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_a_broken_adapter_is_left_out_with_a_sentence_and_the_others_are_served(
    tiny_model_dir: Path, tmp_path: Path, damage: Callable[[Path], Any], why: str
) -> None:
    write_adapter(tmp_path / "all" / "sound", 1)
    damage(write_adapter(tmp_path / "all" / "broken", 2))
    runner = runner_with(tiny_model_dir, tmp_path / "all")
    assert runner.adapters == ("sound",)
    [sentence] = runner.refused
    assert why in sentence
    assert sentence.startswith("The adapter '") and sentence.endswith(".") and str(tmp_path) not in sentence


def test_the_operator_names_the_directory_and_reads_what_was_left_out(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_adapter(tmp_path / "all" / "sound", 1)
    (tmp_path / "all" / "empty").mkdir()
    monkeypatch.setenv("QWENWEB_ADAPTERS", str(tmp_path / "all"))
    engine = open_engine(tiny_model_dir)
    engine.shutdown()
    assert engine.info.adapters == ("sound",)
    assert "The adapter 'empty' is left out: adapter_config.json is missing" in engine.info.plan
    monkeypatch.setenv("QWENWEB_ADAPTERS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="QWENWEB_ADAPTERS"):
        open_engine(tiny_model_dir)
