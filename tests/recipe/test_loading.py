import json
from pathlib import Path

import pytest

from tsbench.classifiers.baselines import BASELINES
from tsbench.errors import RecipeError, TrackingError
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import ModelConfig, Recipe, SearchConfig
from tsbench.recipe.space import DEFAULT_SPACE, Choice, FloatRange

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
BASE = "name: small\ndatasets: [GunPoint]\n"  # what a test appends begins in line 3
TOP = (
    "model, training, preprocessing, name, datasets, archive, space, search, auto, evaluation, baselines, tracking, "
    "execution"
)
NAMES = "may hold letters, digits, '-', '_' and '.', and must begin with a letter or digit"
DURATION = "expected a duration such as '90 s', '3 min' or '2 h'"


@pytest.fixture
def load(tmp_path):
    def loaded(text, *overrides, baselines=None):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text.encode())
        return load_recipe(path, overrides, baselines)

    return loaded


@pytest.fixture
def problems(load, tmp_path):
    """The sentences that a recipe is refused with, its folder left out."""

    def of(text, *overrides, baselines=None):
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides, baselines=baselines)
        assert str(caught.value).split("\n") == list(caught.value.problems)
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return of


# --- keys


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("serch: {}\n", "recipe.yaml:3:1 serch: unknown key; did you mean 'search'?"),
        ("zzz: 1\n", f"recipe.yaml:3:1 zzz: unknown key; known here: {TOP}"),
        ("auto: {presett: good}\n", "recipe.yaml:3:8 auto.presett: unknown key; did you mean 'preset'?"),
        ("search: {trails: 3}\n", "recipe.yaml:3:10 search.trails: unknown key; did you mean 'trials'?"),
        ("search:\n  seed: 1\n  trails: 3\n", "recipe.yaml:5:3 search.trails: unknown key; did you mean 'trials'?"),
        (
            "model:\n  encoder:\n    hiden_size: 3\n",
            "recipe.yaml:5:5 model.encoder.hiden_size: unknown key; did you mean 'hidden_size'?",
        ),
        (
            "search:\n  xyz: 3\n",
            f"recipe.yaml:4:3 search.xyz: unknown key; known here: {', '.join(SearchConfig.model_fields)}",
        ),
    ],
)
def test_a_mistyped_key_is_refused_with_its_place_and_what_was_meant(problems, text, sentence):
    assert problems(BASE + text) == [sentence]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("datasets: [GunPoint]\n", ["recipe.yaml:1:1 name: this key is required"]),
        ("name: small\n", ["recipe.yaml:1:1 datasets: this key is required"]),
        ("{}\n", ["recipe.yaml:1:1 datasets: this key is required", "recipe.yaml:1:1 name: this key is required"]),
    ],
)
def test_a_key_that_is_required_is_asked_for(problems, text, sentences):
    assert problems(text) == sentences


def test_a_key_that_is_a_number_is_reported_at_its_line(problems):
    assert problems(f"{BASE}1: 3\n")[0].startswith("recipe.yaml:3:1 1: unknown key")


