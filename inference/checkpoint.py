"""The tensors of a model directory, one at a time, so that a model is never in memory twice."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import safe_open

from inference.errors import ModelError
from inference.model_config import text_name


class Checkpoint:
    """Reads tensors by name; open it with `with`. Names are those of the Hugging Face layout of text models."""

    def __init__(self, model_dir: Path, prefixes: tuple[str, ...] = ("",)) -> None:
        self._paths = sorted(model_dir.glob("*.safetensors"))
        self._prefixes = prefixes
        self._name = model_dir.name

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        files = [self._stack.enter_context(safe_open(path, framework="pt")) for path in self._paths]
        self._files = {text_name(name): (file, name) for file in files for name in file.keys()}  # noqa: SIM118
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return any(prefix + name in self._files for prefix in self._prefixes)

    def get(self, name: str) -> torch.Tensor:
        file, full_name = self._place(name)
        tensor: torch.Tensor = file.get_tensor(full_name)
        return tensor

    def num_rows(self, name: str) -> int:
        """The first dimension of a tensor, which is not read for that."""
        file, full_name = self._place(name)
        return int(file.get_slice(full_name).get_shape()[0])

    def find(self, name: str) -> torch.Tensor | None:
        return self.get(name) if name in self else None

    def join(self, names: Iterable[str]) -> torch.Tensor:
        """Tensors put together along their first dimension."""
        return torch.cat([self.get(name) for name in names])

    def _place(self, name: str) -> tuple[Any, str]:
        for prefix in self._prefixes:
            if prefix + name in self._files:
                return self._files[prefix + name]
        raise ModelError(f"The weights in {self._name} do not fit their config.json: {name} is not there.")
