"""Which devices there are, found without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def has_nvidia_gpu() -> bool:
    """Tell whether an NVIDIA driver is at work on this machine."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def names() -> list[str]:
    """Return torch's name of each device that an inference worker is started for: cuda:0, cuda:1, … or cpu."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        num_gpus = len([part for part in hidden.split(",") if part.strip() not in {"", "-1"}])
    else:
        num_gpus = _count_gpus() if has_nvidia_gpu() else 0
    return [f"cuda:{number}" for number in range(num_gpus)] or ["cpu"]


def _count_gpus() -> int:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        gpus = Path("/proc/driver/nvidia/gpus")
        return len(list(gpus.iterdir())) if gpus.is_dir() else 0
    return sum(1 for line in listing.splitlines() if line.startswith("GPU "))