# --- values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("search: {trials: three}\n", "3:10 search.trials: expected a whole number, got 'three'"),
        ("search: {trials: 3.0}\n", "3:10 search.trials: expected a whole number, got 3.0"),
        ("search: {trials: 1e2}\n", "3:10 search.trials: expected a whole number, got 100.0"),
        ('search: {trials: "3"}\n', "3:10 search.trials: expected a whole number, got '3'"),
        ("search: {trials: [3]}\n", "3:10 search.trials: expected a whole number, got [3]"),
        ("search: {trials: 2020-01-01}\n", "3:10 search.trials: expected a whole number, got '2020-01-01'"),
        ("model: {dropout: low}\n", "3:9 model.dropout: expected a number, got 'low'"),
        ("model: {dropout: .nan}\n", "3:9 model.dropout: expected a finite number, got nan"),
        (
            "training: {learning_rate: .inf}\n",
            "3:12 training.learning_rate: expected a finite number, got inf",
        ),
        ("model: {skip: no}\n", "3:9 model.skip: expected true or false, got 'no'"),
        ("model: [a]\n", "3:1 model: expected a mapping of keys to values, got ['a']"),
        ("model: text\n", "3:1 model: expected a mapping of keys to values, got 'text'"),
        ("model: {encoder: 3}\n", "3:9 model.encoder: expected a mapping of keys to values, got 3"),
        ("baselines: dummy\n", "3:1 baselines: expected a list, got 'dummy'"),
        (
            "model: {convolution: {kernels: 3}}\n",
            "3:23 model.convolution.kernels: expected a list, got 3",
        ),
        ("tracking: {uri: 3}\n", "3:12 tracking.uri: expected a text, got 3"),
        ("tracking: {uri: ''}\n", "3:12 tracking.uri: expected a text that is not empty, got ''"),
        (
            "execution: {workers: '2'}\n",
            "3:13 execution.workers: expected 'auto' or a whole number of at least 1, got '2'",
        ),
        (
            "training: {max_gradient_norm: 0}\n",
            "3:12 training.max_gradient_norm: expected a number greater than 0, or null for none, got 0",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_never_converted(problems, text, sentence):
    assert problems(BASE + text) == [f"recipe.yaml:{sentence}"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("search: {trials: -1}\n", "3:10 search.trials: must be at least 0, got -1"),
        ("search: {folds: 1}\n", "3:10 search.folds: must be at least 2, got 1"),
        ("search: {seed: 4294967296}\n", "3:10 search.seed: must be less than 4294967296, got 4294967296"),
        ("search: {seed: -1}\n", "3:10 search.seed: must be at least 0, got -1"),
        ("model: {dropout: 1.0}\n", "3:9 model.dropout: must be less than 1.0, got 1.0"),
        ("model: {dropout: -0.1}\n", "3:9 model.dropout: must be at least 0.0, got -0.1"),
        (
            "training: {learning_rate: 0}\n",
            "3:12 training.learning_rate: must be greater than 0.0, got 0",
        ),
        (
            "model: {convolution: {kernels: [3, 0]}}\n",
            "3:36 model.convolution.kernels.1: expected time steps, or a share between 0 and 1, got 0",
        ),
        (
            "model: {convolution: {kernels: []}}\n",
            "3:23 model.convolution.kernels: expected at least one value, got []",
        ),
        (
            "execution: {workers: 0}\n",
            "3:13 execution.workers: expected 'auto' or a whole number of at least 1, got 0",
        ),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_bound(problems, text, sentence):
    assert problems(BASE + text) == [f"recipe.yaml:{sentence}"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "model: {encoder: {type: lstmm}}\n",
            "3:19 model.encoder.type: expected one of lstm, gru, transformer, none, got 'lstmm'; did you mean 'lstm'?",
        ),
        (
            "model: {attention: {type: dual}}\n",
            "3:21 model.attention.type: expected one of none, single, multi, got 'dual'",
        ),
        (
            "search: {sampler: auto}\n",
            "3:10 search.sampler: Optuna's AutoSampler is no part of Optuna but of OptunaHub, which downloads its "
            "code when it is used; write tpe, which searches spaces of every kind",
        ),
        (
            "search: {metric: acuracy}\n",
            "3:10 search.metric: expected one of accuracy, balanced_accuracy, f1_macro, log_loss, roc_auc, "
            "got 'acuracy'; did you mean 'accuracy'?",
        ),
        ("model: {pooling: 3}\n", "3:9 model.pooling: expected one of max, average, both, got 3"),
        ("execution: {device: gpu}\n", "3:13 execution.device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    ],
)
def test_a_value_that_is_not_among_the_choices_is_refused_with_them(problems, text, sentence):
    assert problems(BASE + text) == [f"recipe.yaml:{sentence}"]


@pytest.mark.parametrize("value", ["3 mins", "three", "3 min 2 s", "1e3 s", "true"])
def test_a_bad_duration_is_refused_with_examples(problems, value):
    given = "True" if value == "true" else repr(value)
    expected = f"recipe.yaml:3:10 search.timeout: {DURATION}, got {given}"
    assert problems(f"{BASE}search: {{timeout: {value}}}\n") == [expected]


@pytest.mark.parametrize(("value", "given"), [("0", "0"), ("-3", "-3"), ("0 s", "'0 s'")])
def test_a_duration_must_be_longer_than_nothing(problems, value, given):
    expected = f"recipe.yaml:3:10 search.timeout: must be longer than 0 s, got {given}"
    assert problems(f"{BASE}search: {{timeout: {value}}}\n") == [expected]


def test_an_unknown_baseline_is_refused_where_the_known_ones_are_given(load, problems):
    known = ["minirocket", "dummy"]
    assert problems(f"{BASE}baselines: [dumy]\n", baselines=known) == [
        "recipe.yaml:3:13 baselines.0: unknown baseline 'dumy'; did you mean 'dummy'?"
    ]
    assert problems(f"{BASE}baselines: [dummy, zzz]\n", baselines=known) == [
        "recipe.yaml:3:20 baselines.1: unknown baseline 'zzz'; known: dummy, minirocket"
    ]
    assert [baseline.name for baseline in load(f"{BASE}baselines: [zzz]\n").recipe.baselines] == ["zzz"]


def test_a_baseline_or_data_set_named_twice_is_refused(problems):
    text = "name: small\ndatasets: [A, B, A, B, C]\nbaselines: [dummy, dummy]\n"
    assert problems(text) == [
        "recipe.yaml:2:1 datasets: named more than once: A, B",
        "recipe.yaml:3:1 baselines: named more than once: dummy",
    ]


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", ".hidden", "a b", "", "..", "a\\b", "é"])
def test_a_data_set_name_that_could_be_a_path_is_refused(problems, name):
    expected = f"recipe.yaml:2:12 datasets.0: {NAMES}, got {name!r}"
    assert problems(f"name: small\ndatasets: ['{name}']\n") == [expected]


@pytest.mark.parametrize("name", ["../x", "a b", "a/b"])
def test_a_recipe_name_that_could_be_a_path_is_refused(problems, name):
    assert problems(f"name: {name}\ndatasets: [A]\n") == [f"recipe.yaml:1:1 name: {NAMES}, got {name!r}"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("null", "2:1 datasets: expected a list, got None"),
        ("17", "2:1 datasets: expected a list, got 17"),
        ("[]", "2:1 datasets: expected at least one value, got []"),
        ("[A, 1]", "2:15 datasets.1: expected a text, got 1"),
    ],
)
def test_the_data_sets_are_a_list_of_names(problems, value, sentence):
    assert problems(f"name: small\ndatasets: {value}\n") == [f"recipe.yaml:{sentence}"]


@pytest.mark.parametrize(
    ("entries", "sentences"),
    [
        ("ucr-113", ["2:1 datasets: unknown collection 'ucr-113'; did you mean 'ucr-112'?"]),
        ("[A, uae-26*]", []),
        ("[{collection: ucr-84}]", ["2:13 datasets.0.collection: unknown collection 'ucr-84'; did you mean 'ucr-85'?"]),
        (
            "[{collection: ucr, max_lenght: 5}]",
            ["2:30 datasets.0.max_lenght: unknown key; did you mean 'max_length'?"],
        ),
        ("[{name: p, file: a.csv, trian: b}]", ["2:35 datasets.0.trian: unknown key; did you mean 'train'?"]),
        (
            "[{name: p, file: a.csv, split: {test_sise: 0.1}}]",
            ["2:43 datasets.0.split.test_sise: unknown key; did you mean 'test_size'?"],
        ),
        (
            "[{name: p, file: a.csv, format: xls}]",
            ["2:35 datasets.0.format: expected one of auto, ts, arff, ucr, npz, long, got 'xls'"],
        ),
        ("[{file: a.csv}]", ["2:12 datasets.0.name: this key is required"]),
        (
            "[{name: p, train: a.csv}]",
            ["2:12 datasets.0.test: expected `train` and `test`, or `file` and `split`; there is no test"],
        ),
        (
            "[{name: p, train: a.csv, test: b.csv, file: c.csv}]",
            ["2:49 datasets.0.file: expected `file` alone, or `train` and `test`, got both"],
        ),
        (
            "[{name: p, train: a, test: b, split: {group: g}}]",
            [
                "2:41 datasets.0.split: `split` is for one `file`; with `train` and `test` leave it out, and write "
                "`group` beside them"
            ],
        ),
        ("[A, {name: A, file: a.csv}]", ["2:1 datasets: named more than once: A"]),
    ],
)
def test_own_data_collections_and_filters_are_checked_in_their_place(problems, load, entries, sentences):
    text = f"name: small\ndatasets: {entries}\n"
    if sentences:
        assert problems(text) == [f"recipe.yaml:{sentence}" for sentence in sentences]
    else:
        assert load(text).recipe.datasets


def test_a_resolved_recipe_with_own_data_is_a_recipe_again(load):
    own = "{name: p, file: a.parquet, case: id, time: t, label: y, split: {test_size: 0.2, group: m}}"
    pair = "{name: q, train: a.ts, test: b.ts}"
    text = f"name: small\ndatasets: [GunPoint, uea-26, {own}, {pair}, {{collection: ucr, max_length: 99}}]\n"
    loaded = load(text)
    again = Recipe.model_validate(loaded.resolved())
    assert again.datasets == loaded.recipe.datasets
    assert loaded.recipe.datasets[2].grouping == "m"


@pytest.mark.parametrize("group", ["model", "search", "tracking"])
def test_a_group_whose_keys_are_all_commented_out_means_the_defaults(load, group):
    recipe = load(f"{BASE}{group}:\n  # nothing\n").recipe
    assert getattr(recipe, group) == type(getattr(recipe, group))()


def test_one_report_holds_all_problems_sorted_by_line(problems):
    text = (
        "datasets: ['../x']\n"  # and the name is not there
        "space:\n"
        "  model.dropout:\n"
        "    float: [0.0, 1.5]\n"
        "  model.drpout: {choice: []}\n"
        "\n\n\n\n"
        "search:\n"
        "  trails: 3\n"
        "  folds: 1\n"
        "baselines: [dumy]\n"
    )
    assert problems(text, baselines=["dummy"]) == [
        "recipe.yaml:1:1 name: this key is required",
        f"recipe.yaml:1:12 datasets.0: {NAMES}, got '../x'",
        "recipe.yaml:4:18 space.model.dropout.float.1: not a value of model.dropout: must be less than 1.0, got 1.5",
        "recipe.yaml:5:3 space.model.drpout: there is no such setting; did you mean 'model.dropout'?",
        "recipe.yaml:11:3 search.trails: unknown key; did you mean 'trials'?",
        "recipe.yaml:12:3 search.folds: must be at least 2, got 1",
        "recipe.yaml:13:13 baselines.0: unknown baseline 'dumy'; did you mean 'dummy'?",
    ]


def test_a_huge_whole_number_is_a_problem_not_a_crash(problems):
    assert problems(f"{BASE}model: {{dropout: 0x{'f' * 5000}}}\n")


@pytest.mark.parametrize("value", ["3", "[a]", "true", "defaults"])
def test_a_space_of_the_wrong_type_is_one_problem(problems, value):
    assert len(problems(f"{BASE}space: {value}\n")) == 1


def test_a_space_whose_entries_are_all_commented_out_is_empty(load):
    assert load(f"{BASE}space:\n  # nothing\n").space == {}


def test_a_list_of_wrong_items_is_not_called_empty_too(problems):
    assert problems(f"{BASE}model: {{convolution: {{kernels: [3.5]}}}}\n") == [
        "recipe.yaml:3:33 model.convolution.kernels.0: expected time steps, or a share between 0 and 1, got 3.5"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("search: {trials: %s}\n", "search.trials: must be at most 9223372036854775807, got "),
        ("search: {folds: %s}\n", "search.folds: must be at most 9223372036854775807, got "),
        ("search: {timeout: %s}\n", "search.timeout: must be longer than 0 s, got "),
        ("training: {warmup_epochs: %s}\n", "training.warmup_epochs: must be at most 9223372036854775807, got "),
        ("training: {weight_decay: %s}\n", "training.weight_decay: expected a number, got "),
        ("execution: {workers: %s}\n", "execution.workers: expected 'auto' or a whole number of at least 1, got "),
        ("archive: %s\n", "archive: expected a text, got "),
    ],
)
def test_a_long_value_is_refused_and_shown_by_its_beginning(problems, text, sentence):
    (one,) = problems(BASE + text % ("9" * 400))
    assert one.endswith(f" {sentence}{'9' * 57}...")


