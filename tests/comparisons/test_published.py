import pytest

from tsbench.comparisons.published import SOURCES, decimals, load_reference
from tsbench.data.catalogue import catalogue, collection
from tsbench.errors import DataError

THIRTY_SPLITS = tuple(range(30))


@pytest.fixture(scope="module")
def published():
    return load_reference("published")


def read(tmp_path, text, name="others.csv", resamples=1):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_reference(str(path), resamples)


def problems(tmp_path, text):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_the_published_figures_are_of_both_protocols(published):
    assert published.score("ArrowHead", "HC2", (0,)) == 0.868571
    assert published.score("ACSF1", "1NN-DTW", THIRTY_SPLITS) == 0.553667
    assert published.score("ACSF1", "1NN-DTW", (0, 1)) is None
    assert published.score("ArrowHead", "LSTM-FCN", THIRTY_SPLITS) is None
    assert published.score("Nowhere", "HC2", (0,)) is None


def test_the_published_figures_cover_both_bake_offs(published):
    for name in ("HC2", "ROCKET", "TDE", "ResNet"):
        for dataset in [*collection("ucr-112"), *collection("uea-26")]:
            assert published.score(dataset, name, (0,)) is not None
            assert published.score(dataset, name, THIRTY_SPLITS) is not None


def test_every_published_classifier_has_a_source(published):
    assert set(SOURCES) <= set(published.classifiers)
    assert all(" 20" in published.source(name) for name in published.classifiers)
    assert published.source("LSTM-FCN").startswith("Karim et al. 2018")


def test_the_papers_that_ran_others_classifiers_again_are_kept_apart(published):
    assert published.score("ArrowHead", "Mantis@UniShape", (0,)) == 0.8686
    assert published.score("ArrowHead", "ROCKET@UniShape", (0,)) == 0.8057
    assert published.source("ROCKET@UniShape") == published.source("UniShape")
    assert published.source("UniShape").startswith("Liu et al. 2026")
    assert published.source("ResNet@PHIT").startswith("Ismail-Fawaz et al. 2024, Finding")
    assert published.original("ROCKET@UniShape") == "ROCKET"
    assert published.original("ROCKET") is published.original("Mantis@UniShape") is None
    for name, datasets in (("UniShape", "ucr-128"), ("MambaSL", "ucr-128"), ("MambaSL", "uea-30")):
        assert all(published.score(dataset, name, (0,)) is not None for dataset in collection(datasets))
    assert sum(published.score(dataset, "PHIT", (0,)) is not None for dataset in collection("ucr-128")) == 88


def test_mambasl_spells_data_sets_as_the_archives_do(published):
    for name, most in (("1NN-DTW-D", 0.001), ("ROCKET", 0.07)):
        for dataset in collection("uea-26"):
            assert published.score(dataset, f"{name}@MambaSL", (0,)) == pytest.approx(
                published.score(dataset, name, (0,)), abs=most
            )


def test_every_score_of_mambasl_is_a_whole_number_of_test_cases(published):
    for dataset in collection("uea-30"):
        cases = published.score(dataset, "MambaSL", (0,)) * catalogue()[dataset].test
        assert cases == pytest.approx(round(cases), abs=0.02), dataset


def test_the_deep_classifiers_of_mambasl_on_uea_are_marked_as_chosen_on_the_test_cases(published):
    marked = {name for dataset, name in published.chosen_on_test}
    assert len(marked) == 16
    assert {"MambaSL", "TimesNet@MambaSL", "InterpGN@MambaSL"} <= marked
    assert not {"HC2@MambaSL", "ROCKET@MambaSL", "Hydra@MambaSL"} & marked
    assert published.chosen_on_test == {(dataset, name) for dataset in collection("uea-30") for name in marked}


