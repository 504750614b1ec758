"""Trains with smaller batches if a device's memory is too small."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["train_within_memory"]

T = TypeVar("T")


def train_within_memory(train: Callable[[int], T], device: str) -> T:
    """Calls `train(1)`, and if memory runs out `train(2)`, which processes half of each mini-batch at a time.

    Args:
        train: takes the accumulation steps.
        device: torch device that it trains on.

    Raises:
        torch.OutOfMemoryError, MemoryError, RuntimeError: half of each mini-batch does not fit either.
    """
    try:
        return train(1)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
    gc.collect()  # memory of the first attempt, including its traceback
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return train(2)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left for torch."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
