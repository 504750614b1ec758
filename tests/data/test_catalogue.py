import csv
from collections import Counter

import numpy as np
import pytest
from aeon.datasets import tsc_datasets

from tests.conftest import REAL_ARCHIVE
from tsbench.data.archive import Archive
from tsbench.data.catalogue import archives, catalogue, collection
from tsbench.data.preprocessing import Preprocessing
from tsbench.data.selection import expand, names_of, problems_of
from tsbench.errors import DataError
from tsbench.recipe.schema import PreprocessingConfig, Recipe, SelectionConfig

UNIVARIATE_SHIPPED = ["ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf"]
SHIPPED = [*UNIVARIATE_SHIPPED, "BasicMotions", "JapaneseVowels", "PLAID"]


def selected(*entries):
    return expand(list(entries), Archive)


def recipe(datasets):
    return Recipe.model_validate({"name": "x", "datasets": datasets})


# --- the facts


def test_it_holds_both_archives_whole():
    assert Counter(facts.archive for facts in catalogue().values()) == {"ucr": 128, "uea": 30}
    assert {name for name, facts in catalogue().items() if facts.channels == 1} == set(tsc_datasets.univariate)
    assert all(facts.train >= facts.classes > 1 for facts in catalogue().values())
    assert all(facts.test > 0 and facts.longest > 1 and facts.domain for facts in catalogue().values())
    assert set(archives()) == {"ucr", "uea"}
    assert all(archive.citation and archive.title for archive in archives().values())


def test_collections_are_those_of_the_literature():
    assert set(collection("ucr-112")) == set(tsc_datasets.univariate_equal_length)
    assert set(collection("uea-26")) == set(tsc_datasets.multivariate_equal_length)
    sizes = {"ucr": 128, "ucr-128": 128, "ucr-112": 112, "ucr-85": 85, "uea": 30, "uea-30": 30, "uea-26": 26}
    assert {name: len(collection(name)) for name in sizes} == sizes


def test_listed_collections_are_those_of_aeon_and_of_the_bake_off():
    from tsbench.comparisons.published import load_reference

    assert set(collection("multiverse-133")) == set(tsc_datasets.multiverse2026)
    assert set(collection("multiverse-66")) == set(tsc_datasets.multiverse_core)
    assert set(collection("monster-29")) == set(tsc_datasets.monster)
    assert set(collection("multiverse-66")) < set(collection("multiverse-133"))
    published = load_reference("published")
    assert set(collection("ucr-112")) < set(collection("ucr-142"))
    assert all(published.score(dataset, "HC2", (0,)) is not None for dataset in collection("ucr-142"))
    sizes = {"ucr-142": 142, "multiverse-133": 133, "multiverse-66": 66, "monster-29": 29}
    assert {name: len(set(collection(name))) for name in sizes} == sizes


def _facts_of(name, place):
    loaded = place.load(name)
    lengths = np.concatenate([loaded.train.lengths, loaded.test.lengths])
    missing = loaded.train.missing_values or loaded.test.missing_values
    sizes = (len(loaded.train), len(loaded.test), loaded.train.channels, len(loaded.train.classes))
    return (*sizes, int(lengths.min()), int(lengths.max()), missing)


def _catalogued(name):
    one = catalogue()[name]
    return (one.train, one.test, one.channels, one.classes, one.shortest, one.longest, one.missing_values)


@pytest.mark.parametrize("name", SHIPPED)
def test_its_facts_are_those_of_the_files_that_sktime_ships(name):
    assert _facts_of(name, Archive()) == _catalogued(name)


def _nearest_neighbour_error(name, place):
    """1NN with the Euclidean distance, each case z-normalised and its gaps bridged, as the archive did."""
    loaded = place.load(name)
    prepare = Preprocessing.fit(loaded.train, PreprocessingConfig(normalise="case", missing="linear"))
    train, test = (prepare.apply(cases)[:, 0].astype(np.float64) for cases in (loaded.train, loaded.test))
    distances = (train**2).sum(1) - 2 * test @ train.T
    return float((loaded.train.labels[distances.argmin(axis=1)] != loaded.test.labels).mean())


