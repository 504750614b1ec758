"""The resource usage of a run's process and device, without other processes or GPUs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tsbench.tracking.provenance import processor

if TYPE_CHECKING:
    import psutil

__all__ = ["Monitor", "device_name"]

EVERY = 10.0
"""Seconds between two samples."""
MEGABYTE = 1e6


def device_name(device: str) -> str:
    """The processor's or the GPU's name, of a torch device such as `cpu` or `cuda:1`."""
    if not device.startswith("cuda"):
        return processor()
    import torch

    return str(torch.cuda.get_device_name(device))


class Monitor:
    """Samples the process and its device during a run, for the tab "System metrics" of MLflow's page.

    MLflow's own sampling shows every GPU of the machine on every run; this shows only the worker's.

    Args:
        device: the run's torch device.
    """

    def __init__(self, device: str) -> None:
        import psutil

        self.device = device
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self._tells_utilisation = True
        self._process: psutil.Process = psutil.Process()
        self._process.cpu_percent(None)  # starts the measurement
        self._began = self._last = time.monotonic()

    def sample(self, now: bool = False) -> None:
        """Takes a sample if the last one is old enough, or immediately; steps are seconds since the start."""
        moment = time.monotonic()
        if not now and moment - self._last < EVERY:
            return
        self._last = moment
        values = {
            "system/process_cpu_percent": self._process.cpu_percent(None),
            "system/process_memory_megabytes": self._process.memory_info().rss / MEGABYTE,
            **self._of_gpu(),
        }
        for name, value in values.items():
            self.curves.setdefault(name, []).append((round(moment - self._began), value))

    def _of_gpu(self) -> dict[str, float]:
        if not self.device.startswith("cuda"):
            return {}
        import torch

        values = {"system/gpu_memory_megabytes": torch.cuda.memory_reserved(self.device) / MEGABYTE}
        if self._tells_utilisation:
            try:
                values["system/gpu_percent"] = float(torch.cuda.utilization(self.device))
            except (
                Exception
            ):  # NVIDIA's bindings are not installed, or the device (a MIG slice, say) does not report it
                self._tells_utilisation = False
        return values
