"""What a monitor does where a device does not tell what it is asked."""

import pytest
import torch

from tsbench.tracking.monitoring import Monitor


def test_a_gpu_that_does_not_tell_its_utilisation_is_asked_once_and_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NotSupportedError(Exception):
        """NVIDIA's own, of a slice of a GPU."""

    asked = []

    def utilization(device: str) -> int:
        asked.append(device)
        raise NotSupportedError("Not Supported")

    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3_000_000)
    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    monitor = Monitor("cuda:0")
    for _ in range(3):
        monitor.sample(now=True)
    assert asked == ["cuda:0"]
    assert "system/gpu_percent" not in monitor.curves
    assert [value for _, value in monitor.curves["system/gpu_memory_megabytes"]] == [3.0] * 3
