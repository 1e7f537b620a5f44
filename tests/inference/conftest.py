"""A tiny random Qwen3 with a tokenizer of bytes, and the real default model where it has been fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inference.errors import ModelError
from tests.conftest import MODEL_DATA

if TYPE_CHECKING:
    from inference.engine import LocalEngine

CONTEXT = 512
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
TEMPLATE = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' and '</think>' in message.content %}
        {{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined %}
        {{- '<think>\\n' if enable_thinking else '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def write_tokenizer(into: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    for name in CONTROL + ADDED:
        tokenizer.add_tokens([AddedToken(name, special=name in CONTROL, normalized=False)])
    tokenizer.save(str(into / "tokenizer.json"))
    (into / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "chat_template": TEMPLATE})
    )


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3 with two layers and random weights; do not change it, copy it."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    model_dir = tmp_path_factory.mktemp("models") / "tiny"
    config = Qwen3Config(
        vocab_size=272,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=258,
    )
    Qwen3ForCausalLM(config).bfloat16().save_pretrained(model_dir)
    write_tokenizer(model_dir)
    return model_dir


@pytest.fixture(scope="session")
def hybrid() -> Any:
    """A tiny Qwen3.5 of transformers with random weights."""
    from tests.inference.tiny_models import make_hybrid

    return make_hybrid()


@pytest.fixture(scope="session")
def hybrid_dir(hybrid: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Qwen3.5 as a model directory; do not change it, copy it."""
    from tests.inference.tiny_models import save

    return save(hybrid, tmp_path_factory.mktemp("hybrid"))


@pytest.fixture
def model_copy(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A tiny model to be damaged."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


@pytest.fixture(scope="module")
def tiny(tiny_model_dir: Path) -> Iterator[LocalEngine]:
    from inference.engine import LocalEngine

    engine = LocalEngine.open(tiny_model_dir)
    yield engine
    engine.shutdown()


@pytest.fixture(scope="session")
def real_model_dir() -> Path:
    """The fetched default model; the test is skipped, with the reason, where there is none."""
    from inference import catalog

    places = [MODEL_DATA, Path("var"), Path("build/model-cache")]
    for place in places:
        try:
            found = catalog.resolve("qwen2.5-coder-0.5b", place)
        except ModelError as error:
            pytest.fail(f"{place}: {error}")
        if found:
            return found
    pytest.skip("qwen2.5-coder-0.5b is not here: get it with `python manage.py models fetch qwen2.5-coder-0.5b`")


@pytest.fixture(scope="session")
def real_engine(real_model_dir: Path) -> Iterator[LocalEngine]:
    """The default model; opened once, as that takes longer than most of what is asked of it."""
    from inference.engine import LocalEngine

    engine = LocalEngine.open(real_model_dir)
    yield engine
    engine.shutdown()