# --- files


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [a\n", "recipe.yaml:2:1 not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: a: b\n", "recipe.yaml:1:8 not valid YAML: mapping values are not allowed here"),
        ("name: a\n\tb: c\n", "recipe.yaml:2:1 not valid YAML: found character '\\t' that cannot start any token"),
        ("name: a\n---\nname: b\n", "recipe.yaml:2:1 not valid YAML: but found another document"),
        ("a: *b\n", "recipe.yaml:1:4 not valid YAML: found undefined alias 'b'"),
        (
            f"{BASE}search: {{trials: 1, trials: 2}}\n",
            'recipe.yaml:3:21 not valid YAML: found duplicate key "trials" with value "2" (original value: "1")',
        ),
        (
            f"{BASE}name: b\n",
            'recipe.yaml:3:1 not valid YAML: found duplicate key "name" with value "b" (original value: "small")',
        ),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(problems, text, sentence):
    assert problems(text) == [sentence]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_refused(problems, text):
    assert problems(text) == ["recipe.yaml: the file is empty; `tsbench init` writes a recipe to start from"]


@pytest.mark.parametrize("text", ["- a\n- b\n", "[]\n", "just a text\n", "3\n"])
def test_a_file_that_is_not_a_mapping_is_refused(problems, text):
    (sentence,) = problems(text)
    assert sentence.startswith("recipe.yaml:1:1 expected `key: value` lines, got ")


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "absent.yaml"
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: file not found; `tsbench init` writes a recipe to start from"
    assert caught.value.exit_code == 2


def test_a_folder_is_not_a_recipe(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, not a recipe"


@pytest.mark.parametrize(
    ("content", "place", "byte"),
    [(b"name: \xff\xfe\n", "1:7", 6), ((BASE).encode("utf-16"), "1:1", 0), ("ä: 1\nü: ".encode() + b"\xff", "2:4", 10)],
)
def test_a_file_that_is_not_utf8_is_refused(tmp_path, content, place, byte):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}:{place} is not UTF-8 text (byte {byte})"


def test_a_byte_order_mark_and_windows_line_ends_are_taken(load, problems):
    assert load("\ufeff" + BASE.replace("\n", "\r\n")).recipe.name == "small"
    text = (BASE + "serch: 3\n").replace("\n", "\r\n")
    assert problems(text) == ["recipe.yaml:3:1 serch: unknown key; did you mean 'search'?"]


def test_a_path_may_be_a_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(BASE)
    assert load_recipe(str(path)).path == path


@pytest.mark.parametrize(
    "value",
    ["!!bool x", "!!int", "!!float", "!!set a", "!!omap a", "[" * 400 + "]" * 400],
    ids=["bool", "int", "float", "set", "omap", "deep"],
)
def test_a_value_that_its_tag_does_not_fit_is_a_problem_not_a_crash(problems, value):
    assert problems(f"{BASE}archive: {value}\n")


def test_a_list_instead_of_a_mapping_is_called_a_list(problems):
    assert "Commented" not in problems("- a\n")[0]


# --- YAML 1.2


def test_a_number_with_an_exponent_is_a_number_and_no_is_a_text(load):
    recipe = load("name: no\ndatasets: [on, off]\ntraining: {learning_rate: 1e-4}\nsearch: {timeout: 1_0}\n").recipe
    assert recipe.name == "no"
    assert recipe.datasets == ("on", "off")
    assert recipe.training.learning_rate == 0.0001
    assert type(recipe.training.learning_rate) is float


def test_an_anchor_can_be_used_again(load):
    text = f"{BASE}model:\n  encoder: &heads {{heads: 8}}\n  attention: *heads\n"
    model = load(text).recipe.model
    assert (model.encoder.heads, model.attention.heads) == (8, 8)


def test_a_merge_key_gives_what_is_not_given_beside_it(load):
    text = f"{BASE}model:\n  encoder: &e {{heads: 8}}\n  attention:\n    <<: *e\n    type: multi\n"
    attention = load(text).recipe.model.attention
    assert (attention.heads, attention.type) == (8, "multi")


def test_a_problem_in_a_merged_group_is_reported_where_it_is_merged(problems):
    text = f"{BASE}model:\n  encoder: &e {{type: gru}}\n  attention:\n    <<: *e\n"
    assert problems(text) == [
        "recipe.yaml:5:3 model.attention.type: expected one of none, single, multi, got 'gru'",
    ]


def test_a_merged_setting_counts_as_fixed(problems):
    text = (
        f"{BASE}model:\n  encoder: &e {{heads: 8}}\n  attention: {{<<: *e}}\n"
        "space: {model.attention.heads: {choice: [2, 4]}}\n"
    )
    assert problems(text) == [
        "recipe.yaml:6:9 space.model.attention.heads: is both fixed and searched; remove one of the two"
    ]


# --- overrides


def test_an_override_replaces_what_the_file_says(load):
    loaded = load(f"{BASE}search: {{trials: 3, seed: 5}}\n", "search.trials=7", "name=other", "datasets=[A, B]")
    assert loaded.recipe.search == SearchConfig(trials=7, seed=5)
    assert loaded.recipe.name == "other"
    assert loaded.recipe.datasets == ("A", "B")


def test_an_override_adds_a_nested_key(load):
    loaded = load(BASE, "model.encoder.type=gru", "training.learning_rate=1e-3", "search.timeout=3 min")
    assert loaded.recipe.model.encoder.type == "gru"
    assert loaded.recipe.training.learning_rate == 0.001
    assert loaded.recipe.search.timeout == 180.0


def test_an_override_replaces_an_entry_of_a_list_or_a_part_of_it(load):
    text = "name: x\ndatasets:\n  - {name: own, file: a.csv, time: t}\n  - B\nbaselines: [dummy]\n"
    loaded = load(text, "datasets.0.file=b.csv", "datasets.0.split.seed=3", "datasets.1=C", "baselines.0=rocket")
    own, named = loaded.recipe.datasets
    assert (own.file, own.time, own.split.seed, named) == ("b.csv", "t", 3, "C")
    assert [baseline.classifier for baseline in loaded.recipe.baselines] == ["rocket"]


def test_the_last_of_two_overrides_holds(load):
    assert load(BASE, "model.dropout=0.4", "model.dropout=0.5").recipe.model.dropout == 0.5


def test_an_override_can_set_a_value_that_holds_an_equals_sign(load):
    assert load(BASE, "tracking.uri=http://host/?a=b").recipe.tracking.uri == "http://host/?a=b"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("search.trails=7", "search.trails: unknown key; did you mean 'trials'?"),
        ("search.trials=x", "search.trials: expected a whole number, got 'x'"),
        ("search.trials='3'", "search.trials: expected a whole number, got '3'"),
        ("model.dropout=9", "model.dropout: must be less than 1.0, got 9"),
        ("model={dropout: 9}", "model.dropout: must be less than 1.0, got 9"),
        ("serch=1", "serch: unknown key; did you mean 'search'?"),
        (
            "space.model.dropot={float: [0, 0.2]}",
            "space.model.dropot: there is no such setting; did you mean 'model.dropout'?",
        ),
        ("space.model.dropout={flaot: [0, 0.2]}", "space.model.dropout.flaot: unknown key; did you mean 'float'?"),
        ("search.trials=[", "search.trials: the value is not valid YAML: '['"),
        ("datasets.7=A", "datasets: there is no entry '7'; they are counted from 0 to 0"),
        ("datasets.name=A", "datasets: there is no entry 'name'; they are counted from 0 to 0"),
    ],
)
def test_a_problem_in_an_override_is_attributed_to_it(problems, override, sentence):
    assert problems(f"{BASE}search: {{trials: 3}}\n", override) == [f"`overrides` {override} {sentence}"]


