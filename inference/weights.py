"""Model directories on disk: what a ready one holds, and what is refused before anything of it is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from inference.errors import ModelError
from inference.model_config import is_sparse, layer_types, text_name, text_part

Progress = Callable[[str, int, int | None], None]
"""progress(stage, bytes done, bytes in all or None)"""

MANIFEST = "qwenweb.json"
_INDEX = "model.safetensors.index.json"
LAYOUTS = (
    "qwen2",
    "qwen3",
    "qwen2_moe",
    "qwen3_moe",
    "qwen3_next",
    "qwen3_5",
    "qwen3_5_text",
    "qwen3_5_moe",
    "qwen3_5_moe_text",
    "llama",
    "mistral",
)
"""Model types whose tensors have known names; others are held against their config.json by who loads them."""
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_ITEM_BYTES = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I8": 1,
    "U8": 1,
}
_MAX_HEADER = 100_000_000
_IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")


def check(model_dir: Path) -> None:
    """Refuse a directory that is incomplete, damaged, foreign or unsafe; reads headers and small files only."""
    names = _files(model_dir)
    refuse_unsafe_files(names)
    for name in ("config.json", "tokenizer.json"):
        if name not in names:
            raise ModelError(f"{name} is missing in the model directory.")
    if MANIFEST in names:
        _check_manifest(model_dir, names)
    refuse_code(model_dir)
    config = read_json(model_dir / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"config.json says model_type {config.get('model_type')!r}, which is no model.")
    _check_weights(model_dir, names, config)


def verify(model_dir: Path, progress: Progress) -> None:
    """Check, and compare every byte with the manifest's sums."""
    check(model_dir)
    files = manifest(model_dir).get("files", {})
    total = sum(entry["size"] for entry in files.values())
    done = 0

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress("verify", done, total)

    for name, entry in files.items():
        if sha256(model_dir / name, advance) != entry["sha256"]:
            raise ModelError(f"{name} is damaged: its bytes are not the ones that were written.")


def seal(model_dir: Path, about: dict[str, Any], progress: Progress) -> None:
    """Write the manifest, the last thing that makes a directory a ready one."""
    names = [name for name in _files(model_dir) if name != MANIFEST]
    total = sum((model_dir / name).stat().st_size for name in names)
    done = 0

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress("verify", done, total)

    files = {
        name: {"size": (model_dir / name).stat().st_size, "sha256": sha256(model_dir / name, advance)} for name in names
    }
    write_json(model_dir / MANIFEST, {**about, "files": files})


def manifest(model_dir: Path) -> dict[str, Any]:
    """The manifest, or nothing where a person's own directory has none."""
    path = model_dir / MANIFEST
    return read_json(path) if path.exists() else {}


def context_length(model_dir: Path) -> int:
    """The context window in tokens, as the model is served."""
    config = read_json(model_dir / "config.json")
    by_model = [place.get(key) for place in (config, config.get("text_config") or {}) for key in _LENGTHS]
    by_catalogue = manifest(model_dir).get("context_length")
    known = [length for length in (*by_model, by_catalogue) if isinstance(length, int) and length > 0]
    if not known:
        raise ModelError("config.json does not say the model's context length.")
    return min(known)


def sha256(path: Path, advance: Callable[[int], None] = lambda num_bytes: None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} can't be read: it is damaged or no JSON.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} does not hold what its name says.")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _files(model_dir: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(model_dir) if entry.is_file())
    except OSError as error:
        raise ModelError(f"The model directory {model_dir} can't be read.") from error


def _check_manifest(model_dir: Path, names: list[str]) -> None:
    files = manifest(model_dir).get("files")
    if not isinstance(files, dict) or not all(_is_listing(entry) for entry in files.values()):
        raise ModelError(f"{MANIFEST} is damaged: it does not list the files.")
    for name, entry in files.items():
        if name not in names:
            raise ModelError(f"{name} is missing in the model directory.")
        size = (model_dir / name).stat().st_size
        if size != entry["size"]:
            raise ModelError(f"{name} is damaged: it has {size:,} bytes in place of {entry['size']:,}.")
    for name in names:
        if name not in files and name != MANIFEST:
            raise ModelError(f"{name} does not belong into this model directory.")


