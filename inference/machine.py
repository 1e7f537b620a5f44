"""What this machine has for a model, found without torch."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory` is the bytes of the smallest GPU, as each holds a whole model, or without one of the main memory."""

    memory: int
    has_gpu: bool = False

    @classmethod
    def own(cls) -> Machine:
        gpus = _gpu_memories()
        return cls(min(gpus), has_gpu=True) if gpus else cls(_main_memory())


def _gpu_memories() -> list[int]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in {"", "-1"}:
        return []
    chosen = ["--id", visible] if visible else []
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", *chosen]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [int(line) * 2**20 for line in listing.split() if line.isdigit()]


def _main_memory() -> int:
    """A container's limit included."""
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    size = int(total.split()[1]) * 1024
    try:
        return min(size, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return size
