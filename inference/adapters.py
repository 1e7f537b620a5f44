"""LoRA adapters on disk: what a directory must hold, and what is refused before anything of it is computed with."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from inference.architecture import DENSE, MIXTURES
from inference.errors import ModelError
from inference.weights import read_json, refuse_code, refuse_unsafe_files, safetensors_header

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}")
_TENSOR = re.compile(re.escape(PREFIX) + r"(.+)\.lora_([AB])\.weight")
_ADAPTED = re.compile(r"model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)")
_INITIAL = (None, True, False, "gaussian", "eva", "orthogonal")
"""Ways to begin the training that leave the base model as it is."""
_UNSUPPORTED = (
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "fan_in_fan_out",
    "alora_invocation_tokens",
    "arrow_config",
)
"""Settings that change what is computed."""


@dataclass(frozen=True)
class Adapter:
    """A checked adapter. `scales` has, by module of the base model, what its product is multiplied by."""

    name: str
    directory: Path
    scales: Mapping[str, float]
    num_weights: int


def find(adapters_dir: Path | None, model_dir: Path) -> tuple[list[Adapter], list[str]]:
    """The adapters that fit a model, each in a sub-directory of its own; for each other one, why it does not."""
    found, refused = [], []
    places = sorted(adapters_dir.iterdir()) if adapters_dir else []
    for place in places:
        if place.name.startswith(".") or not place.is_dir():
            continue
        try:
            found.append(_read(place, model_dir))
        except (ModelError, OSError) as error:
            refused.append(f"The adapter {place.name!r} is left out: {error}")
            log.error(refused[-1])
    return found, refused


def _read(directory: Path, model_dir: Path) -> Adapter:
    if not _NAME.fullmatch(directory.name):
        raise ModelError("its name may have letters, digits, dots, dashes and underscores only.")
    refuse_unsafe_files(sorted(path.name for path in directory.iterdir()))
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise ModelError(f"{name} is missing in its directory.")
    refuse_code(directory)
    config, tensors = read_json(directory / CONFIG), safetensors_header(directory / WEIGHTS)
    _check_config(config)
    model_type = read_json(model_dir / "config.json").get("model_type")
    if model_type not in (*DENSE, *MIXTURES):
        raise ModelError(f"adapters of {model_type} models are not supported.")
    ranks = _ranks(tensors, _shapes(model_dir))
    scales = {module: _scale(config, module, rank) for module, rank in ranks.items()}
    _check_numbers(directory / WEIGHTS)
    return Adapter(directory.name, directory, scales, sum(math.prod(entry["shape"]) for entry in tensors.values()))


def _check_config(config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{CONFIG} says peft_type {config.get('peft_type')!r}; only LORA is supported.")
    for key, value in config.items():
        is_other_kind = key.startswith("use_") and key != "use_rslora"
        if value and (key in _UNSUPPORTED or is_other_kind):
            raise ModelError(f"{CONFIG} sets {key}, which is not supported.")
    if config.get("bias", "none") != "none":
        raise ModelError(f"{CONFIG} sets bias to {config['bias']!r}; only 'none' is supported.")
    if config.get("init_lora_weights") not in _INITIAL:
        raise ModelError(f"{CONFIG} says init_lora_weights {config['init_lora_weights']!r}, which is not supported.")


def _shapes(model_dir: Path) -> dict[str, list[int]]:
    """The shape of each tensor of the base model."""
    headers = [safetensors_header(path) for path in model_dir.glob("*.safetensors")]
    return {name: entry["shape"] for header in headers for name, entry in header.items()}


def _ranks(tensors: Mapping[str, Any], shapes: Mapping[str, list[int]]) -> dict[str, int]:
    """The rank of each adapted module, after holding every tensor against the base model."""
    pairs: dict[str, dict[str, list[int]]] = {}
    for name, entry in tensors.items():
        part = _TENSOR.fullmatch(name)
        if not part or not _ADAPTED.fullmatch(part[1]):
            raise ModelError(f"{WEIGHTS} holds {name}, which can't be adapted here.")
        if entry["dtype"] not in ("F32", "F16", "BF16"):
            raise ModelError(f"{WEIGHTS} holds {name} as {entry['dtype']}; it must be F32, F16 or BF16.")
        pairs.setdefault(part[1], {})[part[2]] = entry["shape"]
    if not pairs:
        raise ModelError(f"{WEIGHTS} holds nothing.")
    ranks = {}
    for module, pair in pairs.items():
        base, rank = shapes.get(f"{module}.weight"), (pair.get("A") or [0])[0]
        if base is None or not rank or pair != {"A": [rank, base[1]], "B": [base[0], rank]}:
            raise ModelError(f"{WEIGHTS} does not fit the base model at {module}.")
        ranks[module] = rank
    return ranks


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What the product of a module is multiplied by, as PEFT does it."""
    try:
        if not _is_target(config.get("target_modules"), module):
            raise ModelError(f"{WEIGHTS} holds {module}, which {CONFIG} does not name.")
        said = _by_pattern(config.get("rank_pattern"), module, config["r"])
        alpha = float(_by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"]))
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise ModelError(f"{CONFIG} does not say rank, lora_alpha and target_modules as it should.") from error
    if said != rank or not math.isfinite(alpha):
        raise ModelError(f"{CONFIG} says rank {said!r} and lora_alpha {alpha} for {module}, which has rank {rank}.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _is_target(targets: Any, module: str) -> bool:
    """Whether target_modules names a module: a list of ends of names, a regular expression, or "all-linear"."""
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, otherwise: Any) -> Any:
    matching = (value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", module))
    return next(matching, otherwise)


def _check_numbers(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            if not file.get_tensor(name).isfinite().all():
                raise ModelError(f"{path.name} is damaged: {name} holds what is not a number.")
