import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.comparisons.conftest import Log
from tsbench.cli import app
from tsbench.comparisons.plots import PICTURES
from tsbench.tracking import names
from tsbench.tracking.store import Store

DATASETS = ("ArrowHead", "Beef", "Car", "GunPoint", "Ham", "Meat", "Plane")
CHOSEN = "network,minirocket,dummy,HC2"


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *(str(argument) for argument in arguments)])


@pytest.fixture
def store(store_uri: str) -> Store:
    return Store(store_uri)


@pytest.fixture(scope="module")
def filled(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with seven data sets in `small`: the network a little better than MiniROCKET, and much than dummy."""
    path = tmp_path_factory.mktemp("filled") / "mlflow.db"
    shutil.copy(migrated_database, path)
    log = Log(Store(f"sqlite:///{path}"))
    for number, dataset in enumerate(DATASETS):
        for classifier, lead in (("network", 0.02), ("minirocket", 0.01 + number / 1000), ("dummy", -0.3)):
            log(dataset, classifier, 0.9 + lead, metrics={"fit_seconds": 1.0 + number})
    return path


@pytest.fixture
def log(filled: Path, store_uri: str) -> Log:
    """The test's own copy of that store, and what writes more into it."""
    with closing(sqlite3.connect(filled)) as source, closing(sqlite3.connect(store_uri[len("sqlite:///") :])) as copy:
        source.backup(copy)  # a file's copy would lack what is in its log yet
    more = Log(Store(store_uri))
    more.begun += 1000
    return more


def tree_of(result: Result) -> dict:  # type: ignore[type-arg]
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_the_table_is_followed_by_standings_sentence_and_protocol(log: Log, store_uri: str) -> None:
    result = compare("small", "--tracking-uri", store_uri)
    assert result.exit_code == 0
    text = result.output
    assert "Test accuracy: small" in text
    assert "Over 7 data sets, against network (Wilcoxon, Holm)" in text
    assert "network is better than minirocket on 7 of 7 data sets (ties: 0), by 0.0070 on average" in text
    assert text.rstrip().endswith("Accuracy on the archive's own split.")


def test_published_figures_stand_beside_ours(log: Log, store_uri: str) -> None:
    options = ("--reference", "published", "--classifiers", "network,hc2,MiniROCKET", "--format", "json")
    tree = tree_of(compare("small", "--tracking-uri", store_uri, *options))
    assert tree["classifiers"] == ["network", "HC2 (published)", "MiniROCKET (published)"]
    assert tree["accuracy"]["ArrowHead"]["HC2 (published)"] == 0.868571
    assert tree["published"]["HC2 (published)"].startswith("Middlehurst et al. 2024")
    assert tree["statistics"]["datasets"] == list(DATASETS)


def test_published_figures_alone_need_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--reference", "published", "--datasets", "ucr-112", "--resamples", "30", "--format", "json")
    tree = tree_of(compare(*options))
    ranks = tree["rank"]
    assert sorted(ranks, key=ranks.__getitem__)[:3] == [
        "HC2 (published)",
        "MultiROCKET-Hydra (published)",
        "MultiROCKET (published)",
    ]
    assert len(tree["statistics"]["pairs"]) == 190
    assert tree["protocol"] == "mean accuracy over 30 resamples of each data set"
    assert list(tmp_path.iterdir()) == []


def test_published_figures_alone_are_of_one_collection_and_the_others_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = tree_of(compare("--reference", "published", "--format", "json"))
    assert (len(tree["datasets"]), len(tree["classifiers"])) == (112, 31)
    assert tree["protocol"] == "accuracy on the archive's own split"
    assert (
        "No data sets were named, so these are the 112 of ucr-112, the collection with the most published scores: 31 "
        "classifiers on all of it. Others: --datasets ucr (128 data sets, 16 classifiers), --datasets ucr-85 "
        "(85 data sets, 33 classifiers), --datasets uea (30 data sets, 7 classifiers), --datasets uea-26 "
        "(26 data sets, 13 classifiers), --datasets ucr-142 (142 data sets, 7 classifiers)."
    ) in tree["notes"]
    assert tree["statistics"]["left_out"] == []
    others = tree_of(compare("--reference", "published", "--datasets", "uea-26", "--format", "json"))
    assert (len(others["datasets"]), len(others["classifiers"])) == (26, 13)


def test_another_metric_is_compared_from_the_table_to_the_exit_code(log: Log, store_uri: str, tmp_path: Path) -> None:
    for dataset in DATASETS:
        for classifier, loss in (("network", 0.3), ("minirocket", 0.2)):
            log(dataset, classifier, 0.9, metrics={"test_log_loss": loss})
    options = ("small", "--tracking-uri", store_uri, "--metric", "log_loss", "--classifiers", "network,minirocket")
    worse = compare(*options, "--fail-if-worse-than", "minirocket", "--report", tmp_path / "report.html")
    assert worse.exit_code == 1
    assert "Test log loss: small" in worse.output
    assert "minirocket is better than network on 7 of 7 data sets (ties: 0), by 0.1000 in log loss" in worse.output
    assert "network is worse than minirocket by more than 0: mean log loss +0.1000 over 7 data sets." in worse.output
    assert "Log loss on the archive&#39;s own split." in (tmp_path / "report.html").read_text()
    allowed = compare(*options, "--fail-if-worse-than", "minirocket", "--margin", "1.5")
    assert allowed.exit_code == 0
    refused = compare(*options, "--reference", "published")
    assert refused.exit_code == 2
    assert "--metric log_loss: published scores exist for accuracy only" in refused.output


def test_an_experiment_or_data_sets_without_results_are_named(log: Log, store: Store, store_uri: str) -> None:
    store.experiment("removed")
    both = compare("small", "removed", "--tracking-uri", store_uri)
    assert both.exit_code == 0
    assert "removed has no results." in both.output
    nowhere = compare("small", "--tracking-uri", store_uri, "--datasets", "Nowhere")
    assert nowhere.exit_code == 2
    assert nowhere.output == f"small has no result on these data sets; it has: {', '.join(DATASETS)}\n"
    beside = compare("removed", "--tracking-uri", store_uri, "--reference", "published", "--datasets", "Beef")
    assert beside.exit_code == 0
    assert "removed has no results" in beside.output
    assert "Only the references are shown." in beside.output


def test_files_of_one_name_are_distinguished(log: Log, store_uri: str, tmp_path: Path) -> None:
    files = [tmp_path / folder / "others.csv" for folder in ("a", "b")]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(f"dataset,X\nBeef,0.{number + 1}\n")
    options = [part for file in files for part in ("--reference", file)]
    tree = tree_of(compare("small", "--tracking-uri", store_uri, *options, "--format", "json"))
    assert [tree["accuracy"]["Beef"][f"X ({file})"] for file in files] == [0.1, 0.2]


def test_a_file_of_others_is_read_whatever_the_case_of_its_data_sets(log: Log, store_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "others.csv"
    file.write_text("dataset,Ours-2\narrowhead,0.5\nBEEF,0.6\n")
    options = ("--reference", file, "--datasets", "arrowhead,beef", "--format", "json")
    tree = tree_of(compare("small", "--tracking-uri", store_uri, *options))
    assert tree["datasets"] == ["ArrowHead", "Beef"]
    assert tree["accuracy"]["Beef"]["Ours-2 (others.csv)"] == 0.6


def test_a_wrong_file_is_reported_with_its_lines_and_exit_code_2(log: Log, store_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "others.csv"
    file.write_text("dataset,classifier,accuracy\nA,X,0.5\nA,X,0.5\n")
    result = compare("small", "--tracking-uri", store_uri, "--reference", file)
    assert result.exit_code == 2
    assert result.output == f"{file}:3: X on A has a score in line 2 already\n"


def test_several_experiments_are_compared_with_their_networks_apart(log: Log, store: Store, store_uri: str) -> None:
    other = Log(store, "other")
    for dataset in DATASETS:
        other(dataset, "network", 0.95)
        other(dataset, "minirocket", 0.5)  # the newest counts
    both = tree_of(compare("small", "other", "--tracking-uri", store_uri, "--format", "json"))
    assert both["classifiers"] == ["network@small", "network@other", "minirocket", "dummy"]
    assert both["control"] == "network@other"
    every = tree_of(compare("--all", "--tracking-uri", store_uri, "--format", "json"))
    assert set(every["classifiers"]) == set(both["classifiers"])
    unnamed = compare("--tracking-uri", store_uri)
    assert unnamed.exit_code == 2
    assert "which experiment? The store holds" in unnamed.output
    assert "name one of them, or --all" in unnamed.output


def test_the_report_and_the_pictures_are_written(log: Log, store_uri: str, tmp_path: Path) -> None:
    page, folder = tmp_path / "new" / "report.html", tmp_path / "figures"
    result = compare("small", "--tracking-uri", store_uri, "--report", page, "--plots", folder, "--nemenyi")
    assert result.exit_code == 0, result.output
    assert "network is better than minirocket on 7 of 7 data sets" in page.read_text(encoding="utf-8")
    drawn = set(PICTURES) - {"resample_boxes"}
    assert {file.name for file in folder.iterdir()} == {f"{name}.{form}" for name in drawn for form in ("png", "svg")}
    assert f"Wrote {len(drawn) * 2} plots into {folder}." in result.output


def test_a_report_that_cannot_be_written_says_so(log: Log, store_uri: str, tmp_path: Path) -> None:
    result = compare("small", "--tracking-uri", store_uri, "--report", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path}: cannot be written: Is a directory" in result.output


def test_log_puts_all_of_it_on_a_run_that_is_no_result(log: Log, store: Store, store_uri: str) -> None:
    before = tree_of(compare("small", "--tracking-uri", store_uri, "--format", "json"))
    result = compare("small", "--tracking-uri", store_uri, "--log", "--reference", "published", "--classifiers", CHOSEN)
    assert result.exit_code == 0, result.output
    (run,) = [recorded for recorded in store.runs("small") if recorded.tags.get(names.ROLE) == "comparison"]
    assert run.status == "FINISHED"
    assert run.metrics["average_rank/network"] < run.metrics["average_rank/dummy"]
    assert 0 <= run.metrics["p_holm_against_control/HC2 published"] <= 1
    assert run.params["protocol"] == "accuracy on the archive's own split"
    files = {artifact.path for artifact in store.client.list_artifacts(run.run_id)}
    assert files == {"accuracy.csv", "comparison.json", "comparison.md", "comparison.tex", "pictures", "report.html"}
    assert json.loads(store.artifacts.read_text(run.run_id, "comparison.json"))["control"] == "network"
    assert tree_of(compare("small", "--tracking-uri", store_uri, "--format", "json")) == before


def test_the_page_tells_the_versions_and_digests_of_the_searches(
    log: Log, store: Store, store_uri: str, tmp_path: Path
) -> None:
    for digest in ("aa" * 32, "bb" * 32):
        tags = {names.ROLE: "search", names.DATASET: "Beef", "tsbench.sha256.Beef_TRAIN.ts": digest}
        run = store.begin(log.experiment, "Beef", {**tags, "mlflow.source.git.commit": "c0ffee"})
        store.artifacts.write_text(run, json.dumps({"tsbench": "9.9", "torch": "2.99"}), "versions.json")
    compare("small", "--tracking-uri", store_uri, "--report", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("torch 2.99", "in 2 searches of 2", "aa" * 32, "bb" * 32, "differs between searches", "c0ffee"):
        assert text in page
    assert "<code>mlflow.db</code>" in page
    assert str(tmp_path) not in page  # the page is for others


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (
            ("minirocket",),
            0,
            "network is not worse than minirocket by more than 0: mean accuracy +0.0070 over 7 data sets.",
        ),
        (("dummy", "--control", "minirocket"), 0, "minirocket is not worse than dummy by more than 0"),
        (("network", "--control", "dummy"), 1, "dummy is worse than network by more than 0: mean accuracy -0.3200"),
        (("network", "--control", "minirocket"), 1, "minirocket is worse than network by more than 0"),
        (("network", "--control", "minirocket", "--margin", "0.01"), 0, "minirocket is not worse than network"),
        (("minirokcet",), 2, "classifier 'minirokcet' has no result here; did you mean 'minirocket'?"),
    ],
)
def test_it_fails_where_the_control_is_worse_by_more_than_the_margin(
    log: Log, store_uri: str, options: tuple[str, ...], code: int, sentence: str
) -> None:
    result = compare("small", "--tracking-uri", store_uri, "--fail-if-worse-than", *options)
    assert result.exit_code == code
    assert sentence in result.output


def test_without_anything_to_compare_it_says_what_is_missing(store: Store, store_uri: str) -> None:
    empty = compare("--tracking-uri", store_uri)
    assert empty.exit_code == 2
    assert "there is nothing to compare: the store holds no experiment yet" in empty.output
    log = Log(store)
    nothing = compare("small", "--tracking-uri", store_uri)
    assert nothing.exit_code == 2
    assert nothing.output == (
        "small has no results: nothing was scored yet, or its runs were removed; start a search with "
        "`tsbench search RECIPE`\n"
    )
    log("Beef", "network", state=None, status="RUNNING")
    log("Car", "network", state="failed", status="FAILED", reason="no memory")
    unfinished = compare("small", "--tracking-uri", store_uri)
    assert unfinished.exit_code == 0
    assert "Missing: network on Beef (running)" in unfinished.output
    assert "Missing: network on Car (failed: no memory)" in unfinished.output
    report = compare("small", "--tracking-uri", store_uri, "--format", "latex")
    assert "\\begin{tabular}" in report.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--reference-only",), "--reference-only needs --reference published or --reference FILE.csv"),
        (("--reference", "published", "--reference-only", "--log"), "--log needs an MLflow experiment"),
        (
            ("--reference", "publisched"),
            "publisched: file not found; --reference takes a CSV file, or `published`",
        ),
        (
            ("--reference", "published", "--classifiers", "HC9"),
            "classifier 'HC9' has no result here; did you mean 'HC2'?",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = compare(*arguments)
    assert result.exit_code == 2
    assert sentence in result.output


def test_resamples_choose_the_protocol(log: Log, store_uri: str) -> None:
    for dataset in DATASETS:
        for resample in (1, 2):
            log(dataset, "network", 0.5, resample=resample)
    default = tree_of(compare("small", "--tracking-uri", store_uri, "--format", "json"))
    assert default["resamples"] == [0, 1, 2]
    assert default["accuracy"]["Beef"] == {"network": pytest.approx((0.92 + 1.0) / 3)}
    archive = tree_of(compare("small", "--tracking-uri", store_uri, "--resamples", "1", "--format", "json"))
    assert archive["protocol"] == "accuracy on the archive's own split"
    assert archive["missing"] == []
