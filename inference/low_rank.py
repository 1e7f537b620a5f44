"""Adapters in a step: rows that belong to one get its product of low rank on top (Hu et al. 2021, "LoRA")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors import safe_open
from torch.nn import functional

from inference.adapters import PREFIX, WEIGHTS, Adapter
from inference.attention import Span
from inference.linear import Linear

_BLOCK = 8
"""Rows of a product that is computed alike however many there are."""

Rows = slice | torch.Tensor
Arrange = Callable[[torch.Tensor], torch.Tensor]


class Adapters:
    """The adapters of a model on its device, and which rows of the step at hand belong to which."""

    def __init__(self, adapters: Sequence[Adapter], device: torch.device, dtype: torch.dtype) -> None:
        self.rows: dict[str, Rows] = {}
        self._models: list[str] = []
        self._adapters, self._device, self._dtype = adapters, device, dtype

    def begin(self, spans: Sequence[Span]) -> None:
        """Note whose rows are whose in the next step."""
        self.rows = {}
        if any(span.model for span in spans):
            self._note([span.model for span in spans for _ in range(span.num_tokens)])

    def narrow(self, rows: torch.Tensor) -> None:
        """From here on the step has these of its rows only."""
        if self.rows:
            self._note([self._models[row] for row in rows.tolist()])

    def adapt(
        self,
        base: Linear,
        widths: Mapping[str, int],
        arranged: Mapping[str, Arrange] | None = None,
        entering: Arrange | None = None,
    ) -> Linear:
        """The product of some modules side by side, each so many numbers wide, for everybody's rows.

        `arranged` does to what turns into a module's outputs what was done to the base product's weights, `entering`
        likewise to what takes its inputs.
        """
        pairs = {adapter.name: self._read(adapter, widths, arranged or {}, entering) for adapter in self._adapters}
        pairs = {name: pair for name, pair in pairs.items() if pair.parts}
        return _AdaptedLinear(base, pairs, self) if pairs else base

    def _note(self, models: list[str]) -> None:
        places: dict[str, list[int]] = {}
        for row, model in enumerate(models):
            if model:
                places.setdefault(model, []).append(row)
        self.rows, self._models = {model: self._rows(found) for model, found in places.items()}, models

    def _rows(self, places: list[int]) -> Rows:
        first, last = places[0], places[-1]
        if last - first + 1 == len(places):
            return slice(first, last + 1)
        return torch.tensor(places, device=self._device)

    def _read(
        self,
        adapter: Adapter,
        widths: Mapping[str, int],
        arranged: Mapping[str, Arrange],
        entering: Arrange | None,
    ) -> _LowRank:
        downs, parts, column, rank = [], [], 0, 0
        with safe_open(adapter.directory / WEIGHTS, framework="pt") as file:
            for module, width in widths.items():
                if module in adapter.scales:
                    down, up = (file.get_tensor(f"{PREFIX}{module}.lora_{part}.weight").float() for part in "AB")
                    up = arranged[module](up) if module in arranged else up
                    down = entering(down) if entering else down
                    up = (up * adapter.scales[module]).to(self._device, self._dtype)
                    parts.append(_Part(slice(rank, rank + len(down)), slice(column, column + width), up))
                    downs.append(down.to(self._device, self._dtype))
                    rank += len(down)
                column += width
        return _LowRank(torch.cat(downs) if downs else None, parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """From the numbers `ranks` in the middle to the numbers `columns` of the output; the scale is in `up`."""

    ranks: slice
    columns: slice
    up: torch.Tensor


@dataclass(frozen=True, slots=True)
class _LowRank:
    """One adapter's part of one product; `down` of all parts is one matrix."""

    down: torch.Tensor | None
    parts: Sequence[_Part]

    def add(self, rows: torch.Tensor, outputs: torch.Tensor, which: Rows) -> None:
        assert self.down is not None
        middle = _product(rows[which], self.down)
        for part in self.parts:
            outputs[which, part.columns] += _product(middle[:, part.ranks], part.up)


class _AdaptedLinear:
    """A product of the base model that rows of adapters get more on top of; other rows stay as they are."""

    def __init__(self, base: Linear, pairs: Mapping[str, _LowRank], adapters: Adapters) -> None:
        self._base, self._pairs, self._adapters = base, pairs, adapters

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        outputs = self._base(rows)
        for name, which in self._adapters.rows.items():
            if pair := self._pairs.get(name):
                pair.add(rows, outputs, which)
        return outputs


def _product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[M, in] × [out, in] → [M, out]. In fp32 on CPUs a row's result is the same, to the bit, whatever the others are.

    A plain product takes other ways for few rows than for many; blocks of one size all go the same way.
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return functional.linear(rows, weight)
    blocks = functional.pad(rows, (0, 0, 0, -len(rows) % _BLOCK)).view(-1, _BLOCK, rows.shape[1])
    return torch.bmm(blocks, weight.t().expand(len(blocks), -1, -1)).flatten(0, 1)[: len(rows)]