@pytest.mark.parametrize("name", UNIVARIATE_SHIPPED)
def test_1nn_with_the_euclidean_distance_errs_as_the_archive_says(name):
    assert round(_nearest_neighbour_error(name, Archive()), 4) == catalogue()[name].ed_error


# --- the real archive, if there is one


needs_archive = pytest.mark.skipif(REAL_ARCHIVE is None, reason="TSBENCH_ARCHIVE names no archive beyond sktime's sets")


@needs_archive
@pytest.mark.slow
def test_every_set_of_a_real_archive_is_as_the_catalogue_says():
    place = Archive(REAL_ARCHIVE)
    names = [name for name, folder in place.names().items() if name in catalogue() and folder.parent == place.home]
    assert names
    for name in names:
        assert _facts_of(name, place) == _catalogued(name), name
        facts = catalogue()[name]
        if facts.channels == 1 and facts.equal_length:
            assert round(_nearest_neighbour_error(name, place), 4) == facts.ed_error, name


@needs_archive
@pytest.mark.slow
def test_every_row_of_an_index_is_reproduced():
    place = Archive(REAL_ARCHIVE)
    index = place.home / "INDEX.csv"
    if not index.is_file():
        pytest.skip("the archive has no INDEX.csv")
    with index.open() as lines:
        for row in csv.DictReader(lines):
            train, test, channels, classes, shortest, longest, missing = _facts_of(row["name"], place)
            length = str(longest) if shortest == longest else f"{shortest}-{longest}"
            found = [train, test, length, channels, classes, shortest == longest, missing]
            keys = ("n_train", "n_test", "length", "channels", "classes", "equal_length", "missing_values")
            assert list(map(str, found)) == [row[key] for key in keys], row["name"]


# --- selecting


def test_a_listed_set_that_is_not_available_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TSBENCH_ARCHIVE", str(tmp_path))
    ((path, message),) = problems_of({0: "Tiselac"}, None)
    assert path == ("datasets", 0)
    assert message == (
        "Tiselac, of multiverse-133, multiverse-66, monster-29, is not available, and the downloader may not have it: "
        f"put Tiselac_TRAIN.ts and Tiselac_TEST.ts into {tmp_path / 'Tiselac'}, or try "
        "`tsbench datasets download Tiselac`"
    )


def test_names_collections_and_patterns_are_expanded_each_once():
    assert selected("GunPoint", "GunPoint*") == [
        "GunPoint",
        "GunPointAgeSpan",
        "GunPointMaleVersusFemale",
        "GunPointOldVersusYoung",
    ]
    assert selected("uea-26") == collection("uea-26")
    assert selected("Ham", "ucr-85")[0] == "Ham"
    assert len(selected("Ham", "ucr-85")) == 85


def test_patterns_find_what_is_available_too():
    assert selected("Unit?est") == ["UnitTest"]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"univariate": True, "max_length": 500, "max_cases": 1000}, 80),
        ({"univariate": False}, 30),
        ({"equal_length": False}, 15),
        ({"missing_values": True}, 4),
        ({"max_channels": 3, "univariate": False, "equal_length": True}, 7),
        ({"domains": ["ecg"]}, 8),
        ({"min_cases": 5000}, 6),
        ({"min_length": 2000}, 9),
        ({"exclude": ["[A-Z]*"], "max_classes": 2}, 0),
    ],
)
def test_filters_go_by_the_catalogues_facts(filters, count):
    entry = SelectionConfig.model_validate({"collection": "*", **filters})
    if count:
        assert len(selected(entry)) == count
        return
    with pytest.raises(DataError, match=r"no data set of the catalogue passes \{collection: \*, max_classes: 2,"):
        selected(entry)


def test_a_pattern_that_matches_nothing_is_a_mistake():
    with pytest.raises(DataError, match=r"no data set's name matches 'Gum\*'"):
        selected("Gum*")


def test_a_recipe_may_mix_all_of_them():
    own = {"name": "pumps", "train": "a.csv", "test": "b.csv"}
    chosen = {"collection": "uea", "max_length": 30, "exclude": ["Pen*"]}
    names = names_of(recipe(["GunPoint", own, chosen]))
    assert names == ["GunPoint", "pumps", "InsectWingbeat", "JapaneseVowels", "RacketSports"]
    assert names_of(recipe("ucr-112")) == collection("ucr-112")