def test_a_file_says_which_scores_were_chosen_on_the_test_cases(tmp_path):
    reference = read(tmp_path, "dataset,classifier,accuracy,chosen_on\nA,X,0.5,test\nA,Y,0.25,\n")
    assert reference.chosen_on_test == {("A", "X")}
    assert reference.match_names(["a"]).chosen_on_test == {("a", "X")}
    assert problems(tmp_path, "dataset,classifier,accuracy,chosen_on\nA,X,0.5,train\n") == [
        "others.csv:2: chosen_on: expected test or nothing, got 'train'"
    ]


def test_a_long_file_is_read(tmp_path):
    reference = read(tmp_path, "classifier,dataset,accuracy\nX,A,0.5\nX,B,0.25\nY,A,\n")
    assert reference.name == "others.csv"
    assert reference.classifiers == ("X", "Y")
    assert reference.reason("A", "Y") == "empty in line 4 of others.csv"
    assert reference.datasets == ("A", "B")
    assert reference.score("B", "X", (0,)) == 0.25
    assert reference.score("B", "X", (0, 1)) is None
    assert reference.source("X") == "others.csv"


def test_a_long_file_with_resamples_gives_each_and_their_means(tmp_path):
    reference = read(tmp_path, "dataset,classifier,resample,accuracy\nA,X,0,0.5\nA,X,1,0.7\nA,X,2,0.9\n")
    assert reference.score("A", "X", (1,)) == 0.7
    assert reference.score("A", "X", (0, 1)) == 0.6
    assert reference.score("A", "X", THIRTY_SPLITS) is None


def test_the_wide_layout_of_the_bake_off_is_read(tmp_path):
    text = "\ufeffTESTACC,HC2,1NN-DTW\nArrowHead,0.86,0.7\nBeef,,0.6\n\n"
    reference = read(tmp_path, text)
    assert reference.classifiers == ("HC2", "1NN-DTW")
    assert reference.score("ArrowHead", "HC2", (0,)) == 0.86
    assert reference.score("Beef", "HC2", (0,)) is None
    means = read(tmp_path, text, resamples=30)
    assert means.score("Beef", "1NN-DTW", THIRTY_SPLITS) == 0.6
    assert means.score("Beef", "1NN-DTW", (0,)) is None


def test_one_classifiers_resamples_are_read(tmp_path):
    reference = read(tmp_path, "folds:,0,1,2\nArrowHead,0.8,0.9,0.7\n", name="HC2_TESTFOLDS.csv")
    assert reference.classifiers == ("HC2",)
    assert reference.score("ArrowHead", "HC2", (0, 1, 2)) == pytest.approx(0.8)


def test_names_that_look_like_formulas_are_text_in_csv_and_read_again_as_they_are(tmp_path):
    from tests.comparisons.made_up import made_up
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.report import as_csv

    classifiers, datasets = ("=1+1", "-x", "'@y"), ("+data", "plain", "@set")
    text = as_csv(Comparison(made_up(classifiers, datasets)))
    assert all(cell[0] not in "=+-@" for line in text.splitlines() for cell in line.split(","))
    again = read(tmp_path, text)
    assert set(again.classifiers) == set(classifiers)
    assert all(again.score(dataset, name, (0,)) is not None for dataset in datasets for name in classifiers)


def test_what_csv_prints_can_be_read_as_a_reference(tmp_path):
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.report import as_csv
    from tsbench.comparisons.results import Results

    comparison = Comparison(Results("x", ()), (load_reference("published"),), ("Beef", "Car"), ("HC2", "QUANT"))
    again = read(tmp_path, as_csv(comparison))
    assert again.score("Car", "QUANT (published)", (0,)) == load_reference("published").score("Car", "QUANT", (0,))


def test_unknown_columns_are_named(tmp_path):
    assert problems(tmp_path, "dataset,classifier,acc,notes\nA,X,0.5,\n") == [
        "others.csv:1: unknown columns 'acc', 'notes'; known: dataset, classifier, resample, accuracy, "
        "balanced_accuracy, f1_macro, log_loss, roc_auc, accuracy_default_split, accuracy_mean_30_resamples, chosen_on"
    ]
    assert problems(tmp_path, "dataset,classifier\nA,X\n") == [
        "others.csv:1: needs the columns dataset, classifier and accuracy"
    ]
    assert problems(tmp_path, "dataset,X,X\nA,1,1\n") == ["others.csv:1: columns named more than once: 'X'"]
    assert problems(tmp_path, "dataset,X,\nA,1,1\n") == ["others.csv:1: column 3 has no name"]


