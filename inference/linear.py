"""Matrix products in the format that suits the device: the hot loop of the engine."""

from __future__ import annotations

import math
import warnings
from typing import Literal, Protocol

import torch
from torch.nn import functional

Format = Literal["row8", "bf16", "fp32", "fp8"]


class Linear(Protocol):
    """rows [M, in] → [M, out], in the activations' dtype."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...


class DenseLinear:
    """Weights as they are."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(rows, self.weight, self.bias)


class Row8Linear:
    """int8 weights with a scale per output, int8 activations with a scale per row, products exact in int32.

    Each row is divided by its own greatest number before it is rounded, so that one outlier coarsens its own row only.
    The kernel takes one range for all rows: a row in front that holds -1 and +1 pins it. So the result of a row is the
    same, to the bit, whatever the other rows are.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        weight = weight.float()
        scales = (weight.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        with warnings.catch_warnings():
            # torch announces the end of quantized tensors; the kernel below has no other door yet.
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8
            )
            self._packed = torch.ops.quantized.linear_prepack(quantized, None)
        self.bias = bias.float() if bias is not None else None
        self._inputs = _pinned(1, weight.shape[1])

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        num_rows = rows.shape[0]
        if len(self._inputs) <= num_rows:
            self._inputs = _pinned(2 * num_rows, rows.shape[1])
        inputs = self._inputs[: num_rows + 1]
        scales = torch.linalg.vector_norm(rows, math.inf, -1, keepdim=True)
        # A row of zeros, or of no numbers at all, must not become the range of the others.
        torch.div(rows, scales, out=inputs[1:]).nan_to_num_(0.0)
        outputs: torch.Tensor = torch.ops.quantized.linear_dynamic(inputs, self._packed)[1:]
        return outputs.mul_(scales) if self.bias is None else torch.addcmul(self.bias, outputs, scales)

    @staticmethod
    def is_supported() -> bool:
        return "fbgemm" in torch.backends.quantized.supported_engines and torch.backends.cpu.get_cpu_capability() in (
            "AVX2",
            "AVX512",
        )


def _pinned(num_rows: int, width: int) -> torch.Tensor:
    inputs = torch.zeros(num_rows + 1, width)
    inputs[0, 0], inputs[0, -1] = -1.0, 1.0
    return inputs


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
    """The product with `weight` [out, in] and `bias` [out] in a format; the tensors are on their device already."""
    match format_:
        case "row8":
            return Row8Linear(weight, bias)
        case "fp8":
            return Float8Linear(weight.bfloat16(), bias.bfloat16() if bias is not None else None)
    dtype = torch.bfloat16 if format_ == "bf16" else torch.float32
    return DenseLinear(weight.to(dtype), bias.to(dtype) if bias is not None else None)
