import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import run
from tests.snapshot import snapshot

Write = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a recipe with these lines below its name into a folder of its own, which is the current one."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(*lines: str) -> Path:
        (folder / "r.yaml").write_text("\n".join(["name: r", *lines, ""]))
        return Path("r.yaml")

    return write


def test_every_problem_with_the_data_is_reported_at_once_beside_others(recipe: Write) -> None:
    Path("a.csv").write_text("id,x,y,label\n1,2,3,a\n")
    Path("b.xyz").write_text("1\n")
    Path("empty.ts").touch()
    Path("folder").mkdir()
    path = recipe(
        "datasets:",
        "  - GunPoint",
        "  - GunPiont",
        "  - {name: one, file: none.csv}",
        "  - {name: two, train: a.csv, test: b.xyz, case: id, channels: [x, z]}",
        "  - {name: three, file: a.csv, split: {group: machine}}",
        "  - {name: four, train: empty.ts, test: folder}",
        "  - 'Nothing*'",
        "  - a.csv",
        "training: {epochs: four}",
    )
    result = run("validate", path)
    assert result.exit_code == 2
    here = Path.cwd()
    lines = result.output.splitlines()
    expected = [
        "r.yaml:4:5 datasets.1: no data set in the catalogue or the folders is called 'GunPiont'; did you mean "
        "'GunPoint'? If it is right, put GunPiont_TRAIN.ts and GunPiont_TEST.ts into ",
        f"r.yaml:5:17 datasets.2.file: {here}/none.csv: file not found",
        f"r.yaml:6:31 datasets.3.test: {here}/b.xyz: no format has the suffix '.xyz'",
        f"r.yaml:6:68 datasets.3.channels.1: {here}/a.csv has no column 'z'; its columns are: id, x, y, label",
        f"r.yaml:7:5 datasets.4.case: {here}/a.csv has no column 'case'",
        f"r.yaml:7:40 datasets.4.split.group: {here}/a.csv has no column 'machine'",
        f"r.yaml:8:18 datasets.5.train: {here}/empty.ts: the file is empty",
        f"r.yaml:8:35 datasets.5.test: {here}/folder: is a folder, not a file",
        "r.yaml:9:5 datasets.6: no data set's name matches 'Nothing*'",
        "r.yaml:10:5 datasets.7: 'a.csv' is not the name of a data set; write {name: a, file: a.csv} for a file",
        "r.yaml:11:12 training.epochs: expected a whole number, got 'four'",
    ]
    assert len(lines) == len(expected), result.output
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(beginning), line
    searched = run("search", path)
    assert searched.exit_code == 2
    assert searched.output == result.output


def test_columns_of_a_parquet_file_are_known(recipe: Write) -> None:
    pd.DataFrame({"case": [1], "v": [0.5], "y": ["a"]}).to_parquet("a.parquet")
    path = recipe("datasets: {name: own, file: a.parquet, label: klass}")
    result = run("validate", path)
    assert result.exit_code == 2
    assert "datasets.label: " in result.output
    assert "a.parquet has no column 'klass'; its columns are: case, v, y" in result.output
    assert (
        run("validate", path, "--set", 'datasets=[{"name": "own", "file": "a.parquet", "label": "y"}]').exit_code == 0
    )


def test_what_the_catalogue_has_is_fine_and_named_with_its_size(recipe: Write) -> None:
    result = run("validate", recipe("datasets: [FordA, GunPoint]", "archive: new/sets"))
    assert result.exit_code == 0
    assert result.output == (
        "r.yaml: valid; 2 data sets, 25 settings searched, 3 baselines\n"
        f"will be downloaded into {Path.cwd()}/new/sets:\n"
        "  FordA: 3601 training and 1320 test cases, 1 channel, 500 time steps\n"
    )
    many = run("validate", recipe("datasets: ucr-112", "archive: new/sets"))
    assert "valid; 112 data sets" in many.output
    assert many.output.splitlines()[-1].strip().startswith("and ")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["r.yaml"]


