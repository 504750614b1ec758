from __future__ import annotations

import pytest

from tsbench.auto.estimator import processes_of
from tsbench.workers.local import count_cores


def test_negative_numbers_of_jobs_count_back_from_all_cores() -> None:
    cores = count_cores()
    assert [processes_of(jobs) for jobs in (None, -1, 1, 3, -cores, -cores - 5)] == [cores, cores, 1, 3, 1, 1]


def test_no_processes_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="n_jobs must not be 0; give a number of processes, or -1 for all cores"):
        processes_of(0)
