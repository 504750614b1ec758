"""Whose split a score is of: recorded by new searches, inferred of older ones, said wherever scores are shown."""

import json

import numpy as np
import pytest
from ruamel.yaml import YAML

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.page import as_html
from tsbench.comparisons.published import load_reference
from tsbench.comparisons.report import FORMATS
from tsbench.comparisons.results import read_results
from tsbench.comparisons.wording import notes, protocol
from tsbench.recipe.schema import OwnDataConfig, Recipe, SplitConfig
from tsbench.tracking import names
from tsbench.tracking.split import ARCHIVE, FILES, UNKNOWN, Split, split_of

DRAWN = Split("drawn", SplitConfig(test_size=0.25, seed=3, group="machine"))
DRAWN_WORDS = (
    "a split drawn by tsbench (25 % of the cases held out for the test, stratified, whole groups of 'machine', seed 3)"
)


@pytest.fixture(scope="module")
def published():
    return load_reference("published")


@pytest.fixture
def search(log, store):
    """Begins a parent run as the version before did, which recorded no split; returns its study's identity."""

    def begin(dataset, files, recipe=None, split=None):
        log.begun += 1
        identity = f"study-{dataset}-{log.begun}"
        tags = {names.ROLE: "search", names.DATASET: dataset, names.STUDY: identity}
        tags |= {f"tsbench.sha256.{file}": digest for file, digest in files.items()}
        if split is not None:
            tags[names.SPLIT] = split.tag
        run = store.begin(log.experiment, dataset, tags)
        if recipe is not None:
            store.artifacts.write_text(run, recipe, "recipe.yaml")
        return identity

    return begin


@pytest.fixture
def scored(log, store):
    """Logs a result of a study, without a tag of its own for the split."""

    def write(dataset, classifier, accuracy, study):
        run = log(dataset, classifier, accuracy, split=None)
        store.log(run, tags={names.STUDY: study})

    return write


def recipe_with(*datasets, archive=None):
    return Recipe.model_validate({"name": "r", "datasets": list(datasets), "archive": archive})


def test_a_tag_is_read_back():
    for split in (ARCHIVE, FILES, DRAWN, Split("folder"), Split("drawn")):
        assert Split.parse(split.tag) == split
    for unknown in ("", "a later version's", "drawn {broken", 'drawn {"sede": 1}'):
        assert Split.parse(unknown) == UNKNOWN


def test_the_split_of_a_recipes_data_set_is_the_archives_the_users_or_drawn():
    files = {"name": "Mine", "train": "a.ts", "test": "b.ts"}
    one = {"name": "GunPoint", "file": "a.csv", "split": {"test_size": 0.25, "seed": 3, "group": "machine"}}
    recipe = recipe_with("ItalyPowerDemand", files, one)
    assert split_of(recipe, "ItalyPowerDemand") == ARCHIVE
    assert split_of(recipe, "Mine") == FILES
    assert split_of(recipe, "GunPoint") == DRAWN  # the user's own, whatever its name
    assert str(DRAWN) == DRAWN_WORDS


def test_a_folder_with_an_archives_name_but_other_cases_is_not_the_archives(tmp_path):
    for part, labels in (("TRAIN", "abab"), ("TEST", "ab")):
        lines = ["@problemName GunPoint", "@classLabel true a b", "@univariate true", "@data"]
        lines += [f"{number},1,2,3,4:{label}" for number, label in enumerate(labels)]
        path = tmp_path / "GunPoint" / f"GunPoint_{part}.ts"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    assert split_of(recipe_with("GunPoint", archive=str(tmp_path)), "GunPoint") == Split("folder")


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (ARCHIVE, "accuracy on the archive's own split"),
        (FILES, "accuracy on the user's own train and test files"),
        (DRAWN, f"accuracy on {DRAWN_WORDS}"),
        (Split("folder"), "accuracy on the train and test files of the data set's folder"),
        (None, "accuracy on the first split of each data set"),
    ],
)
def test_every_output_says_whose_split_it_is(log, store, split, said):
    log("GunPoint", "network", 0.9, split=split)
    log("GunPoint", "dummy", 0.5, split=split)
    comparison = Comparison(read_results(store, "small"))
    assert protocol(comparison) == said
    latex = FORMATS["latex"](comparison)
    outputs = [FORMATS["markdown"](comparison), latex.replace("\\%", "%"), as_html(comparison).replace("&#39;", "'")]
    for output in outputs:
        assert said[len("accuracy") :] in output
        assert split == ARCHIVE or "the archive's own split" not in output
    assert json.loads(FORMATS["json"](comparison))["splits"] == {"GunPoint": str(split or UNKNOWN)}