def test_problems_of_overrides_stand_before_those_of_the_file(problems):
    assert problems(f"{BASE}serch: 3\n", "search.trials=x") == [
        "`overrides` search.trials=x search.trials: expected a whole number, got 'x'",
        "recipe.yaml:3:1 serch: unknown key; did you mean 'search'?",
    ]


@pytest.mark.parametrize("override", ["search.trials", "=3", "", "  =3"])
def test_an_override_without_key_or_value_is_refused(problems, override):
    assert problems(BASE, override) == [
        f"`overrides` {override} is not of the form KEY=VALUE, such as search.trials=30"
    ]


SEARCHED = BASE + "space:\n  model.dropout: {float: [0, 0.5]}\n  model.skip: {choice: [true, false]}\n"


def test_an_override_of_a_searched_setting_takes_it_out_of_the_space(load):
    loaded = load(SEARCHED, "model.dropout=0.3")
    assert loaded.freed == ("model.dropout",)
    assert loaded.space == {"model.skip": Choice((True, False))}
    assert loaded.recipe.model == ModelConfig(dropout=0.3)


def test_nothing_is_freed_by_an_override_of_something_else(load):
    loaded = load(SEARCHED, "training.epochs=3")
    assert loaded.freed == ()
    assert list(loaded.space) == ["model.dropout", "model.skip"]


