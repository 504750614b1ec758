"""The Python API: what its docstrings show, and that it is the commands' own path."""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsbench
from tests.cli.conftest import run
from tsbench.errors import RecipeError

DOCUMENTED = [
    "tsbench.api.comparing",
    "tsbench.api.loading",
    pytest.param("tsbench.api.fitting", marks=pytest.mark.slow),
    pytest.param("tsbench.api.searching", marks=pytest.mark.slow),
    pytest.param("tsbench.auto.estimator", marks=pytest.mark.slow),
    "tsbench.classifiers.estimator",
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_of_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 1
    assert result.failed == 0


def test_everything_that_is_exported_exists_and_has_a_docstring() -> None:
    for name in tsbench.__all__:
        assert name == "__version__" or (getattr(tsbench, name).__doc__ or "").strip(), name
    assert set(tsbench.__all__) <= set(dir(tsbench))


def test_no_function_has_the_name_of_a_room() -> None:
    """Importing such a room would replace the function by a module."""
    rooms = {module.name for module in pkgutil.iter_modules(tsbench.__path__)}
    assert not rooms & set(tsbench.__all__)


def test_importing_the_package_imports_nothing_else() -> None:
    script = "import sys, tsbench; dir(tsbench); print(*(name for name in sys.modules if name.startswith('tsbench.')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_python_m_tsbench_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "tsbench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tsbench {tsbench.__version__}\n"


def test_a_search_gives_what_the_command_gives(searched_here: Path) -> None:
    with warnings.catch_warnings(action="error", category=UserWarning):
        results = tsbench.search("tiny.yaml", progress=False)  # complete: runs nothing
    frame = results.leaderboard()
    assert frame["classifier"].tolist() == ["network", "dummy"]
    assert frame["test_accuracy"].iloc[1] == 0.49854227405247814
    assert list(frame.columns[:5]) == ["dataset", "classifier", "resample", "state", "test_accuracy"]
    test = tsbench.load_dataset("ItalyPowerDemand").test
    model = results.model()
    assert (model.predict(test.X) == test.y).mean() == pytest.approx(frame["test_accuracy"].iloc[0])
    np.testing.assert_allclose(model.predict_proba(test).sum(axis=1), 1)
    np.testing.assert_array_equal(tsbench.load_model(frame["run_id"].iloc[0]).predict(test.X), model.predict(test))
    assert len(results.study("ItalyPowerDemand").trials) == 4
    assert results.compare().table.equals(tsbench.compare("tiny").table)
    assert "<th>network</th>" in results.compare()._repr_html_()
    assert "ItalyPowerDemand" in results._repr_html_()
    assert "dummy" in str(results)
    with pytest.raises(RecipeError, match="there is no data set 'GunPoint' in this search; It has: ItalyPowerDemand"):
        results.model("GunPoint")
    with pytest.raises(RecipeError, match="no fitted classifier 'rocket' of ItalyPowerDemand, resample 0; fitted"):
        results.model(classifier="rocket")
    with pytest.raises(RecipeError, match="there is no resample 3; the recipe has 1"):
        results.study(resample=3)


@pytest.fixture
def searched_here(searched, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, _ = searched
    monkeypatch.chdir(folder)
    return folder


def test_a_comparison_is_that_of_the_command(searched_here: Path, tmp_path: Path) -> None:
    comparison = tsbench.compare("tiny")
    assert comparison.ranks.index[0] == "network"
    assert comparison.pairwise["first"].tolist() == ["network"]
    assert comparison.plot_comparison_matrix().axes
    with pytest.raises(RecipeError, match="resample_boxes cannot be drawn: there are fewer than three resamples"):
        comparison.plot_resample_boxes()
    comparison.report(tmp_path / "report.html")
    assert "<html" in (tmp_path / "report.html").read_text()
    for refused in ("report.pdf", "report"):
        result = run("compare", "tiny", "--report", tmp_path / refused)
        assert result.exit_code == 2
        assert "a report is one HTML page; name it report.html" in result.output
        assert not (tmp_path / refused).exists()
    with pytest.raises(RecipeError, match="metric 'acuracy' is not known"):
        tsbench.compare("tiny", metric="acuracy")


def test_a_recipe_is_a_file_plain_data_or_an_object(tmp_path: Path) -> None:
    from tsbench.api.sources import load_with_data
    from tsbench.recipe.loading import load_recipe
    from tsbench.recipe.writing import to_yaml

    tree = {
        "name": "x",
        "datasets": ["GunPoint"],
        "model": {"preset": "classic", "dropout": 0.1},
        "space": "default",
        "baselines": ["dummy", {"rocket": {"n_kernels": 100}}],
        "search": {"trials": 3, "timeout": "5 min"},
    }
    (tmp_path / "x.yaml").write_text(to_yaml(tree))
    loaded = load_with_data(tmp_path / "x.yaml")
    numpy = {**tree, "search": {"trials": np.int64(3), "timeout": "5 min"}, "datasets": ("GunPoint",)}
    for source in (numpy, tsbench.Recipe.model_validate(tree)):
        found = load_recipe(source)
        assert (found.recipe, found.space) == (loaded.recipe, loaded.space)
    wrong = {**tree, "serach": {}, "datasets": ["GunPint"]}
    with pytest.raises(RecipeError) as refused:
        load_with_data(wrong, ["search.trials=x"])
    assert refused.value.problems[0].startswith("`overrides` search.trials=x search.trials: expected a whole number")
    assert "recipe: serach: unknown key; did you mean 'search'?" in refused.value.problems
    assert any(line.startswith("recipe: datasets.0: ") and "GunPoint" in line for line in refused.value.problems)


def test_data_of_unequal_length_and_of_a_file(tmp_path: Path) -> None:
    vowels = tsbench.load_dataset("JapaneseVowels", resample=1)
    assert repr(vowels.train) == "Collection(270 cases of 9 classes, 12 channels, 7 to 25 time steps)"
    assert [case.shape for case in vowels.train.X[:2]] == [(int(n), 12) for n in vowels.train.lengths[:2]]
    rows = [f"{case},{step},{(case + step * step) % 7},{'ab'[case % 2]}" for case in range(20) for step in range(8)]
    (tmp_path / "own.csv").write_text("id,t,x,kind\n" + "\n".join(rows))
    own = tsbench.load_dataset(tmp_path / "own.csv", case="id", time="t", label="kind", split={"test_size": 0.5})
    assert (len(own.train), len(own.test), list(own.train.X[0].columns)) == (10, 10, ["x"])
    with pytest.raises(RecipeError, match="labell: unknown key"):
        tsbench.load_dataset(tmp_path / "own.csv", labell="kind")


NOTHING_RECORDED = "sqlite:///nothing.db"


@pytest.mark.parametrize(
    ("call", "options", "in_python", "on_the_command_line"),
    [
        (
            lambda: tsbench.fit("GunPoint", label="kind", test="t.csv"),
            ("fit", "GunPoint", "--label", "kind", "--test", "t.csv"),
            "`label`, `test`: only for files, and GunPoint is a data set's name",
            "--label, --test: only for files, and GunPoint is a data set's name",
        ),
        (
            lambda: tsbench.compare(reference_only=True),
            ("compare", "--reference-only"),
            "`reference_only=True` needs `reference='published'` or `reference='FILE.csv'`",
            "--reference-only needs --reference published or --reference FILE.csv",
        ),
        (
            lambda: tsbench.compare(tracking_uri=NOTHING_RECORDED),
            ("compare", "--tracking-uri", NOTHING_RECORDED),
            "or name another store with `tracking_uri`",
            "or name another store with --tracking-uri",
        ),
        (
            lambda: tsbench.search("x.yaml", {"serch.trials": 3}),
            ("search", "x.yaml", "--set", "serch.trials=3"),
            "`overrides` serch.trials=3 serch: unknown key; did you mean 'search'?",
            "--set serch.trials=3 serch: unknown key; did you mean 'search'?",
        ),
    ],
)
def test_an_error_names_arguments_as_the_caller_writes_them(
    call: Any,
    options: tuple[str, ...],
    in_python: str,
    on_the_command_line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("name: x\ndatasets: [GunPoint]\n")
    result = run(*options)
    assert (result.exit_code, on_the_command_line in result.output) == (2, True)
    with pytest.raises(RecipeError) as refused:
        call()
    assert in_python in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.yaml"]


ONLY_FOR_COMMANDS = {
    "bench/plan.py",  # search --dry-run
    "comparisons/terminal.py",
    "studies/dashboard.py",  # ui
    "tracking/mlflow_ui.py",  # ui
}


def test_no_sentence_outside_of_the_commands_names_an_option_alone() -> None:
    """It names it by `argument`, with the keyword beside it; a whole command in backquotes may have options."""
    package = Path(tsbench.__file__).parent
    found = [
        f"{path.relative_to(package)}:{line} {text}"
        for path in sorted(package.rglob("*.py"))
        if path.parent.name not in ("cli", "adapters") and path.relative_to(package).as_posix() not in ONLY_FOR_COMMANDS
        for line, text in sentences_with_options(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def sentences_with_options(tree: ast.Module) -> Iterator[tuple[int, str]]:
    allowed = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="argument"), args=[option, *_]):
                allowed.update(map(id, ast.walk(option)))
            case ast.Expr(value=ast.Constant() as docstring):
                allowed.add(id(docstring))
            case ast.List(elts=[ast.Constant(value="git"), *words]):
                allowed.update(map(id, words))
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in allowed:
                if re.search(r"(?<![\w-])--[a-z]", re.sub("`(tsbench|ray|git) [^`]*", "", text)):
                    yield node.lineno, text
