from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from inference import open_engine
from inference.errors import ModelError
from inference.weights import check, manifest, seal, verify


def silent(stage: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture
def sealed(model_copy: Path) -> Path:
    seal(model_copy, {"name": "tiny"}, silent)
    return model_copy


def test_a_whole_directory_is_taken_with_and_without_a_manifest(model_copy: Path) -> None:
    check(model_copy)
    seal(model_copy, {"name": "tiny", "licence": "MIT"}, silent)
    verify(model_copy, silent)
    assert manifest(model_copy)["licence"] == "MIT"


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(bytes(content))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda d: cut(d / "model.safetensors", 0.9), "model.safetensors"),
        (lambda d: cut(d / "model.safetensors", 0.0), "model.safetensors"),
        (lambda d: flip(d / "model.safetensors", 3), "model.safetensors"),
        (lambda d: flip(d / "model.safetensors", 40), "model.safetensors"),
        (lambda d: (d / "model.safetensors").write_bytes(b"PK\x03\x04" * 99), "model.safetensors"),
        (lambda d: (d / "model.safetensors").unlink(), "model.safetensors"),
        (lambda d: (d / "config.json").unlink(), "config.json"),
        (lambda d: cut(d / "config.json", 0.5), "config.json"),
        (lambda d: (d / "config.json").write_text("[]"), "config.json"),
        (lambda d: (d / "config.json").write_text("[" * 100_000), "config.json"),
        (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda d: edit(d / "config.json", num_hidden_layers=3), "model.safetensors"),
        (lambda d: edit(d / "config.json", tie_word_embeddings=False), "model.safetensors"),
        (lambda d: edit(d / "config.json", model_type="no-such-model"), "config.json"),
        (lambda d: edit(d / "config.json", auto_map={"AutoModel": "code.Model"}), "config.json"),
        (lambda d: edit(d / "config.json", inner={"deep": [{"auto_map": {}}]}), "config.json"),
        (lambda d: edit(d / "tokenizer_config.json", auto_map={}), "tokenizer_config.json"),
        (lambda d: edit(d / "config.json", trust_remote_code=True), "config.json"),
        (lambda d: (d / "modeling_tiny.py").write_text("raise SystemExit"), "modeling_tiny.py"),
        (lambda d: (d / "pytorch_model.bin").write_bytes(pickle.dumps({})), "pytorch_model.bin"),
        (lambda d: (d / "extra.pt").write_bytes(b""), "extra.pt"),
        (lambda d: (d / "last.CKPT").write_bytes(b""), "last.CKPT"),
        (
            lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"x": "m-00002.safetensors"}}'),
            "m-00002.safetensors",
        ),
        (
            lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../passwd"}}'),
            "model.safetensors.index.json",
        ),
        (lambda d: (d / "model.safetensors.index.json").write_text('{"weight_map": [1]}'), "index.json"),
    ],
)
def test_what_is_damaged_foreign_or_unsafe_is_refused_by_name_before_loading(
    model_copy: Path, damage: Damage, named: str
) -> None:
    damage(model_copy)
    with pytest.raises(ModelError) as refused:
        open_engine(model_copy)
    assert named in str(refused.value) and str(refused.value).endswith(".") and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda d: cut(d / "tokenizer.json", 0.9), "tokenizer.json"),
        (lambda d: (d / "tokenizer_config.json").unlink(), "tokenizer_config.json"),
        (lambda d: (d / "notes.txt").write_text("hello"), "notes.txt"),
        (lambda d: edit(d / "qwenweb.json", files=[]), "qwenweb.json"),
        (lambda d: edit(d / "qwenweb.json", files={"config.json": 1}), "qwenweb.json"),
    ],
)
def test_a_manifest_holds_the_directory_to_its_files(sealed: Path, damage: Damage, named: str) -> None:
    damage(sealed)
    with pytest.raises(ModelError) as refused:
        check(sealed)
    assert named in str(refused.value)


def test_a_flipped_byte_anywhere_is_found_by_the_sums(sealed: Path) -> None:
    flip(sealed / "model.safetensors", -5)
    check(sealed)
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        verify(sealed, silent)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        check(tmp_path / "nowhere")


def test_a_device_that_is_not_there_is_refused(model_copy: Path) -> None:
    for device in ("cuda:63", "toaster"):
        with pytest.raises(ModelError, match=device):
            open_engine(model_copy, device)