def test_an_override_of_a_setting_leaves_the_default_space(load):
    names = set(load(f"{BASE}space: default\n").space)
    assert set(load(f"{BASE}space: default\n", "model.dropout=0.3").space) == names - {"model.dropout"}


def test_an_override_replaces_an_entry_of_the_space(load):
    loaded = load(SEARCHED, "space.model.dropout={float: [0, 0.2]}")
    assert loaded.space == {"model.dropout": FloatRange(0.0, 0.2), "model.skip": Choice((True, False))}
    assert loaded.freed == ()


def test_an_override_adds_an_entry_to_the_space(load):
    loaded = load(f"{BASE}space: {{}}\n", "space.model.dropout={float: [0, 0.2]}")
    assert loaded.space == {"model.dropout": FloatRange(0.0, 0.2)}


def test_an_override_can_empty_the_space_or_name_the_default_one(load):
    assert load(SEARCHED, "space={}").space == {}
    assert len(load(SEARCHED, "space=default").space) == len(load(f"{BASE}space: default\n").space)


def test_a_recipe_without_a_space_searches_the_default_one(load):
    default = load(f"{BASE}space: default\n").space
    assert load(BASE).space == default
    assert load(f"{BASE}search: {{trials: 3}}\n").space == default
    changed = load(BASE, "space.model.dropout={float: [0, 0.2]}").space
    assert changed == default | {"model.dropout": FloatRange(0.0, 0.2)}