def test_every_wrong_line_is_reported_at_once(tmp_path):
    text = "dataset,classifier,accuracy\nA,X,0.5\nA,X,0.6\nB,X,93.1\nB,Y,good\n,Y,0.5\nC,x,0.5\nD,X\n"
    assert problems(tmp_path, text) == [
        "others.csv:3: X on A has a score in line 2 already",
        "others.csv:4: X on B: expected an accuracy between 0 and 1, got '93.1'",
        "others.csv:5: Y on B: expected an accuracy between 0 and 1, got 'good'",
        "others.csv:6: has no data set",
        "others.csv:7: the classifiers 'x' and 'X' (line 2) differ only in case; use the same spelling",
        "others.csv:8: has 2 values, the header 3",
        "others.csv: if its values are percentages, divide them by 100",
    ]


def test_duplicate_rows_of_a_wide_file_are_refused(tmp_path):
    assert problems(tmp_path, "d,X\nA,0.5\nA,0.5\n") == ["others.csv:3: X on A has a score in line 2 already"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "others.csv: has no header with a column for data sets and one for scores"),
        ("dataset,classifier,accuracy\n", "others.csv: holds no score below its header"),
        (
            "dataset,classifier,resample,accuracy\nA,X,one,0.5\n",
            "others.csv:2: resample: expected 0, 1, 2, ..., got 'one'",
        ),
    ],
)
def test_a_file_without_figures_says_so(tmp_path, text, message):
    assert problems(tmp_path, text) == [message]


