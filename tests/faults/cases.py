"""All cases; each module adds its own."""

from __future__ import annotations

from tests.faults import input_cases, machine_cases, process_cases, reader_cases, store_cases
from tests.faults.case import CASES, Case

__all__ = ["CASES", "Case", "input_cases", "machine_cases", "process_cases", "reader_cases", "store_cases"]