@pytest.mark.parametrize("text", ["space: {}\n", "search: {trials: 0}\n", "auto: {}\n"])
def test_an_empty_space_and_work_without_a_network_search_nothing(load, text):
    assert load(BASE + text).space == {}


@pytest.mark.parametrize("value", ["2020-99-99", "9" * 5000, "!!bool x"], ids=["date", "digits", "tag"])
def test_an_override_whose_value_cannot_be_constructed_is_a_problem_not_a_crash(problems, value):
    assert problems(BASE, f"archive={value}")[0].startswith("`overrides` archive=")


@pytest.mark.parametrize("override", ["datasets.9=A", "search.trials.x=3", "search..trials=3"])
def test_an_override_that_goes_through_a_value_is_blamed_itself(problems, override):
    assert problems(f"{BASE}search: {{trials: 3}}\n", override)[0].startswith(f"`overrides` {override} ")


def test_an_override_of_a_group_takes_its_settings_out_of_the_space(load):
    assert load(SEARCHED, "model={dropout: 0.3}").freed == ("model.dropout",)


def test_an_override_of_an_entry_keeps_the_rest_of_the_default_space(load):
    loaded = load(f"{BASE}space: default\n", "space.model.dropout={float: [0, 0.2]}")
    assert loaded.space["model.dropout"] == FloatRange(0.0, 0.2)
    assert len(loaded.space) == len(DEFAULT_SPACE)


