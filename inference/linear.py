"""Matrix products in the format that suits the device: the hot loop of the engine."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple, Protocol

import torch
from torch.nn import functional

from inference.basis import mixed

Format = Literal["row8", "bf16", "fp32", "fp8"]

_LEAST_ROWS = 16
_TINY = torch.finfo(torch.float32).tiny


class Linear(Protocol):
    """rows [M, in] → [M, out], in the activations' dtype."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...


class DenseLinear:
    """Weights as they are."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(rows, self.weight, self.bias)


class Scratch:
    """Memory in which one thread prepares the inputs of one product after another; it stays in the CPU's caches."""

    def __init__(self) -> None:
        self._inputs: dict[int, torch.Tensor] = {}
        self._views: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def inputs(self, num_rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """[1 + num_rows, width] with -1 and +1 in the first row, and the rows behind it."""
        key = num_rows, width
        if key not in self._views:
            if len(self._inputs.get(width, ())) <= num_rows:
                self._inputs[width] = torch.zeros(num_rows + 1, width)
                self._inputs[width][0, 0], self._inputs[width][0, -1] = -1.0, 1.0
                self._views = {key: views for key, views in self._views.items() if key[1] != width}
            pinned = self._inputs[width][: num_rows + 1]
            self._views[key] = pinned, pinned[1:]
        return self._views[key]


class Int8Weights(NamedTuple):
    """int8 values [out, in], a scale per output [out], and the bias [out] in float32."""

    values: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None


def rounded(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Int8Weights:
    """The nearest int8 weights: each output by its own greatest number."""
    weight = weight.float()
    scales = (weight.abs().amax(1) / 127).clamp_min(_TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # see Row8Linear
        quantized = torch.quantize_per_channel(
            weight, scales.double(), torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8
        )
    return Int8Weights(quantized.int_repr(), scales, bias.float() if bias is not None else None)


class Row8Linear:
    """int8 weights with a scale per output, int8 activations with a scale per row, products exact in int32.

    Each row is divided by its own greatest number before it is rounded, so that one outlier coarsens its own row only.
    The kernel takes one range for all rows: a row in front that holds -1 and +1 pins it. So the result of a row is the
    same, to the bit, whatever the other rows are; unless one holds what is not a number, which spoils the range.
    """

    def __init__(self, weights: Int8Weights, scratch: Scratch) -> None:
        with warnings.catch_warnings():
            # torch announces the end of quantized tensors; the kernel below has no other door yet.
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(
                weights.values, weights.scales.double(), torch.zeros(len(weights.scales), dtype=torch.long), 0
            )
            self._packed = torch.ops.quantized.linear_prepack(quantized, None)
        self._bias = weights.bias
        self._width = weights.values.shape[1]
        self._scratch = scratch

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        pinned, inputs = self._scratch.inputs(len(rows), self._width)
        # A row of zeros must not divide by zero.
        scales = rows.abs().amax(-1, keepdim=True).clamp_min_(_TINY)
        torch.div(rows, scales, out=inputs)
        outputs: torch.Tensor = torch.ops.quantized.linear_dynamic(pinned, self._packed)[1:]
        return outputs.mul_(scales) if self._bias is None else torch.addcmul(self._bias, outputs, scales)

    @staticmethod
    def is_supported() -> bool:
        return "fbgemm" in torch.backends.quantized.supported_engines and torch.backends.cpu.get_cpu_capability() in (
            "AVX2",
            "AVX512",
        )


class MixedLinear:
    """A product whose rows are mixed block by block first, and whose weights are so already."""

    def __init__(self, product: Linear, block: int) -> None:
        self._product, self._block = product, block

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self._product(mixed(rows, self._block))


class Float8Linear:
    """Weights in 8-bit floats with a scale per output, products in bf16: half the memory, for cards that have it."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self._scales = (weight.abs().amax(1, keepdim=True).float() / 448).clamp_min(1e-12)
        self._weight = (weight.float() / self._scales).to(torch.float8_e4m3fn).t()
        self.bias = bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        scales = (rows.abs().amax(1, keepdim=True).float() / 448).clamp_min(1e-12)
        inputs = (rows / scales).to(torch.float8_e4m3fn)
        outputs = torch._scaled_mm(inputs, self._weight, scale_a=scales, scale_b=self._scales.t(), out_dtype=rows.dtype)
        return outputs if self.bias is None else outputs + self.bias


def linear(weight: torch.Tensor, bias: torch.Tensor | None, format_: Format) -> Linear:
    """The product with `weight` [out, in] and `bias` [out] in a format but row8; the tensors are on their device."""
    if format_ == "fp8":
        return Float8Linear(weight.bfloat16(), bias.bfloat16() if bias is not None else None)
    dtype = torch.bfloat16 if format_ == "bf16" else torch.float32
    return DenseLinear(weight.to(dtype), bias.to(dtype) if bias is not None else None)


def activations(format_: Format) -> torch.dtype:
    """What the numbers between products are kept in."""
    return torch.float32 if format_ in ("row8", "fp32") else torch.bfloat16


def steady(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """rows [M, in] → [M, out] by few weights as they are; a row's result does not depend on the others, to the bit.

    On CPUs that takes at least 16 rows, found by trial.
    """
    missing = _LEAST_ROWS - len(rows)
    if missing <= 0 or rows.device.type != "cpu":
        return functional.linear(rows, weight)
    return functional.linear(functional.pad(rows, (0, 0, 0, missing)), weight)[: len(rows)]
