"""A working folder that cannot be used as it is ends each command in one sentence, and is left as it was."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.bench.test_faults import fill, small_disk
from tests.bench.test_preflight import begun
from tests.processes import TSBENCH, finish, start
from tests.snapshot import snapshot
from tsbench.cli import app
from tsbench.cli.app import sentences

Write = Callable[..., Path]

HOME = Path(".tsbench/tiny")
STUDY = HOME / "ItalyPowerDemand"


def put_folder(path: Path) -> None:
    """A folder in the place of a file."""
    path.unlink(missing_ok=True)
    path.mkdir()


def forbid_writing(path: Path) -> None:
    path.chmod(0o555)


@pytest.mark.parametrize(
    ("spoil", "place", "command", "sentence"),
    [
        (put_folder, HOME / "lock", ["search", "tiny.yaml"], "lock cannot be opened (Is a directory); remove it"),
        (put_folder, HOME / "lock", ["studies"], "lock cannot be opened (Is a directory); remove it"),
        (put_folder, HOME / "lock", ["rm", "tiny", "--yes"], "lock cannot be opened (Is a directory); remove it"),
        (put_folder, HOME / "listener.json", ["search", "tiny.yaml"], "is a folder, and the search writes a file"),
        (put_folder, STUDY / "journal.log", ["search", "tiny.yaml"], "has lost its trials"),
        (put_folder, STUDY / "study.json", ["search", "tiny.yaml"], "study.json cannot be read"),
        (put_folder, STUDY / "values.npy", ["search", "tiny.yaml"], "training cases of this study are missing or dama"),
        (forbid_writing, STUDY, ["search", "tiny.yaml"], "ItalyPowerDemand is read-only; change its permissions"),
        (forbid_writing, HOME, ["search", "tiny.yaml"], "tiny is read-only; change its permissions"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_sentence(
    recipe_file: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    place: Path,
    command: list[str],
    sentence: str,
) -> None:
    begun(recipe_file())
    monkeypatch.chdir(tmp_path)
    spoil(place)
    before = snapshot(tmp_path)
    result = CliRunner().invoke(app, command)
    mode = 0o755 if place.is_dir() else 0o644
    place.chmod(mode)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert sentence in result.stderr
    assert snapshot(tmp_path) == before


def test_an_error_of_a_file_is_a_sentence_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, reason in ((tmp_path, "Is a directory"), (tmp_path / "absent", "No such file or directory")):
        with pytest.raises(typer.Exit) as caught:
            sentences(place.read_text)()
        assert caught.value.exit_code == 1
        assert capsys.readouterr().err == (
            f"{place} cannot be read or written: {reason}; check its path and permissions\n"
        )
    with pytest.raises(OSError, match="Bad file descriptor"):  # an error of the program keeps its traceback
        sentences(os.close)(10**6)


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start_is_one_sentence(recipe_file: Write, tmp_path: Path) -> None:
    text = recipe_file().read_text().replace(str(tmp_path / "mlflow.db"), "mlflow.db")
    disk = tmp_path / "disk"
    disk.mkdir()
    small_disk(disk, 256)
    try:
        (disk / "tiny.yaml").write_text(text)
        fill(disk / "filler")
        code, output, errors = finish(start([TSBENCH, "search", "tiny.yaml"], disk, {"TSBENCH_RETRY_TIMEOUT": "2"}))
        assert code == 1
        assert "Traceback" not in output + errors
        assert "full" in errors or "no space is left" in errors
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