def test_an_override_of_a_key_that_there_is_not_is_blamed_itself(problems):
    assert problems(BASE, "serch.trials=3") == [
        "`overrides` serch.trials=3 serch: unknown key; did you mean 'search'?",
    ]


def test_of_two_overrides_the_later_is_blamed(problems):
    assert problems(BASE, "model={dropout: 0.1}", "model.dropout=8", "model={dropout: 9}") == [
        "`overrides` model={dropout: 9} model.dropout: must be less than 1.0, got 9"
    ]


# --- conditions on what is not searched

HEADS = "model.encoder.heads: {choice: [2, 4], when: {model.encoder.type: transformer}}"


@pytest.mark.parametrize(
    ("text", "value"), [("", "lstm"), ("model: {encoder: {type: gru}}\n", "gru")], ids=["default", "fixed"]
)
def test_a_condition_that_the_recipe_rules_out_is_a_problem(problems, text, value):
    assert problems(f"{BASE}space: {{{HEADS}}}\n{text}") == [
        "recipe.yaml:3:54 space.model.encoder.heads.when.model.encoder.type: "
        f"can never hold: model.encoder.type is not searched, and is '{value}'"
    ]


def test_a_condition_that_the_recipe_fulfils_is_none(load):
    loaded = load(f"{BASE}space: {{{HEADS}}}\nmodel: {{encoder: {{type: transformer}}}}\n")
    assert list(loaded.space) == ["model.encoder.heads"]


ENCODER = {"model.encoder.layers", "model.encoder.hidden_size", "model.encoder.bidirectional", "model.encoder.heads"}


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("space: default\nmodel: {encoder: {type: none}}\n", []),
        ("space: default\n", ["model.encoder.type=none"]),
        ("space: default\nmodel: {encoder: {type: none}}\n", ["space.model.skip={choice: [true, false]}"]),
    ],
    ids=["fixed", "override", "entry"],
)
def test_the_default_space_loses_what_the_recipe_rules_out(load, text, overrides):
    loaded = load(BASE + text, *overrides)
    assert set(load(f"{BASE}space: default\n").space) - set(loaded.space) == ENCODER | {"model.encoder.type"}
    again = load(json.dumps(loaded.resolved()))
    assert again.space == loaded.space
    assert again.recipe.hyperparameters == loaded.recipe.hyperparameters


def test_an_override_may_leave_an_entry_idle(load):
    space = f"space: {{{HEADS}, model.encoder.type: {{choice: [gru, transformer]}}}}\n"
    assert load(BASE + space, "model.encoder.type=gru").space == {}


# --- whole recipes


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads(path):
    loaded = load_recipe(path, baselines=BASELINES)
    assert loaded.recipe.datasets
    assert loaded.freed == ()


