"""int8 weights kept on disk as they were made at the first start, so that the next one takes seconds less."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from inference.linear import Int8Weights, rounded
from inference.weights import MANIFEST

Made = Callable[[], tuple[torch.Tensor, torch.Tensor | None]]
"""A weight [out, in] and its bias [out], if it has one."""

_LONGEST_START_S = 3600.0
_VERSION = "1"
"""Another one when other numbers come of the same checkpoint."""


class Prepared:
    """The rounded weights of one model directory, by the name of the product; open it with `with`.

    They lie beside the model directory, in a folder named after what they were made of. A folder that can't be written
    only costs time at the next start; one that is damaged is made anew.
    """

    def __init__(self, model_dir: Path) -> None:
        home = model_dir.absolute().parent / ".prepared"
        self._place = home / f"{model_dir.name}-{_fingerprint(model_dir)}"
        self._model = model_dir.name
        self._workshop: Path | None = None
        self._lock = threading.Lock()  # the head is made beside the layers
        self._is_kept = self._place.is_dir()
        self._is_worth_keeping = not self._is_kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._workshop is None:
            return
        if error is None:
            # Two workers may have made the same: the second one's is thrown away.
            with suppress(OSError):
                self._workshop.rename(self._place)
                self._forget_earlier()
        shutil.rmtree(self._workshop, ignore_errors=True)

    def get(self, name: str, make: Made) -> Int8Weights:
        """What was kept under a name; else what is made now, which is kept."""
        found = self._kept(name) if self._is_kept else None
        if found is None:
            found = rounded(*make())
            if self._is_worth_keeping:
                self._keep(name, found)
        return found

    def _kept(self, name: str) -> Int8Weights | None:
        try:
            parts = load_file(self._place / f"{name}.safetensors")
            return Int8Weights(parts["values"], parts["scales"], parts.get("bias"))
        except (OSError, KeyError, SafetensorError):
            self._is_kept = False
            shutil.rmtree(self._place, ignore_errors=True)
            return None

    def _keep(self, name: str, weights: Int8Weights) -> None:
        parts = {"values": weights.values, "scales": weights.scales, "bias": weights.bias}
        try:
            save_file(
                {part: tensor.contiguous() for part, tensor in parts.items() if tensor is not None},
                self._opened_workshop() / f"{name}.safetensors",
            )
        except (OSError, SafetensorError):
            # The disk is full, or can't be written: the next start will take as long as this one.
            self._is_worth_keeping = False
            if self._workshop:
                shutil.rmtree(self._workshop, ignore_errors=True)
            self._workshop = None

    def _opened_workshop(self) -> Path:
        with self._lock:
            if self._workshop is None:
                self._place.parent.mkdir(exist_ok=True)
                self._workshop = Path(mkdtemp(prefix="new-", dir=self._place.parent))
            return self._workshop

    def _forget_earlier(self) -> None:
        """What was made of a former state of the model, and what a start that was killed left behind."""
        for other in self._place.parent.iterdir():
            is_former = other.name.startswith(f"{self._model}-") and len(other.name) == len(self._place.name)
            is_left = other.name.startswith("new-") and time.time() - other.stat().st_mtime > _LONGEST_START_S
            if other != self._place and (is_former or is_left):
                shutil.rmtree(other, ignore_errors=True)


def _fingerprint(model_dir: Path) -> str:
    """What tells one state of a model directory from another: its manifest, or the files' sizes and times."""
    digest = hashlib.sha256(_VERSION.encode())
    if (model_dir / MANIFEST).exists():
        digest.update((model_dir / MANIFEST).read_bytes())
    for entry in sorted(os.scandir(model_dir), key=lambda entry: entry.name):
        about = entry.stat()
        digest.update(f"{entry.name} {about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
