import sys

import pytest
from pydantic import ValidationError

from tsbench.classifiers.baselines import BASELINES, problem_with
from tsbench.errors import RecipeError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import BaselineConfig, Recipe

FOREST = "sktime.classification.interval_based.TimeSeriesForestClassifier"


def recipe_of(*baselines):
    return Recipe.model_validate({"name": "a", "datasets": ["GunPoint"], "baselines": list(baselines)})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("minirocket", "minirocket"),
        ({"rocket": {"n_kernels": 500}}, "rocket(n_kernels=500)"),
        (FOREST, "sktime.TimeSeriesForestClassifier"),
        ({FOREST: {"n_estimators": 200}}, "sktime.TimeSeriesForestClassifier(n_estimators=200)"),
        ({FOREST: None}, "sktime.TimeSeriesForestClassifier"),
    ],
)
def test_a_baseline_is_a_name_or_an_import_path_with_parameters_or_without(given, name):
    (baseline,) = recipe_of(given).baselines
    assert baseline.name == name


def test_a_recipe_with_baselines_can_be_written_and_read_again():
    recipe = recipe_of("dummy", {"rocket": {"n_kernels": 500}}, {FOREST: {"n_estimators": 200}})
    dumped = recipe.model_dump(mode="json")["baselines"]
    assert dumped == ["dummy", {"rocket": {"n_kernels": 500}}, {FOREST: {"n_estimators": 200}}]
    assert recipe_of(*dumped) == recipe


@pytest.mark.parametrize("wrong", [3, ["rocket"], {"rocket": 3}, {"rocket": {}, "quant": {}}, {}])
def test_anything_else_is_no_baseline(wrong):
    with pytest.raises(ValidationError, match="expected a name, an import path, or one of them with parameters"):
        BaselineConfig.model_validate(wrong)


def test_the_same_baseline_twice_is_refused_and_with_other_parameters_it_is_another():
    with pytest.raises(ValidationError, match="named more than once: rocket"):
        recipe_of("rocket", {"rocket": {}})
    assert len(recipe_of("rocket", {"rocket": {"n_kernels": 500}}).baselines) == 2


def test_a_wrong_baseline_is_reported_with_its_place(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: a\ndatasets: [GunPoint]\nbaselines:\n"
        "  - minirocket\n"
        "  - minirokcet\n"
        "  - {minirokcet: {n_kernels: 5}}\n"
        "  - {minirocket: {n_kernel: 500}}\n"
        "  - sktime.classification.interval_based.Forest\n"
        "  - sktime.nothing.here.Forest\n"
        "  - tsbench.errors.TsbenchError\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, (), BASELINES, problem_with)
    assert list(caught.value.problems) == [
        f"{path}:5:5 baselines.1: unknown baseline 'minirokcet'; did you mean 'minirocket'?",
        f"{path}:6:5 baselines.2: unknown baseline 'minirokcet'; did you mean 'minirocket'?",
        f"{path}:7:5 baselines.3: MiniRocketClassifier has no parameter 'n_kernel'; did you mean 'n_kernels'?",
        f"{path}:8:5 baselines.4: cannot be imported: module 'sktime.classification.interval_based' has no attribute "
        "'Forest'",
        f"{path}:9:5 baselines.5: cannot be imported: No module named 'sktime.nothing'",
        f"{path}:10:5 baselines.6: tsbench.errors.TsbenchError is not a classifier: it has no fit and predict",
    ]


def test_a_time_limit_is_a_duration():
    tree = {"name": "a", "datasets": ["A"], "evaluation": {"baseline_timeout": "5 min"}}
    assert Recipe.model_validate(tree).evaluation.baseline_timeout == 300


@pytest.mark.parametrize(
    "path",
    [
        *("..", ".", "a..b", ".a", "sklearn.", "sklearn .svm.SVC", "sklearn.svm.SVC\n", "sklearn.\0", "a.class", "1.2"),
        *("x." + "y" * 10_000, "ü.ü", "nosuchpackage.Forest", "__main__.Forest"),
    ],
)
def test_what_is_no_import_path_is_refused_in_a_short_sentence(path):
    problem = problem_with(path, {})
    assert problem is not None
    assert "import" in problem
    assert len(problem) < 200


@pytest.mark.parametrize(
    "path", ["this.s", "antigravity.fly", "tkinter.Tk", "own_module.Forest", "own_module.sub.Forest"]
)
def test_only_packages_of_the_list_are_imported_to_check_a_recipe(path, tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = path.partition(".")[0]
    loaded = module in sys.modules
    assert problem_with(path, {"any": 3}) is None
    assert (module in sys.modules) is loaded


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("sklearn.utils.check_array", "not a classifier"),
        ("aeon.classification.dummy", "not a classifier"),
        ("tsbench.cli.app.app", "not a classifier"),
        ("sklearn.nothing.Forest", "cannot be imported"),
    ],
)
def test_what_is_no_class_of_a_package_of_the_list_is_refused(path, reason):
    assert reason in str(problem_with(path, {}))