def test_recipes_are_shipped():
    assert SHIPPED


def test_a_resolved_recipe_holds_every_default_and_reads_back_to_itself(load):
    loaded = load(f"{BASE}space: {{}}\nsearch: {{timeout: 90}}\nmodel: {{convolution: {{kernels: [3, 9]}}}}\n")
    tree = loaded.resolved()
    assert list(tree)[:3] == ["name", "datasets", "archive"]
    assert tree["search"]["timeout"] == "90 s"
    assert tree["training"]["weight_decay"] == 0.01
    assert tree["space"] == {}
    again = load(json.dumps(tree))
    assert again.recipe == loaded.recipe


@pytest.mark.parametrize("space", ["default", "{model.encoder.heads: {choice: [1, 8], when: {model.skip: true}}}"])
def test_a_resolved_recipe_with_a_space_reads_back_to_itself(load, space):
    loaded = load(f"{BASE}model: {{dropout: 0.3}}\nspace: {space}\n")
    again = load(json.dumps(loaded.resolved()))
    assert again.space == loaded.space
    assert again.recipe.hyperparameters == loaded.recipe.hyperparameters
    assert again.resolved() == loaded.resolved()


def test_a_resolved_recipe_spells_out_the_space_that_is_searched(load):
    tree = load(SEARCHED, "model.skip=true").resolved()
    assert tree["space"] == {"model.dropout": {"float": [0.0, 0.5]}}
    assert len(load(f"{BASE}space: default\n").resolved()["space"]) == len(DEFAULT_SPACE)


# --- places of what is refused later


def test_addresses_of_stores_are_checked_by_the_given_functions(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(BASE + "tracking: {uri: nowhere}\n")

    def check(address):
        return f"no {address}" if address == "nowhere" else None

    with pytest.raises(RecipeError) as caught:
        load_recipe(path, check_stores={"tracking.uri": check, "search.storage": check})
    assert str(caught.value) == f"{path}:3:12 tracking.uri: no nowhere"
    loaded = load_recipe(path, ["tracking.uri=here"], check_stores={"tracking.uri": check})
    assert loaded.recipe.tracking.uri == "here"


def test_an_error_that_names_a_key_gets_its_place(load, tmp_path):
    loaded = load(BASE + "execution:\n  device: cuda:9\n", "search.trials=3")
    for message, expected in {
        "execution.device is 'cuda:9', but": "recipe.yaml:4:3 execution.device is 'cuda:9', but",
        "execution.launcher 'ray' needs": "recipe.yaml:3:1 execution.launcher 'ray' needs",
        "search.trials are many\nwhat else": "`overrides` search.trials=3 search.trials are many\nwhat else",
        "tracking.uri 'x'": "recipe.yaml:1:1 tracking.uri 'x'",
        "searching failed": "searching failed",
    }.items():
        for error in (RecipeError(message.split("\n")), TrackingError(message)):
            with pytest.raises(type(error)) as caught, loaded.placed():
                raise error
            assert str(caught.value).replace(f"{tmp_path}/", "") == expected
            if isinstance(error, RecipeError):
                assert "\n".join(error.problems) == str(error)


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\\0b", "x" * 5000])
def test_a_path_that_no_file_can_have_is_refused_with_its_key(problems, path):
    found = problems(f'name: a\ndatasets: [{{name: p, file: "{path}"}}]\narchive: "{path}"\n')
    assert [sentence.split(": ")[0] for sentence in found] == [
        "recipe.yaml:2:22 datasets.0.file",
        "recipe.yaml:3:1 archive",
    ]
    assert all(len(sentence) < 250 for sentence in found)


@pytest.mark.parametrize("name", ["invitation.json", "Invitation.JSON", "lock", "slurm", "A-resample-1"])
def test_own_data_cannot_be_named_like_what_tsbench_keeps_beside_it(problems, name):
    (sentence,) = problems(f"name: a\ndatasets: [{{name: {name}, file: x.csv}}]\n")
    assert sentence.startswith("recipe.yaml:2:13 datasets.0.name: cannot ")


def test_a_device_of_thousands_of_digits_is_refused_in_a_short_sentence(problems):
    (sentence,) = problems(BASE + f"execution: {{device: 'cuda:{'9' * 5000}'}}\n")
    assert sentence.startswith("recipe.yaml:3:13 execution.device: expected auto, cpu, cuda or cuda:N, got 'cuda:9")
    assert len(sentence) < 200
