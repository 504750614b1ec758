"""`tsbench fit`, and what the other verbs make of the model that it leaves."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import run, tsbench
from tsbench.api.fitting import recipe_of
from tsbench.api.sources import load_with_data
from tsbench.bench.plan import make_plan
from tsbench.cli.fit import write_recipe
from tsbench.data.archive import Archive
from tsbench.errors import RecipeError
from tsbench.models.reopening import open_model
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

Fitted = tuple[Path, subprocess.CompletedProcess[str]]
MEMBERS = "\nbaselines: []\nauto: {time_limit: 2 min, members: [1nn-ed, quant, dummy]}\n"


@pytest.fixture(scope="module")
def pumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 40 labelled cases of two channels."""
    folder = tmp_path_factory.mktemp("fit")
    generator = np.random.default_rng(0)
    steps = np.arange(30)
    rows = []
    for case in range(40):
        state = ("fine", "worn")[case % 2]
        flow = np.sin(steps * (0.4 if state == "fine" else 0.7)) + 0.2 * generator.normal(size=30)
        heat = generator.normal(size=30)
        rows.append(pd.DataFrame({"pump": case, "minute": steps, "flow": flow, "heat": heat, "state": state}))
    pd.concat(rows).to_csv(folder / "pumps.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def fitted(pumps: Path) -> Fitted:
    """Three members of `auto` fitted on the table, by a recipe as `tsbench fit` writes it."""
    (pumps / "voted.yaml").write_text(
        "name: voted\ndatasets:\n- {name: pumps, file: pumps.csv, label: state, case: pump, time: minute}" + MEMBERS
    )
    return pumps, tsbench("search", "voted.yaml", cwd=pumps)


@pytest.fixture(scope="module")
def runs(fitted: Fitted) -> dict[str, RunRecord]:
    """The runs by role, or by the member's name."""
    found = Store(f"sqlite:///{fitted[0]}/mlflow.db").runs("voted")
    return {
        record.name.removeprefix("pumps ")
        if record.tags[names.ROLE] != "member"
        else record.tags[names.CLASSIFIER]: record
        for record in found
    }


@pytest.mark.slow
def test_fit_writes_a_recipe_that_does_the_same_and_ends_with_the_leaderboard(pumps: Path) -> None:
    options = ("--label", "state", "--case", "pump", "--time", "minute", "--preset", "quick", "--time-limit", "25s")
    done = tsbench("fit", "pumps.csv", *options, cwd=pumps)
    assert done.returncode == 0, done.stderr
    assert "Wrote fit-pumps.yaml." in done.stdout
    assert "auto" in done.stdout
    assert "tsbench predict" in done.stdout
    again = tsbench("search", "fit-pumps.yaml", cwd=pumps)
    assert again.returncode == 0, again.stderr
    assert "tsbench predict" in again.stdout or "auto" in again.stdout


def test_a_recipe_of_fit_is_replaced_if_the_limit_alone_is_another_and_nobody_edited_it(
    pumps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pumps)
    path = Path("own.yaml")

    def tree(limit: str, channels: list[str]) -> dict[str, Any]:
        given = {"label": "state", "case": "pump", "channels": channels}
        return recipe_of("pumps.csv", None, given, None, time_limit=limit, preset="quick", name="own")

    for limit in ("60s", "90s", "90s"):
        assert write_recipe(path, tree(limit, ["flow", "heat"])) == path
        assert f"time_limit: {limit}" in path.read_text()
    written = path.read_text()
    with pytest.raises(
        RecipeError, match=r"own\.yaml already exists with other content; choose another name by --name"
    ):
        write_recipe(path, tree("90s", ["flow"]))
    for edited in (written + "# mine\n", "what", "[1"):
        path.write_text(edited)
        with pytest.raises(RecipeError, match="already exists with other content"):
            write_recipe(path, tree("120s", ["flow", "heat"]))
        assert path.read_text() == edited


def test_members_are_recorded_with_their_reasons(fitted: Fitted, runs: dict[str, RunRecord]) -> None:
    folder, done = fitted
    assert done.returncode == 0, done.stderr
    auto = runs["auto"]
    assert auto.tags[names.STATE] == "complete"
    assert auto.metrics["test_accuracy"] > 0.7
    assert 0 <= auto.metrics["test_coverage_90"] <= 1
    store = Store(f"sqlite:///{folder}/mlflow.db")
    board = pd.read_csv(pd.io.common.StringIO(store.artifacts.read_text(auto.run_id, names.LEADERBOARD)))
    assert board["member"][0] == "auto"
    assert set(board["member"]) == {"auto", "1nn-ed", "quant", "dummy"}
    weights = board.set_index("member")["weight"].fillna(0)
    assert weights["quant"] > 0
    assert weights["dummy"] == 0
    assert "chance" in board.set_index("member")["note"]["dummy"]


def test_auto_is_compared_predicted_from_and_reproduced(
    fitted: Fitted, runs: dict[str, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = fitted
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    shown = run("compare", "voted", "--tracking-uri", uri)
    assert shown.exit_code == 0, shown.output
    assert "auto" in shown.output
    predicted = run("predict", runs["auto"].run_id, folder / "pumps.csv", "--tracking-uri", uri)
    assert predicted.exit_code == 0, predicted.output
    assert predicted.output.splitlines()[0].startswith("case,label")
    columns = open_model(Store(uri), runs["auto"].run_id).examples.columns
    assert columns is not None
    assert columns.channels == ("flow", "heat")
    again = run("reproduce", runs["auto"].run_id, "--tracking-uri", uri)
    assert again.exit_code == 0, again.output
    assert "values agree to the bit" in again.output


def test_a_vote_that_the_time_cut_short_is_not_reproduced(
    fitted: Fitted, runs: dict[str, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = fitted
    monkeypatch.chdir(folder)
    store = Store(f"sqlite:///{folder}/mlflow.db")
    kept = store.artifacts.read_text(runs["auto"].run_id, names.CANDIDATES)
    store.artifacts.write_text(
        runs["auto"].run_id, kept.replace('"cut_short": []', '"cut_short": ["quant"]'), names.CANDIDATES
    )
    refused = run("reproduce", runs["auto"].run_id, "--tracking-uri", f"sqlite:///{folder}/mlflow.db")
    assert refused.exit_code in (1, 2)
    assert "the time or the memory did not suffice for all fits of quant" in refused.output
    assert len(refused.output.splitlines()) == 1


def test_channels_may_be_named(pumps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pumps)
    given = {"label": "state", "case": "pump", "time": None, "channels": ("flow",)}
    tree = recipe_of("pumps.csv", None, given, None, time_limit="60s", preset="quick", name="named")
    assert tree["datasets"][0]["channels"] == ["flow"]
    plan = make_plan(load_with_data(tree), dry=True)
    assert plan.load(plan.cells[0]).train.channels == 1


def test_what_cannot_be_fitted_ends_in_a_sentence(pumps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pumps)
    for arguments, sentence in (
        (("none.csv",), "none.csv: file not found"),
        (("GunPoint", "--label", "state"), "--label: only for files, and GunPoint is a data set's name"),
        (("GunPont",), "no data set in the catalogue or the folders is called 'GunPont'; did you mean 'GunPoint'?"),
        (
            ("pumps.csv", "--label", "stat", "--case", "pump", "--name", "a"),
            f"--label: {pumps}/pumps.csv has no column 'stat'; did you mean 'state'?",
        ),
        (
            (
                "pumps.csv",
                "--label",
                "state",
                "--case",
                "pump",
                "--name",
                "a",
                "--channels",
                "flow",
                "--channels",
                "hat",
            ),
            f"--channels: {pumps}/pumps.csv has no column 'hat'; did you mean 'heat'?",
        ),
        (
            ("pumps.csv", "--label", "state", "--case", "pump", "--name", "b", "--preset", "gold"),
            "--preset: expected one of quick, good, best, got 'gold'",
        ),
        (
            ("pumps.csv", "--label", "state", "--case", "pump", "--name", "c", "--time-limit", "soon"),
            "--time-limit: expected a duration such as '90 s', '3 min' or '2 h', got 'soon'",
        ),
        (("GunPoint", "--name", "a b"), "--name: may hold letters, digits, '-', '_' and '.', and must begin with"),
    ):
        result = run("fit", *arguments)
        assert result.exit_code == 2, result.output
        assert result.output.startswith(sentence)
        assert not Path("a.yaml").exists()
    table = pd.read_csv("pumps.csv")
    few = {
        "one": table.assign(state="fine"),
        "alone": table.assign(state=table.state.where(table.pump != 7, "broken")),
        "each": table.assign(state=table.pump.map("pump {}".format)),
        "many": table.assign(state=table.pump.map(lambda pump: f"pump {pump // 2}")),
    }
    for (what, cases), sentence in zip(
        few.items(),
        (
            "all 28 training cases have the same label 'fine'",
            "class 'broken' has a single case, so no stratified split has it in both parts; give a test file, more",
            "40 of 40 classes have a single case, so no stratified split",
            "12 test cases cannot be of all 20 classes, as a stratified split demands; give a test file",
        ),
        strict=True,
    ):
        cases.to_csv(f"{what}.csv", index=False)
        result = run("fit", f"{what}.csv", "--label", "state", "--case", "pump")
        assert result.exit_code == 2, result.output
        assert sentence in result.output
        assert not Path(f"fit-{what}.yaml").exists()
    assert Archive().locate("GunPoint") is not None
