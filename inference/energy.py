"""The energy a CUDA device takes, as its driver counts it (NVML, nvmlDeviceGetTotalEnergyConsumption)."""

from __future__ import annotations

import ctypes
import logging

import torch

log = logging.getLogger(__name__)


class EnergyMeter:
    """Joules since the last look, and in all; None where the driver does not count."""

    def __init__(self, device: torch.device) -> None:
        self.total_j: float | None = None
        self._last = 0
        self._nvml: ctypes.CDLL | None = None
        if device.type == "cuda":
            self._open(device)

    def taken(self) -> float | None:
        """What was taken since the last call; the driver renews its count some ten times a second."""
        now = self._millijoules()
        if now is None or self.total_j is None:
            return None
        taken = (now - self._last) / 1000
        self._last = now
        self.total_j += taken
        return taken

    def _open(self, device: torch.device) -> None:
        try:
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
            self._handle = ctypes.c_void_p()
            # NVML numbers all devices, torch those that are visible: the identity is the same for both.
            identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
            if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(identity, ctypes.byref(self._handle)):
                return
        except (OSError, AttributeError):
            log.info("no energy count: NVML is not there")
            return
        self._nvml = nvml
        first = self._millijoules()
        if first is not None:
            self._last, self.total_j = first, 0.0

    def _millijoules(self) -> int | None:
        count = ctypes.c_ulonglong()
        if self._nvml is None or self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(count)):
            return None
        return count.value
