import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.data.made import make_cases, write_csv, write_ts
from tsbench.cli import app
from tsbench.data.catalogue import catalogue


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["datasets", *map(str, arguments)])


def put(folder: Path, name: str = "Pumps") -> Path:
    place = folder / name
    place.mkdir(parents=True)
    write_ts(place / f"{name}_TRAIN.ts", make_cases(seed=1))
    write_ts(place / f"{name}_TEST.ts", make_cases(seed=2))
    return place


# --- list


def test_the_catalogue_is_listed_whole() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert "158 data sets, 8 available." in result.output
    assert all(f" {name} " in result.output for name in catalogue())


def test_filters_narrow_the_list() -> None:
    result = run("list", "--univariate", "--max-length", 60, "--max-cases", 1000, "--format", "names")
    assert result.output.split() == ["Chinatown", "ItalyPowerDemand", "SmoothSubspace", "SyntheticControl"]
    assert run("list", "uea-26", "--max-channels", 2, "--format", "names").output.split() == [
        "AtrialFibrillation",
        "Libras",
        "PenDigits",
    ]
    names = run("list", "--available", "--multivariate", "--format", "names").output.split()
    assert names == ["BasicMotions", "JapaneseVowels"]


def test_names_without_sizes_are_listed_as_such_and_left_out_by_filters() -> None:
    result = run("list", "monster-29")
    assert result.exit_code == 0
    assert "Sizes not in the catalogue (29): AudioMNIST, AudioMNIST-DS, " in result.output
    assert len(run("list", "multiverse-66", "--format", "names").output.split()) == 66
    unknown = json.loads(run("list", "Tools", "--format", "json").output)
    assert unknown[0] == {**dict.fromkeys(unknown[0]), "name": "Tools", "available": False}
    filtered = run("list", "multiverse-66", "--max-channels", 2, "--format", "names")
    assert "Left out, because their sizes are not in the catalogue: Alzheimers, " in filtered.output
    assert "Libras" in filtered.output


def test_info_of_a_set_of_which_only_the_name_is_known_says_so() -> None:
    result = run("info", "Tiselac")
    assert result.exit_code == 0
    assert "Tiselac, of multiverse-133, multiverse-66, monster-29; its sizes are not in the catalogue" in result.output


def test_collections_are_listed_with_the_sizes_that_are_known() -> None:
    rows = {row["name"]: row for row in json.loads(run("collections", "--json").stdout)}
    assert (rows["ucr-112"]["datasets"], rows["ucr-112"]["known"]) == (112, 112)
    assert (rows["uea-26"]["train"], rows["uea-26"]["lengths"]) == ([12, 7494], [8, 17984])
    assert rows["multiverse-133"] == {
        "name": "multiverse-133",
        "datasets": 133,
        "known": 30,
        "train": [12, 25000],
        "lengths": [2, 17984],
    }
    assert rows["monster-29"] == {"name": "monster-29", "datasets": 29, "known": 0, "train": None, "lengths": None}
    lines = run("collections").stdout.splitlines()
    assert next(line for line in lines if "monster-29" in line).split() == [
        *("monster-29", "29", "none"),
        *("not", "known", "not", "known"),
    ]
    assert next(line for line in lines if "ucr-142" in line).split()[:3] == ["ucr-142", "142", "112"]


def test_the_list_is_data_too() -> None:
    (row,) = json.loads(run("list", "GunPoint", "--format", "json").output)
    assert (row["train"], row["test"], row["ed_error"], row["available"]) == (50, 150, 0.0867, True)
    header, line = run("list", "Adiac", "--format", "csv").output.splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["classes"] == "37"


def test_an_unknown_name_is_reported_with_the_one_that_was_meant() -> None:
    result = run("list", "Gunpoint")
    assert result.exit_code == 2
    assert result.output == "the catalogue holds no data set 'Gunpoint'; did you mean 'GunPoint'?\n"


# --- info


def test_info_tells_facts_citation_digests_and_shows_each_class(tmp_path: Path) -> None:
    result = run("info", "GunPoint", "--plot", tmp_path / "classes.png")
    assert result.exit_code == 0
    for text in ("50 training and 150 test cases, 2 classes", "accuracy 0.9133", "cite: H. A. Dau", "SHA-256 f842401"):
        assert text in result.output
    assert result.output.count("█") > 10
    assert (tmp_path / "classes.png").read_bytes()[1:4] == b"PNG"


def test_info_of_a_set_that_is_not_available_comes_from_the_catalogue() -> None:
    result = run("info", "CharacterTrajectories")
    assert result.exit_code == 0
    assert "3 channels, 60 to 182 time steps" in result.output
    assert "not available; `tsbench datasets download CharacterTrajectories` fetches it" in result.output
    assert run("info", "CharacterTrajectories", "--plot", "x.png").exit_code == 2


