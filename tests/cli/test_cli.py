import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import run, tsbench
from tests.conftest import RECIPE
from tests.processes import TSBENCH, finish, start, wait_for
from tsbench.cli.app import VERBS
from tsbench.recipe.space import DEFAULT_SPACE
from tsbench.tracking import names
from tsbench.tracking.store import Store

Write = Callable[..., Path]


def test_help_names_every_verb() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in result.output
        assert run(verb, "--help").exit_code == 0


def test_version() -> None:
    from tsbench import __version__

    assert run("--version").output == f"tsbench {__version__}\n"


def test_search_ends_with_the_table_and_the_line_that_opens_mlflow(
    searched: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = searched
    assert done.returncode == 0, done.stderr
    for title in ("classifier", "cv accuracy", "test accuracy", "balanced accuracy", "fit seconds", "network", "dummy"):
        assert title in done.stdout
    assert "Browse it in MLflow: tsbench ui tiny.yaml\n" in done.stdout
    (run,) = re.findall(
        r"^Predict with the network of ItalyPowerDemand: tsbench predict (\w+) FILE$", done.stdout, re.M
    )
    assert Store(f"sqlite:///{folder}/mlflow.db").run(run).tags[names.ROLE] == "model"
    assert "Accuracy on the archive's own split." in done.stdout
    assert "ItalyPowerDemand: searching, 1/4 trials, best cv accuracy" in done.stdout
    last = [line for line in done.stdout.splitlines() if "4/4 trials, best cv accuracy" in line][-1]
    assert "ItalyPowerDemand: done, 4/4 trials" in last
    assert "left" not in last
    assert "Traceback" not in done.stderr


def test_compare_reads_what_search_recorded(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = searched
    by_name = tsbench("compare", "tiny", "--format", "json", cwd=folder)
    assert by_name.returncode == 0, by_name.stderr
    tree = json.loads(by_name.stdout)
    assert tree["datasets"] == ["ItalyPowerDemand"]
    assert tree["classifiers"] == ["network", "dummy"]
    assert tree["accuracy"]["ItalyPowerDemand"]["dummy"] == 0.49854227405247814
    assert set(tree["rank"]) == {"network", "dummy"}
    assert tree["missing"] == []
    by_recipe = tsbench("compare", "tiny.yaml", "--format", "json", cwd=folder)
    assert json.loads(by_recipe.stdout) == tree
    alone = tsbench("compare", "--format", "csv", cwd=folder)
    assert alone.stdout.startswith("dataset,network,dummy\nItalyPowerDemand,")


def test_compare_in_every_format(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = searched
    uri = f"sqlite:///{folder}/mlflow.db"
    for format_ in ("table", "csv", "json", "markdown"):
        result = run("compare", "tiny", "--tracking-uri", uri, "--format", format_)
        assert result.exit_code == 0
        assert "ItalyPowerDemand" in result.output
    assert run("compare", "tiny", "--tracking-uri", uri, "--format", "xml").exit_code == 2


def test_compare_of_an_unknown_name_and_of_no_store(
    searched: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = searched
    unknown = run("compare", "nobody", "--tracking-uri", f"sqlite:///{folder}/mlflow.db")
    assert unknown.exit_code == 2
    assert "has no experiment 'nobody'; existing experiments: tiny" in unknown.output
    absent = run("compare", "tiny", "--tracking-uri", f"sqlite:///{tmp_path}/none.db")
    assert absent.exit_code == 2
    assert "there is no MLflow store at" in absent.output
    assert not (tmp_path / "none.db").exists()


def test_a_wrong_recipe_is_reported_whole_with_exit_code_2(recipe_file: Write) -> None:
    path = recipe_file(("trials: 4", "trails: 4"), ("epochs: 4", "epochs: four"), ("[dummy]", "[dumy]"))
    for verb in ("validate", "search"):
        result = run(verb, path)
        assert result.exit_code == 2
        assert f"{path}:8:19 training.epochs: " not in result.output
        lines = result.output.splitlines()
        assert f"{path}:8:12 training.epochs: expected a whole number, got 'four'" in lines
        assert f"{path}:12:10 search.trails: unknown key; did you mean 'trials'?" in lines
        assert f"{path}:14:13 baselines.0: unknown baseline 'dumy'; did you mean 'dummy'?" in lines
        assert len(lines) == 3


def test_validate_says_what_it_found(recipe_file: Write) -> None:
    path = recipe_file()
    result = run("validate", path)
    assert result.exit_code == 0
    assert result.output == f"{path}: valid; 1 data set, 2 settings searched, 1 baseline\n"
    assert run("validate", path, "--set", "search.trials=-1").exit_code == 2


def test_dry_run_prints_the_plan_and_does_nothing(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file()
    before = sorted(tmp_path.iterdir())
    result = run("search", path, "--dry-run", "--set", "search.trials=30")
    assert result.exit_code == 0
    assert "# 1 study of 30 trials" in result.output
    assert "label_smoothing: 0.1" in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_data_set_that_does_not_exist_is_reported_before_anything_runs(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(
        ("[ItalyPowerDemand]", "[ItalyPowerDemandd, GunPint]"), ("name: tiny", f"name: tiny\narchive: {tmp_path}/a")
    )
    result = run("search", path)
    assert result.exit_code == 2
    assert (
        f"put ItalyPowerDemandd_TRAIN.ts and ItalyPowerDemandd_TEST.ts into {tmp_path}/a/ItalyPowerDemandd"
        in result.output
    )
    assert "did you mean 'ItalyPowerDemand'?" in result.output
    assert "did you mean 'GunPoint'?" in result.output
    assert not (tmp_path / ".tsbench").exists()


def test_a_data_set_that_cannot_be_downloaded_ends_the_search_before_anything_runs(
    recipe_file: Write, tmp_path: Path
) -> None:
    path = recipe_file(("[ItalyPowerDemand]", "[FordA, FordB]"), ("name: tiny", f"name: tiny\narchive: {tmp_path}/a"))
    result = run("search", path)
    assert result.exit_code == 2
    assert f"Put FordA_TRAIN.ts and FordA_TEST.ts into {tmp_path}/a/FordA" in result.output
    assert "Not available either, and not tried (1): FordB" in result.output
    assert not (tmp_path / ".tsbench").exists()


def test_a_failed_cell_ends_with_exit_code_1(recipe_file: Write) -> None:
    path = recipe_file(("float: [1e-3, 1e-1], log: true", "choice: [1.0e+30]"), ("trials: 4", "trials: 1"))
    result = run("search", path, "--set", "training.max_gradient_norm=null")
    assert result.exit_code == 1
    assert "What failed:\n  ItalyPowerDemand: no trial was completed" in result.output
    assert "dummy" in result.output


@pytest.mark.slow
def test_ctrl_c_ends_the_search_with_130_and_it_can_be_continued(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("epochs: 4", "epochs: 300").replace("trials: 4", "trials: 1"))
    process = start([TSBENCH, "search", "tiny.yaml"], tmp_path)
    from tsbench.studies.specification import stored_fingerprint
    from tsbench.studies.study import Study

    folder = tmp_path / ".tsbench" / "tiny" / "ItalyPowerDemand"
    wait_for(lambda: stored_fingerprint(folder) is not None and Study.open(folder).trials().running(), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
    code, _, errors = finish(process, 60)
    assert code == 130
    assert "Interrupted. The same command continues where it stopped." in errors
    assert "Traceback" not in errors
    study = Study.open(folder)
    assert study.trials().running() == []
    assert study.trials().counts()["lost"] == 1
    from tsbench.tracking.store import Store

    store = Store(f"sqlite:///{tmp_path}/mlflow.db")
    assert not [run for run in store.runs("tiny") if run.status == "RUNNING"]
    done = tsbench("search", "tiny.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert study.trials().counts()["complete"] == 1


def server_of_workers(pid: int) -> bool:
    """Whether a search has started what its workers are forked from, which imports for seconds."""
    return any("forkserver" in " ".join(child.cmdline()) for child in psutil.Process(pid).children())


@pytest.mark.skipif(sys.platform != "linux", reason="only there are workers forked from a server")
def test_ctrl_c_while_the_search_starts_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("epochs: 4", "epochs: 300"))
    process = start([TSBENCH, "search", "tiny.yaml"], tmp_path)
    wait_for(lambda: server_of_workers(process.pid), process)
    time.sleep(1)  # so that it is at its imports
    os.killpg(process.pid, signal.SIGINT)
    code, _, errors = finish(process, 60)
    assert code == 130
    assert errors.splitlines() in (
        ["Interrupted. The same command continues where it stopped."],
        ["Interrupted before the search started. Run the same command to start it."],
    )


def test_init_writes_a_recipe_that_validates_and_searches_the_default_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "mine").output == "Wrote mine.yaml. Name your data sets in it, then: tsbench search mine.yaml\n"
    assert (tmp_path / "mine.yaml").read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert (tmp_path / "recipe.schema.json").read_text() == run("schema").output
    validated = run("validate", "mine.yaml")
    assert validated.exit_code == 0
    assert f"{len(DEFAULT_SPACE)} settings searched" in validated.output
    again = run("init", "mine")
    assert again.exit_code == 2
    assert "mine.yaml: this file already exists" in again.output
    assert run("init", "not/there").exit_code == 2
    assert run("init", "two words").exit_code == 2


def test_a_recipe_with_every_line_of_the_template_given_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the template says of defaults is what the schema has."""
    from tsbench.recipe.loading import load_recipe
    from tsbench.recipe.schema import HyperparameterConfig
    from tsbench.recipe.template import template

    text = template("mine").replace("space: default", "space: {}")
    head, _, rest = text.partition("# Fixed values.")
    fixed, _, tail = rest.partition("\nspace:")
    lines = [line.removeprefix("# ") for line in fixed.splitlines()[1:] if line.startswith("# ")]
    path = tmp_path / "mine.yaml"
    path.write_text(head + "\n".join(lines) + "\nspace:" + tail)
    assert "hidden_size: 32" in path.read_text()
    assert load_recipe(path).recipe.hyperparameters == HyperparameterConfig()


def test_the_quickstart_is_written_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tsbench.recipe.loading import load_recipe

    monkeypatch.chdir(tmp_path)
    assert run("init", "--quickstart").output == "Wrote quickstart.yaml. Run it: tsbench search quickstart.yaml\n"
    assert run("init", "mine", "--quickstart").exit_code == 0
    original = load_recipe(Path(__file__).parents[2] / "recipes" / "quickstart.yaml").recipe
    assert load_recipe("quickstart.yaml").recipe == original
    assert load_recipe("mine.yaml").recipe == original.model_copy(update={"name": "mine"})
    assert "recipes/" not in Path("mine.yaml").read_text()
    assert run("init", "--quickstart").exit_code == 2


def test_schema_is_json_schema_of_the_whole_tree() -> None:
    tree = json.loads(run("schema").output)
    assert tree["$schema"].startswith("https://json-schema.org/")
    assert tree["required"] == ["name", "datasets"]
    assert tree["additionalProperties"] is False
    assert tree["$defs"]["SearchConfig"]["properties"]["trials"]["description"].startswith("trials of a study")


def test_datasets_lists_what_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("datasets")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert rows["GunPoint"][1:6] == ["50", "150", "1", "150", "2"]
    assert rows["JapaneseVowels"][1:8] == ["270", "370", "12", "7", "to", "29", "9"]
    assert "Tecator" not in rows  # regression
    assert f"Other data sets are downloaded into {tmp_path}/datasets/archive" in result.output


def imported_by(*arguments: str) -> set[str]:
    """Top-level modules that a command has imported when it ends."""
    script = (
        "import sys, contextlib, io\n"
        "from tsbench.cli import app\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    app({list(arguments)!r})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("verbs", [[], ["datasets"]])
def test_summaries_of_commands_fit_into_80_columns(verbs: list[str]) -> None:
    done = subprocess.run(
        [TSBENCH, *verbs, "--help"], env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True
    )
    commands = done.stdout.partition("Commands:\n")[2].splitlines()
    assert len(commands) >= 5
    for line in commands:
        assert line.endswith("."), line  # a sentence to its end
        assert not line.endswith("..."), line


def test_users_read_no_row_numbers_of_the_networks_description() -> None:
    texts = [run("schema").output, *(run(verb, "--help").output for verb in VERBS)]
    for text in texts:
        assert not re.search(r"\brows? N\d|\bN\d+\b", text)


HEAVY = {"torch", "mlflow", "optuna", "sktime", "aeon", "sklearn", "pandas", "scipy", "matplotlib", "numba", "numpy"}


def test_help_and_validate_import_nothing_heavy(recipe_file: Write) -> None:
    assert not imported_by("--help") & (HEAVY | {"pydantic", "ruamel"})
    assert not imported_by("validate", str(recipe_file())) & HEAVY
    assert not imported_by("schema") & HEAVY


def test_neither_the_supervisor_nor_reading_results_imports_torch() -> None:
    rooms = "tsbench.comparisons.report, tsbench.comparisons.results, tsbench.data.archive, tsbench.bench.run"
    script = f"import sys, {rooms}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_value_that_is_no_choice_is_refused_with_the_choices() -> None:
    result = run("compare", "--metric", "acc")
    assert result.exit_code == 2
    assert "Error: Invalid value for '--metric': 'acc' is not one of 'accuracy', " in result.output
