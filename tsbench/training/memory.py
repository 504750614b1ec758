"""What to do when a device's memory is too small."""

from __future__ import annotations

import gc

import torch

__all__ = ["free_memory", "is_out_of_memory"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left for torch."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def free_memory(device: str) -> None:
    """Gives back what an attempt that failed has left behind."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