def _is_listing(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("size"), int) and isinstance(entry.get("sha256"), str)


def refuse_unsafe_files(names: list[str]) -> None:
    """Refuse file names of pickles and code."""
    for name in names:
        if name.lower().endswith(_PICKLES):
            raise ModelError(f"{name} may hold pickled code; only safetensors weights are loaded.")
        if name.lower().endswith(".py"):
            raise ModelError(f"{name} is code; model directories with code are not loaded.")


def refuse_code(model_dir: Path) -> None:
    """Refuse configurations by which code would be loaded, however deep the key stands."""
    for name in _files(model_dir):
        # A vocabulary may hold any word.
        if name.endswith(".json") and name not in ("tokenizer.json", "vocab.json"):
            _refuse_code(name, read_json(model_dir / name))


def _refuse_code(name: str, content: Any) -> None:
    if isinstance(content, dict):
        for key, value in content.items():
            if key in ("auto_map", "trust_remote_code"):
                raise ModelError(f"{name} asks for code of its own ({key}); such models are not loaded.")
            _refuse_code(name, value)
    elif isinstance(content, list):
        for item in content:
            _refuse_code(name, item)


def _check_weights(model_dir: Path, names: list[str], config: dict[str, Any]) -> None:
    shards = [name for name in names if name.endswith(".safetensors")]
    if _INDEX in names:
        listed = read_json(model_dir / _INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(_is_shard(name) for name in listed.values()):
            raise ModelError(f"{_INDEX} is damaged: it does not list the weights.")
        for name in sorted(set(listed.values()) - set(shards)):
            raise ModelError(f"{name} is missing in the model directory.")
        shards = sorted(set(listed.values()))
    elif "model.safetensors" in names:
        shards = ["model.safetensors"]
    else:
        raise ModelError("model.safetensors is missing in the model directory.")
    tensors = {tensor: name for name in shards for tensor in safetensors_header(model_dir / name)}
    if config["model_type"] in LAYOUTS:
        _check_layers(tensors, shards, config)


def _is_shard(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name


def _check_layers(tensors: dict[str, str], shards: list[str], config: dict[str, Any]) -> None:
    """Every layer has the tensors that others of its kind have, and the ends of the model are there."""
    about, names = text_part(config), {text_name(name) for name in tensors}
    kinds = [(kind, is_sparse(about, i)) for i, kind in enumerate(layer_types(about))]
    parts: dict[tuple[str, bool], set[str]] = {kind: set() for kind in kinds}
    for name in names:
        found = _IN_LAYER.fullmatch(name)
        if found and int(found[1]) < len(kinds):
            parts[kinds[int(found[1])]].add(found[2])
    needed = [f"model.layers.{i}.{part}" for i, kind in enumerate(kinds) for part in sorted(parts[kind])]
    ends = ["model.embed_tokens.weight", "model.norm.weight"]
    if not about.get("tie_word_embeddings", False):
        ends.append("lm_head.weight")
    lacking = [name for name in [*ends, *needed] if name not in names]
    if lacking or not kinds or not all(parts.values()):
        raise ModelError(f"{shards[0]} is not complete: {lacking[0] if lacking else 'its first layer'} is missing.")


def safetensors_header(path: Path) -> dict[str, Any]:
    """The tensors of a file by name, after checking that the file holds exactly what its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise ModelError(f"{path.name} is truncated or no safetensors file.")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            spans = sorted(_span(entry) for entry in header.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{path.name} is damaged: its header can't be read.") from error
    end = 0
    for start, stop in spans:
        if start != end:
            raise ModelError(f"{path.name} is damaged: its tensors do not fit together.")
        end = stop
    if size != 8 + length + end:
        raise ModelError(f"{path.name} is damaged: it has {size:,} bytes in place of {8 + length + end:,}.")
    return dict(header)


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    start, stop = entry["data_offsets"]
    if stop - start != prod(entry["shape"]) * _ITEM_BYTES[entry["dtype"]]:
        raise ValueError
    return start, stop