def test_half_a_data_set_and_a_place_that_cannot_be_written_are_reported(recipe: Write) -> None:
    Path("sets/Half").mkdir(parents=True)
    Path("sets/Half/Half_TRAIN.ts").write_text("@data\n")
    Path("file").touch()
    assert "Half_TEST.ts: this file is missing" in run("validate", recipe("datasets: [Half]", "archive: sets")).output
    result = run("validate", recipe("datasets: [FordA]", "archive: file/sets"))
    assert result.exit_code == 2
    assert "r.yaml:3:1 archive: " in result.output
    assert "file is a file, not a folder, so that no data set can be downloaded into" in result.output


def test_a_dry_run_changes_nothing_and_says_what_would_be_downloaded(
    recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSBENCH_CACHE", str(tmp_path / "cache"))
    rows = [f"{case},{step % 7},{'ab'[case % 2]}" for case in range(20) for step in range(9)]
    Path("own.csv").write_text("\n".join(["case,x,label", *rows]))
    path = recipe("datasets: [FordA, GunPoint, {name: own, file: own.csv}]", "archive: sets")
    before = snapshot(tmp_path)
    result = run("search", path, "--dry-run")
    assert result.exit_code == 0, result.output
    assert snapshot(tmp_path) == before
    assert f"# would be downloaded into {Path.cwd()}/sets:\n" in result.output
    assert "#   FordA: 3601 training and 1320 test cases, 1 channel, 500 time steps\n" in result.output
    assert f"# - FordA: {3601 * 500} training values per channel\n" in result.output
    assert f"# - GunPoint: {50 * 150} training values per channel\n" in result.output
    assert f"# - own: {14 * 9} training values per channel\n" in result.output


LONG = "n" * 300


@pytest.mark.parametrize(
    ("lines", "place", "sentence"),
    [
        ((f"datasets: [{LONG}]",), "r.yaml:2:12 datasets.0", "may hold at most 100 characters, as folders are named"),
        ((f"datasets: [{{name: {LONG}, file: x.ts}}]",), "r.yaml:2:13 datasets.0.name", "at most 100 characters"),
        (("datasets: [Lock]",), "r.yaml:2:12 datasets.0", "cannot be 'Lock': tsbench has a file of that name"),
        (("datasets: [{name: listener.json, file: x.ts}]",), "r.yaml:2:13 datasets.0.name", "has a file of that"),
        (("datasets: [A-resample-1]",), "r.yaml:2:12 datasets.0", "cannot end in '-resample-' and a number"),
        (("datasets: [GunPoint, {name: gunpoint, file: r.yaml, format: ts}]",), "r.yaml:2:1 datasets", "only in case"),
        (("datasets: [ucr-112, {name: beef, file: r.yaml, format: ts}]",), "r.yaml:2:21 datasets.1", "only in case"),
    ],
)
def test_names_that_would_not_fit_or_collide_are_refused(
    recipe: Write, lines: tuple[str, ...], place: str, sentence: str
) -> None:
    result = run("validate", recipe(*lines))
    assert result.exit_code == 2
    (line,) = [line for line in result.output.splitlines() if sentence in line]
    assert line.startswith(f"{place}: ")


def test_a_recipes_own_name_has_a_limit_too(recipe: Write) -> None:
    path = recipe("datasets: [GunPoint]")
    assert run("validate", path, "--set", f"name={'n' * 100}").exit_code == 0
    result = run("validate", path, "--set", f"name={LONG}")
    assert (result.exit_code, "name: may hold at most 100 characters" in result.output) == (2, True)
    assert "an experiment of MLflow's own" in run("validate", path, "--set", "name=Default").output
    for verb in (["init", LONG], ["worker", LONG], ["studies", LONG], ["rm", LONG], ["compare", LONG], ["ui", LONG]):
        result = run(*verb)
        assert result.exit_code in (1, 2), verb
        assert isinstance(result.exception, SystemExit), verb


def test_the_longest_names_fit_a_file_system(recipe: Write) -> None:
    from tsbench.bench.plan import folder_of
    from tsbench.recipe.schema import MAX_NAME

    folder = folder_of(Path.cwd(), "n" * MAX_NAME, 99_999)
    assert len(f"{folder.name}.20261231-235959-abcd".encode()) <= 143


def test_commands_in_hints_are_quoted(recipe: Write) -> None:
    Path("my dir").mkdir()
    assert run("init", "my dir/mine").output.endswith("then: tsbench search 'my dir/mine.yaml'\n")


def test_validate_reads_headers_alone(recipe: Write) -> None:
    header = "case,x,label\n"
    with Path("big.csv").open("w") as file:
        file.write(header)
        file.truncate(1 << 33)  # eight gigabytes, of which nothing but the header is on the disk
    path = recipe(f"datasets: [{json.dumps({'name': 'own', 'file': 'big.csv'})}]")
    began = time.process_time()
    assert run("validate", path).exit_code == 0
    assert time.process_time() - began < 3
    os.truncate("big.csv", len(header))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://[::1", "is not an address: Invalid IPv6 URL"),
        ("http://", "names no host"),
        ("http://host:99999", "Port out of range"),
        ("http://host\\n/x", "control characters"),
        ("foo://host", "is not of a kind that MLflow supports"),
        ("mysql+nosuchdriver://host/x", "is not a database's address"),
        ("mysql+cymysql://host/x", "needs the Python package cymysql"),
        ("postgresql+pg8000://host:port/x", "is not a database's address"),
        ("sqlite:///~nosuchuser/x.db", "the name of a user who has no home directory on this machine"),
        ("sqlite:///" + "x" * 5000, "File name too long"),
        ("foo://" + "x" * 5000, "is not of a kind that MLflow supports"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_with_its_place(recipe: Write, uri: str, reason: str) -> None:
    path = recipe("datasets: [GunPoint]", "tracking:", f'  uri: "{uri}"')
    before = snapshot(Path.cwd())
    for command in (("validate",), ("search",), ("search", "--dry-run")):
        result = run(*command, path)
        assert result.exit_code == 2
        assert result.output.startswith("r.yaml:4:3 tracking.uri: ")
        assert reason in result.output
        assert len(result.output) < 500
    assert snapshot(Path.cwd()) == before


def test_a_database_for_trials_that_cannot_be_used_is_refused_with_its_place(recipe: Write) -> None:
    for address in ("postgresql://host:port/x", "postgresql+nosuchdriver://host/x", "postgresql+asyncpg://host/x"):
        result = run("validate", recipe("datasets: [GunPoint]", f'search: {{storage: "{address}"}}'))
        assert result.exit_code == 2
        assert result.output.startswith("r.yaml:3:10 search.storage: ")


@pytest.mark.parametrize("variable", ["TSBENCH_ARCHIVE", "TSBENCH_CACHE"])
def test_a_home_that_does_not_exist_is_named(recipe: Write, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    path = recipe("datasets: [GunPoint]")
    monkeypatch.setenv(variable, "~nosuchuser/x")
    result = run("search", path, "--dry-run")
    assert result.exit_code == 2
    assert f"{variable}: the path '~nosuchuser/x' begins with ~ and the name of a user" in result.output


def test_what_a_launcher_needs_is_checked_with_its_place(recipe: Write) -> None:
    path = recipe("datasets: [GunPoint]", "execution:", "  workers: 2", "  launcher: ray")
    result = run("validate", path)
    assert result.exit_code == 2
    assert result.output.startswith("r.yaml:5:3 execution.launcher 'ray' needs ")


def test_a_device_that_this_machine_lacks_is_refused_with_its_place(recipe: Write) -> None:
    path = recipe("datasets: [GunPoint]", "execution: {device: 'cuda:99'}")
    result = run("search", path, "--dry-run")
    assert result.exit_code == 1
    assert result.output.startswith("r.yaml:3:13 execution.device is 'cuda:99', but torch finds ")