def test_a_missing_file_and_one_that_is_not_text_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: file not found; `reference` takes a CSV file, or `published`"):
        load_reference(str(tmp_path / "nowhere.csv"))
    (tmp_path / "binary.csv").write_bytes(b"dataset,X\nA,\x00")
    with pytest.raises(DataError, match=r"binary\.csv:2: holds a zero byte, so it is not UTF-8 text"):
        load_reference(str(tmp_path / "binary.csv"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_reference(str(tmp_path))


def test_a_cell_that_is_no_number_leaves_its_classifier_in_the_table(tmp_path):
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.results import Results
    from tsbench.comparisons.wording import notes

    reference = read(tmp_path, "dataset,ResNet,Mine\nCar,0.7,0.71\nFordA,nan,0.93\nBeef,0.5,-\nCoffee,1,0.9\n")
    comparison = Comparison(Results("x", ()), (reference,))
    assert comparison.classifiers == ("ResNet (others.csv)", "Mine (others.csv)")
    assert comparison.complete.tolist() == [False, True, True, False]
    said = notes(comparison)
    assert "Ranks are over the 2 of 4 data sets for which every classifier has a score." in said
    assert "Missing: ResNet (others.csv) on FordA ('nan' in line 3 of others.csv)" in said
    assert "Missing: Mine (others.csv) on Beef ('-' in line 4 of others.csv)" in said


def test_a_classifier_without_any_score_under_the_protocol_is_named(tmp_path):
    from tests.comparisons.made_up import made_up
    from tsbench.comparisons.comparison import Comparison
    from tsbench.comparisons.wording import notes

    reference = read(tmp_path, "dataset,classifier,resample,accuracy\nCar,X,0,0.5\nCar,Y,1,0.5\n")
    comparison = Comparison(made_up(), (reference,))
    assert "Y (others.csv)" not in comparison.classifiers
    assert "others.csv has no score of Y (others.csv) on these data sets under this protocol." in notes(comparison)


@pytest.mark.parametrize(
    "text",
    ["dataset;ResNet;Mine\nGunPoint;0,991;,987\n", "dataset\tResNet\tMine\nGunPoint\t0.991\t0,987\n"],
    ids=["semicolons", "tabs"],
)
def test_other_separators_and_decimal_commas_are_read(tmp_path, text):
    reference = read(tmp_path, text)
    assert reference.score("GunPoint", "ResNet", (0,)) == 0.991
    assert reference.score("GunPoint", "Mine", (0,)) == 0.987


def test_unquoted_decimal_commas_between_commas_are_refused(tmp_path):
    assert problems(tmp_path, "dataset,X\nA,0,991\n") == ["others.csv:2: has 3 values, the header 2"]


def test_percentages_are_refused_with_a_hint(tmp_path):
    assert problems(tmp_path, "dataset,X\nA,99.1\nB,55 %\n") == [
        "others.csv:2: X on A: expected an accuracy between 0 and 1, got '99.1'",
        "others.csv:3: X on B: expected an accuracy between 0 and 1, got '55 %'",
        "others.csv: if its values are percentages, divide them by 100",
    ]


@pytest.mark.parametrize("text", ["1e999", "inf", "-0.1", "0_5", "1,000,5"])
def test_what_is_no_score_is_refused(tmp_path, text):
    assert problems(tmp_path, f'dataset,X\nA,"{text}"\n')[0].endswith(f"between 0 and 1, got '{text}'")


def test_text_in_another_encoding_is_decoded_or_refused_with_line_and_byte(tmp_path):
    path = tmp_path / "others.csv"
    path.write_bytes("dataset,Zürich\nGunPoint,0.5\n".encode("utf-16"))
    assert load_reference(str(path)).classifiers == ("Zürich",)
    path.write_bytes("dataset,X\nGünPoint,0.5\n".encode("latin-1"))
    with pytest.raises(
        DataError, match=r"others\.csv:2: byte 2 of the line \(0xFC\) is not UTF-8; save the file as UTF-8"
    ):
        load_reference(str(path))
    path.write_bytes("dataset,X\nA,0.5\n".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"others\.csv:1: holds a zero byte"):
        load_reference(str(path))


def test_similar_names_in_one_file_stay_apart_and_are_named(tmp_path):
    reference = read(tmp_path, "dataset,X\nGun_Point,0.9\nGunPoint,0.8\nallgesturewiimotexeq,0.7\n")
    assert reference.remarks == (
        "others.csv: 'Gun_Point' (line 2) and 'GunPoint' (line 3) are taken as two data sets; if they are the "
        "same, use one spelling.",
    )
    again = reference.match_names(["GunPoint", "AllGestureWiimoteX_eq"])
    assert again.datasets == ("AllGestureWiimoteX_eq", "Gun_Point", "GunPoint")
    assert again.score("GunPoint", "X", (0,)) == 0.8
    assert again.remarks[-1] == "others.csv: 'allgesturewiimotexeq' is taken as 'AllGestureWiimoteX_eq'."


def test_a_file_of_another_metric_is_read(tmp_path):
    path = tmp_path / "others.csv"
    path.write_text("dataset,classifier,accuracy,log_loss\nA,X,0.5,1.25\n")
    assert load_reference(str(path), metric="log_loss").score("A", "X", (0,)) == 1.25
    assert load_reference(str(path)).score("A", "X", (0,)) == 0.5
    with pytest.raises(DataError, match="needs the columns dataset, classifier and roc_auc"):
        load_reference(str(path), metric="roc_auc")


def test_data_sets_are_matched_whatever_their_case(tmp_path):
    reference = read(tmp_path, "dataset,classifier,accuracy\ngunpoint,X,0.5\n").match_names(["GunPoint", "Beef"])
    assert reference.score("GunPoint", "X", (0,)) == 0.5


def test_decimals_are_those_that_figures_were_given_with():
    assert decimals([0.5, 0.93333, 0.1]) == 5
    assert decimals([1.0]) == 0
    assert decimals([]) == 0
