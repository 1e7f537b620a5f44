"""How a model is laid onto a device: format, length, number of replies; never more than there is room for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, get_args

import torch

from inference.errors import ModelError
from inference.kv_cache import PAGE, num_pages
from inference.linear import Format, Row8Linear, activations
from inference.model_config import is_read
from inference.weights import safetensors_header

_MOST_SLOTS = {"cpu": 16, "cuda": 64}
_SHARE = {"cpu": 0.3, "cuda": 0.9}
"""Of the memory that is free once the weights are there, how much keys and values may take."""
_LEAST_CONTEXT = 2048
_WORK_BYTES = 600_000_000
_STATES_EACH = 4
"""Of a hybrid, for each running reply: the state it has, the next one, and two snapshots for conversations."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine takes of its device."""

    format: Format
    num_slots: int
    context_length: int
    pages: int
    bytes_per_token: int
    kv_dtype: torch.dtype
    num_states: int = 0
    state_bytes: int = 0

    def __str__(self) -> str:
        tokens = self.pages * PAGE
        length = min(8192, self.context_length)
        return (
            f"{self.format}, {self.num_slots} replies at a time, {self.context_length:,} tokens of context, "
            f"{tokens * self.bytes_per_token / 1e9:.1f} GB for keys and values "
            f"(fits {max(1, tokens // length)} replies of {length:,} tokens)"
            + (f", {self.num_states * self.state_bytes / 1e9:.1f} GB for states" if self.num_states else "")
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asks for; None leaves it to the plan."""

    format: Format | None = None
    num_slots: int | None = None
    context_length: int | None = None
    adapters: Path | None = None
    """A directory with an adapter in each sub-directory."""

    @classmethod
    def of_environment(cls) -> Wishes:
        chosen = os.environ.get("QWENWEB_FORMAT") or None
        if chosen and chosen not in get_args(Format):
            raise ModelError(f"QWENWEB_FORMAT is {chosen!r}; it can be {', '.join(get_args(Format))}.")
        adapters = Path(os.environ["QWENWEB_ADAPTERS"]) if os.environ.get("QWENWEB_ADAPTERS") else None
        if adapters and not adapters.is_dir():
            raise ModelError(f"QWENWEB_ADAPTERS is {str(adapters)!r}, which is no directory.")
        return cls(cast("Format | None", chosen), _number("QWENWEB_SLOTS"), _number("QWENWEB_CONTEXT"), adapters)


class Sizes(Protocol):
    """What of a model's sizes a plan needs."""

    @property
    def longest_attention(self) -> int | None: ...

    def kv_bytes_per_token(self, dtype: torch.dtype) -> int: ...

    def state_bytes(self, dtype: torch.dtype) -> int:
        """What a reply's state takes in a hybrid, with activations of a type; 0 in others."""


NO_WISHES = Wishes()


def make_plan(
    about: Sizes,
    model_dir: Path,
    device: torch.device,
    context_length: int,
    wishes: Wishes = NO_WISHES,
    num_adapter_weights: int = 0,
) -> Plan:
    """The best that fits; ModelError with what to choose instead when nothing does."""
    format_ = wishes.format or best_format(device)
    dtype = activations(format_)
    free = free_memory(device)
    weights = _weight_bytes(model_dir, format_) + num_adapter_weights * dtype.itemsize
    kv_dtype = _kv_dtype(format_)
    per_token, per_state = about.kv_bytes_per_token(kv_dtype), about.state_bytes(dtype)
    context = min(filter(None, (context_length, wishes.context_length, about.longest_attention)))
    num_slots = wishes.num_slots or _MOST_SLOTS[device.type]
    room = int((free - weights - _WORK_BYTES) * _SHARE[device.type])
    num_states = 0
    if per_state:
        # Half of the room at most: a conversation needs keys and values as well.
        num_slots = max(1, min(num_slots, room // 2 // (per_state * _STATES_EACH)))
        num_states = num_slots * _STATES_EACH + 2
    most = (room - num_states * per_state) // (per_token * PAGE)
    # Room for a long reply that has to move while it grows.
    wanted = num_pages(context) * num_slots + num_pages(context)
    least, context = min(_LEAST_CONTEXT, context), min(context, most * PAGE)
    if most <= 0 or context < least:
        raise ModelError(
            f"{model_dir.name} needs about {(weights + _WORK_BYTES + per_token * _LEAST_CONTEXT) / 1e9:.1f} GB, and "
            f"{max(free, 0) / 1e9:.1f} GB are free on {device}. "
            "Choose a smaller one: `manage.py models` marks what fits."
        )
    return Plan(format_, num_slots, context, min(wanted, most), per_token, kv_dtype, num_states, per_state)


def best_format(device: torch.device) -> Format:
    if device.type == "cuda":
        return "bf16"
    return "row8" if Row8Linear.is_supported() else plain_format(device)


def plain_format(device: torch.device) -> Format:
    """The best in which weights stay as they are."""
    if device.type == "cuda":
        return "bf16"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


def _kv_dtype(format_: Format) -> torch.dtype:
    """Keys and values are bf16 where the device computes with it: half the memory to hold and to read."""
    is_slow = format_ == "row8" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.float32 if format_ == "fp32" or is_slow else torch.bfloat16


def free_memory(device: torch.device) -> int:
    """Bytes that a new process may take on a device, a container's limit included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return min(available, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        return available


def _weight_bytes(model_dir: Path, format_: Format) -> int:
    """What the weights take in a format."""
    bytes_each = {"row8": 1.05, "fp8": 1.05, "bf16": 2, "fp32": 4}[format_]
    total = 0
    for path in model_dir.glob("*.safetensors"):
        for name, entry in safetensors_header(path).items():
            if not is_read(name):
                continue
            num = 1
            for length in entry["shape"]:
                num *= length
            total += num
    return int(total * bytes_each)


def _number(name: str) -> int | None:
    value = os.environ.get(name, "")
    if not value:
        return None
    if not value.isdigit() or int(value) < 1:
        raise ModelError(f"{name} is {value!r}; it must be a whole number of at least 1.")
    return int(value)
