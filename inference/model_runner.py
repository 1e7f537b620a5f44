"""The model on its device: ids in, logits out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from inference.errors import ModelError
from inference.weights import check, read_json

KeyValues = Any
"""What the model remembers of one conversation; transformers gives it no useful type."""


class ModelRunner:
    """Weights in bf16 on one device; used by one thread."""

    def __init__(self, model_dir: Path, device: str) -> None:
        check(model_dir)
        self.device = _device(device)
        self.dtype = torch.bfloat16
        if self.device.type == "cpu":
            torch.set_num_threads(max(1, min(torch.get_num_threads(), num_cpus())))
        self._model = self._load(model_dir)
        # The first forward reads the weights from disk; nobody's reply should wait for that.
        self.forward([0], self.new_cache())

    def new_cache(self) -> KeyValues:
        from transformers import DynamicCache

        return DynamicCache()

    @torch.inference_mode()
    def forward(self, ids: list[int], cache: KeyValues) -> torch.Tensor:
        """Take the next ids of a conversation into its cache; return the logits after the last one."""
        inputs = torch.tensor([ids], device=self.device)
        output = self._model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[0, -1]
        return logits

    def _load(self, model_dir: Path) -> Any:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        # With output_loading_info it answers a pair, which its types do not say.
        load: Any = AutoModelForCausalLM.from_pretrained
        try:
            model, info = load(
                model_dir,
                dtype=self.dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The weights in {model_dir.name} do not fit their config.json.") from error
        if wrong := [*info["missing_keys"], *info["mismatched_keys"]]:
            raise ModelError(f"The weights in {model_dir.name} do not fit their config.json: {wrong[0]} is not there.")
        return model.eval().to(self.device)


def end_tokens(model_dir: Path) -> set[int]:
    """The tokens that end a reply, as its configuration files say."""
    ends: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if (model_dir / name).exists():
            listed = read_json(model_dir / name).get("eos_token_id")
            ends |= set(listed if isinstance(listed, list) else [listed]) - {None}
    return ends


def num_cpus() -> int:
    """The CPUs this process may use, a container's quota included."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(available, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        return available


def _device(name: str) -> torch.device:
    kind, _, index = name.partition(":")
    if name == "cpu" or (kind == "cuda" and f"{index or 0}".isdigit() and int(index or 0) < torch.cuda.device_count()):
        return torch.device(name)
    raise ModelError(f"There is no device {name} on this machine.")
