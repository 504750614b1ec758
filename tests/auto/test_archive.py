"""Every data set of the archive has members; nothing is fitted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import REAL_ARCHIVE
from tsbench.auto.portfolio import candidates_of
from tsbench.auto.schedule import Schedule
from tsbench.data.archive import Archive

LEAST = 3


@pytest.mark.slow
@pytest.mark.skipif(REAL_ARCHIVE is None, reason="TSBENCH_ARCHIVE names no folder of data sets")
@pytest.mark.parametrize("preset", ["quick", "good"])
def test_at_least_three_members_take_every_data_set_as_it_is_or_adapted(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REAL_ARCHIVE is not None
    monkeypatch.setenv("TSBENCH_ARCHIVE", str(REAL_ARCHIVE))
    names = sorted(folder.name for folder in Path(REAL_ARCHIVE).iterdir() if folder.is_dir())
    assert names
    few = {}
    for name in names:
        schedule = Schedule(Archive().load(name).train, candidates_of(preset), 0, "cpu", lambda: float("inf"))
        taking = {member.candidate.name for member in schedule.members if member.state == "waiting"}
        if len(taking) < LEAST:
            few[name] = [f"{member.title}: {member.reason}" for member in schedule.members if member.reason]
    assert few == {}