def test_info_of_what_nobody_knows_is_refused() -> None:
    result = run("info", "GunPiont")
    assert (result.exit_code, result.output) == (
        2,
        "data set 'GunPiont' is neither in the catalogue nor available; did you mean 'GunPoint'?\n",
    )


def test_a_picture_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    result = run("info", "GunPoint", "--plot", tmp_path / "no" / "x.png")
    assert result.exit_code == 2
    assert result.output.endswith("x.png: cannot be written: No such file or directory\n")
    result = run("info", "GunPoint", "--plot", tmp_path / "x.docx")
    assert result.exit_code == 2
    assert "x.docx: Format 'docx' is not supported" in result.output


# --- download


def test_what_is_available_is_not_downloaded() -> None:
    result = run("download", "GunPoint", "BasicMotions")
    assert result.exit_code == 0
    assert ", 2 available before, 0 failed." in result.output


@pytest.mark.parametrize("name", ["../../etc", "a/b", "/etc", "..", ".hidden"])
def test_no_name_leads_out_of_the_archive(name: str, tmp_path: Path) -> None:
    for command in ("download", "info", "verify"):
        result = run(command, name)
        assert result.exit_code == 2
        assert f"{name!r} is not a valid data set name: it may hold letters" in result.output
    assert [path.name for path in tmp_path.iterdir()] in ([], ["cache"])


# --- verify


def test_sound_files_are_recorded_and_verified(tmp_path: Path) -> None:
    put(tmp_path / "own")
    first = run("verify", "Pumps", "--archive", tmp_path / "own")
    assert first.output == "1 data set read, 0 with problems; 2 files recorded as they are now\n"
    again = run("verify", "Pumps", "--archive", tmp_path / "own")
    assert again.output == "1 data set read, 0 with problems; 0 files recorded as they are now\n"


def test_a_change_is_found_though_size_and_time_are_the_same_and_may_be_accepted(tmp_path: Path) -> None:
    import os

    file = put(tmp_path / "own") / "Pumps_TRAIN.ts"
    archive = ("--archive", tmp_path / "own")
    run("verify", "Pumps", *archive)
    about = file.stat()
    text = file.read_text()
    file.write_text(text[:-4] + ("1" if text[-4] != "1" else "2") + text[-3:])
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    result = run("verify", *archive)
    assert result.exit_code == 1
    assert f"{file}: has changed since it was first read (SHA-256 " in result.output
    assert run("verify", "Pumps", "--accept", *archive).exit_code == 0
    assert run("verify", "Pumps", *archive).exit_code == 0


def test_files_that_are_not_the_catalogues_are_reported(tmp_path: Path) -> None:
    put(tmp_path / "own", "Beef")
    result = run("verify", "Beef", "--archive", tmp_path / "own")
    assert result.exit_code == 1
    assert "training cases: 12 here, 30 in the catalogue" in result.output
    assert "channels: 2 here, 1 in the catalogue" in result.output


# --- check


def test_check_tells_what_a_file_holds(tmp_path: Path) -> None:
    train, test = make_cases(cases=30, seed=1), make_cases(cases=10, seed=2)
    test.values[4] = train.values[9]
    train.values[3, 0, 2] = np.nan
    write_csv(tmp_path / "train.csv", train)
    write_csv(tmp_path / "test.csv", test)
    columns = ("--case", "id", "--time", "t", "--label", "y")
    result = run("check", tmp_path / "train.csv", tmp_path / "test.csv", *columns, "--plot", tmp_path / "x.png")
    assert result.exit_code == 0
    assert "leakage: 1 case of the test split is in the training split too" in result.output
    assert "1 missing value of the train split (0.28%); see preprocessing.missing" in result.output
    assert (tmp_path / "x.png").stat().st_size > 2000
    one = run("check", tmp_path / "test.csv", *columns, "--channels", "x1")
    assert "No problems found." in one.output
    assert any(line.split() == ["channels", "1"] for line in one.output.splitlines())


def test_check_takes_an_available_data_set() -> None:
    result = run("check", "GunPoint")
    assert result.exit_code == 0
    assert "24 to 26" in result.output


def test_check_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    result = run("check", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert result.output == (
        f"--case: {tmp_path}/x.csv has no column 'case'; its columns are: a, b\n"
        f"--label: {tmp_path}/x.csv has no column 'label'; its columns are: a, b\n"
    )
    (tmp_path / "empty.csv").touch()
    assert run("check", tmp_path / "empty.csv").output == f"{tmp_path}/empty.csv: the file is empty\n"
    of_two = run("check", tmp_path / "x.csv", tmp_path / "none.csv", "--case", "a", "--label", "bb")
    assert of_two.output == (
        f"--label: {tmp_path}/x.csv has no column 'bb'; did you mean 'b'?\n"
        f"{tmp_path}/none.csv: file not found; paths of own data are relative to the current folder\n"
    )
    assert run("check", tmp_path / "none.csv").exit_code == 2
    assert run("check", "x.csv", "--format", "excel").output.startswith("--format: expected one of auto, ts, arff, ucr")