def test_mixed_splits_are_said_for_each_data_set(log, store):
    log("GunPoint", "network", 0.9)
    log("Mine", "network", 0.9, split=FILES)
    assert protocol(Comparison(read_results(store, "small"))) == (
        "accuracy on different splits: GunPoint on the archive's own split; Mine on the user's own train and test files"
    )


def test_resample_0_of_own_data_is_not_called_the_archives(log, store):
    for resample in range(2):
        log("Mine", "network", 0.9, resample=resample, split=DRAWN)
    comparison = Comparison(read_results(store, "small"))
    assert notes(comparison)[:2] == [
        "Mean accuracy over 2 resamples of each data set.",
        f"Resample 0 is {DRAWN_WORDS}.",
    ]
    assert "archive" not in as_html(comparison)


def test_published_scores_are_never_set_beside_own_data_of_the_same_name(log, store, published):
    log("GunPoint", "network", 0.9, split=DRAWN)
    log("Beef", "network", 0.8)
    comparison = Comparison(read_results(store, "small"), (published,), only=("network", "HC2"))
    assert comparison.datasets == ("Beef", "GunPoint")
    np.testing.assert_array_equal(np.isnan(comparison.scores), [[False, False], [False, True]])
    said = notes(comparison)
    assert (
        "The published scores for GunPoint are of the archive's data; the runs here are on the user's own data, so "
        "those scores are left out."
    ) in said
    assert any(note.startswith("Missing: HC2 (published) on GunPoint (published for the archive's") for note in said)


def test_published_scores_beside_a_split_that_was_not_recorded_come_with_a_word(log, store, published):
    log("GunPoint", "network", 0.9, split=None)
    comparison = Comparison(read_results(store, "small"), (published,), only=("network", "HC2"))
    assert comparison.complete.all()
    assert (
        "The published scores are of the archive's own split; whether the runs on GunPoint are was not recorded."
    ) in notes(comparison)


def test_the_split_of_an_older_search_is_inferred_from_its_files(search, scored, store):
    own = OwnDataConfig(name="Drawn", file="all.csv", split=SplitConfig(test_size=0.25, seed=3, group="machine"))
    tree = {"name": "small", "datasets": ["GunPoint", own.model_dump(mode="json")]}
    with (store.database.parent / "recipe.yaml").open("w") as file:
        YAML().dump(tree, file)
    recipe = (store.database.parent / "recipe.yaml").read_text()
    for dataset, files in (
        ("GunPoint", {"GunPoint_TRAIN.ts": "aa", "GunPoint_TEST.ts": "bb"}),
        ("NoArchives", {"NoArchives_TRAIN.ts": "aa", "NoArchives_TEST.ts": "bb"}),
        ("Mine", {"train GunPoint_TRAIN.ts": "aa", "test GunPoint_TEST.ts": "bb"}),
        ("Drawn", {"all.csv": "aa"}),
        ("Lost", {"all.csv": "aa"}),
        ("Nothing", {}),
    ):
        scored(dataset, "network", 0.5, search(dataset, files, recipe if dataset != "Lost" else "{broken"))
    assert read_results(store, "small").splits == {
        "GunPoint": ARCHIVE,
        "NoArchives": Split("folder"),
        "Mine": FILES,
        "Drawn": DRAWN,
        "Lost": Split("drawn"),
        "Nothing": UNKNOWN,
    }


def test_results_on_another_split_than_the_newest_are_not_compared(search, scored, store):
    first, second = (search("Mine", {"all.csv": "aa"}, split=split) for split in (DRAWN, FILES))
    scored("Mine", "network", 0.9, first)
    scored("Mine", "dummy", 0.5, first)
    scored("Mine", "network", 0.8, second)
    comparison = Comparison(read_results(store, "small"))
    np.testing.assert_array_equal(comparison.scores, [[0.8, np.nan]])
    assert comparison.missing()[0]["reason"] == f"on another split: {DRAWN_WORDS}"
    assert protocol(comparison) == "accuracy on the user's own train and test files"


def test_files_that_changed_between_the_searches_are_named(search, scored, store):
    scored("Mine", "network", 0.9, search("Mine", {"train a": "11", "test b": "22"}, split=FILES))
    scored("Mine", "dummy", 0.5, search("Mine", {"train a": "33", "test b": "22"}, split=FILES))
    assert read_results(store, "small").changed == ["Mine"]
    said = notes(Comparison(read_results(store, "small")))
    assert any(note.startswith("The files of Mine differ between the searches compared") for note in said)
