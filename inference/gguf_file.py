"""Reading a GGUF file: its header at once, its tensors piece by piece."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.errors import ModelError

Floats = npt.NDArray[np.float32]
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_PIECE_VALUES = 1 << 22
_MAX_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class GgufTensor:
    name: str
    shape: tuple[int, ...]
    """Slowest dimension first, as torch has it."""
    type: int
    at: int
    num_bytes: int


class GgufFile:
    """A checked header: `fields` by key and `tensors` whose data lies wholly in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path.name} can't be read as a GGUF file.") from error
        self._at = 0
        try:
            self._read_header()
        except (struct.error, IndexError, KeyError, UnicodeDecodeError, MemoryError, OverflowError) as error:
            raise ModelError(f"{path.name} is damaged: its header can't be read.") from error

    def pieces(self, tensor: GgufTensor) -> Iterator[Floats]:
        """The values of a tensor as float32, some whole rows at a time."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        row_values = tensor.shape[-1]
        num_rows = prod(tensor.shape[:-1])
        row_bytes = tensor.num_bytes // num_rows
        step = max(1, _PIECE_VALUES // row_values)
        for row in range(0, num_rows, step):
            rows = min(step, num_rows - row)
            raw = np.frombuffer(self._bytes, np.uint8, rows * row_bytes, tensor.at + row * row_bytes)
            yield dequantize(raw.reshape(rows, row_bytes), GGMLQuantizationType(tensor.type))

    def _read_header(self) -> None:
        if self._bytes[:4] != b"GGUF":
            raise ModelError(f"{self.path.name} is not a GGUF file.")
        self._at = 4
        version, num_tensors, num_fields = self._unpack("I")[0], self._unpack("Q")[0], self._unpack("Q")[0]
        if version not in (2, 3) or num_tensors > _MAX_ENTRIES or num_fields > _MAX_ENTRIES:
            raise ModelError(f"{self.path.name} has a GGUF header that is not understood.")
        self.fields: dict[str, Any] = dict(self._field() for _ in range(num_fields))
        entries = [self._tensor_entry() for _ in range(num_tensors)]
        alignment = int(self.fields.get("general.alignment", 32))
        data_at = -(-self._at // alignment) * alignment
        self.tensors = [self._tensor(*entry, data_at) for entry in entries]

    def _tensor(self, name: str, shape: tuple[int, ...], type_: int, offset: int, data_at: int) -> GgufTensor:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            block_values, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(type_)]
        except (ValueError, KeyError) as error:
            raise ModelError(f"{self.path.name} uses a tensor type that is not known.") from error
        tensor = GgufTensor(name, shape, type_, data_at + offset, prod(shape) // block_values * block_bytes)
        if tensor.at + tensor.num_bytes > len(self._bytes):
            raise ModelError(f"{self.path.name} is truncated: the data of {name} is missing.")
        return tensor

    def _field(self) -> tuple[str, Any]:
        return self._string(), self._value(self._unpack("I")[0])

    def _value(self, type_: int) -> Any:
        if type_ == _STRING:
            return self._string()
        if type_ != _ARRAY:
            return self._unpack(_SCALARS[type_])[0]
        item_type, length = self._unpack("I")[0], self._unpack("Q")[0]
        if length > len(self._bytes):
            raise IndexError
        if item_type in _SCALARS:
            return list(self._unpack(f"{length}{_SCALARS[item_type]}"))
        return [self._value(item_type) for _ in range(length)]

    def _tensor_entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        dimensions = self._unpack(f"{self._unpack('I')[0]}Q")
        return name, tuple(reversed(dimensions)), self._unpack("I")[0], self._unpack("Q")[0]

    def _string(self) -> str:
        length = self._unpack("Q")[0]
        start, self._at = self._at, self._at + length
        if self._at > len(self._bytes):
            raise IndexError
        return self._bytes[start : self._at].decode()

    def _unpack(self, format_: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{format_}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{format_}")
        return values
