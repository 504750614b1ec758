import optuna
import pytest
from optuna.trial import TrialState

from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import DEFAULT_SPACE
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.pruning import TrialPruner
from tsbench.studies.sampling import STARTUP, Suggester, default_parameters, former_startup, hyperparameters

SPACE, _ = parse_space(
    {
        "model.encoder.type": {"choice": ["lstm", "none"]},
        "model.encoder.hidden_size": {"int": [8, 64], "log": True, "when": {"model.encoder.type": "lstm"}},
        "model.convolution.kernels": {"choice": [[3, 5, 7], [9, 19, 39]]},
        "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    },
    set(),
)
BASE = HyperparameterConfig.model_validate(
    {"model": {"convolution": {"kernels": [3, 5, 7]}, "encoder": {"type": "lstm"}}}
)


def ask(parameters: dict) -> optuna.Trial:
    study = optuna.create_study()
    study.enqueue_trial(parameters)
    return study.ask()


def test_suggested_values_reach_the_settings_and_the_rest_stays() -> None:
    settings = hyperparameters(
        ask(
            {
                "model.encoder.type": "lstm",
                "model.encoder.hidden_size": 20,
                "model.convolution.kernels": "[9, 19, 39]",
                "training.learning_rate": 0.005,
            }
        ),
        SPACE,
        BASE,
    )
    assert settings.model.encoder.hidden_size == 20
    assert settings.model.convolution.kernels == (9, 19, 39)
    assert settings.training.learning_rate == 0.005
    assert settings.model.dropout == BASE.model.dropout


def test_a_conditional_range_is_left_out_where_its_condition_fails() -> None:
    trial = ask({"model.encoder.type": "none"})
    settings = hyperparameters(trial, SPACE, BASE)
    assert "model.encoder.hidden_size" not in trial.params
    assert settings.model.encoder.hidden_size == BASE.model.encoder.hidden_size


def test_a_condition_on_a_fixed_value_is_judged_by_it() -> None:
    space, problems = parse_space(
        {"model.encoder.heads": {"choice": [2, 4], "when": {"model.encoder.type": "gru"}}}, set()
    )
    assert not problems
    trial = ask({})
    hyperparameters(trial, space, BASE)
    assert trial.params == {}


def test_every_sample_of_the_default_space_is_a_valid_configuration() -> None:
    space, problems = parse_space("default", set())
    assert not problems
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(50):
        trial = study.ask()
        seen |= set(trial.params)
        hyperparameters(trial, space, BASE)
        seen |= set(trial.params)
    assert seen == set(DEFAULT_SPACE)


def test_the_recipes_own_values_are_the_first_trial_where_the_space_offers_them() -> None:
    assert default_parameters(SPACE, BASE) == {
        "model.encoder.type": "lstm",
        "model.encoder.hidden_size": 32,
        "model.convolution.kernels": "[3, 5, 7]",
        "training.learning_rate": 1e-3,
    }
    for other in ({"float": [0.3, 0.5]}, {"float": [0.0, 0.5], "step": 0.25}):
        narrow, _ = parse_space({"model.dropout": other}, set())
        assert default_parameters(narrow, BASE) == {}


def frozen(number: int, params: dict, value: float | None) -> optuna.trial.FrozenTrial:
    study = optuna.create_study()
    study.enqueue_trial(params)
    trial = study.ask()
    hyperparameters(trial, SPACE, BASE)
    made = study.trials[0]
    made.number = number
    if value is not None:
        made.state, made.values = TrialState.COMPLETE, [value]
    return made


def run_study(values: dict[int, float], order: list[int], concurrency: int = 3, sampler: str = "tpe") -> list[dict]:
    """Parameters of each trial, where trials end in the given order."""
    suggester = Suggester(SPACE, BASE, SearchConfig(trials=20, sampler=sampler, seed=1), ["maximize"], concurrency)
    params: list[dict] = []
    ended: set[int] = set()
    for number in order:
        while suggester.ready([n in ended for n in range(len(params))]):
            trials = [frozen(n, p, values[n] if n in ended else None) for n, p in enumerate(params)]
            params.append(suggester.suggest(trials))
        ended.add(number)
    return params


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2", "gp"])
def test_suggestions_do_not_depend_on_the_order_in_which_trials_end(sampler: str) -> None:
    values = {n: (n * 37 % 17) / 17 for n in range(30)}
    straight = run_study(values, list(range(16)), sampler=sampler)
    swapped = run_study(values, [1, 0, 2, 4, 3, 5, 7, 6, 8, 10, 9, 11, 13, 12, 14, 15], sampler=sampler)
    common = min(len(straight), len(swapped))
    assert common > 12
    assert straight[:common] == swapped[:common]


def test_suggestions_depend_on_earlier_results() -> None:
    order = list(range(16))
    one = run_study({n: n / 30 for n in range(30)}, order)
    other = run_study({n: 1 - n / 30 for n in range(30)}, order)
    assert one[:5] == other[:5]  # random start-up trials
    assert one[8:] != other[8:]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize("trials", [20, 1000])
@pytest.mark.parametrize("former", [False, True])
def test_the_model_draws_after_a_few_results_however_many_trials_there_are(
    sampler: str, trials: int, former: bool
) -> None:
    startup = former_startup(trials) if former else STARTUP
    config = SearchConfig(trials=trials, sampler=sampler, seed=1)

    def drawn(number: int, sign: int) -> dict:
        suggester = Suggester(SPACE, BASE, config, ["maximize"], 1, startup=startup)
        params: list[dict] = []
        for _ in range(number + 1):
            ended = [frozen(n, p, sign * p["training.learning_rate"]) for n, p in enumerate(params)]
            params.append(suggester.suggest(ended))
        return params[number]

    assert drawn(startup - 1, 1) == drawn(startup - 1, -1)
    assert drawn(startup, 1) != drawn(startup, -1)


def test_earlier_versions_drew_by_the_model_after_a_quarter_of_the_trials() -> None:
    assert [former_startup(trials) for trials in (0, 20, 24, 1000)] == [5, 5, 6, 10]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2", "gp"])
def test_a_suggester_made_anew_continues_as_the_old_one_would_have(sampler: str) -> None:
    values = {n: (n * 37 % 17) / 17 for n in range(30)}
    params = run_study(values, list(range(12)), sampler=sampler)
    config = SearchConfig(trials=20, sampler=sampler, seed=1)
    for count in (6, 9, 12):
        fresh = Suggester(SPACE, BASE, config, ["maximize"], 3)
        trials = [frozen(n, p, values[n]) for n, p in enumerate(params[:count])]
        assert fresh.suggest(trials) == params[count]


def test_no_trial_is_ready_before_those_far_enough_back_have_ended() -> None:
    suggester = Suggester(SPACE, BASE, SearchConfig(), ["maximize"], 3)
    assert suggester.ready([])
    assert suggester.ready([False, False])
    assert not suggester.ready([False, True, True])
    assert suggester.ready([True, False, False])
    assert not suggester.ready([True, False, False, True])


def first(count: int, space: dict, **search: object) -> list[dict]:
    """The parameters of the first trials, none of which has ended."""
    parsed, problems = parse_space(space, set())
    assert not problems
    suggester = Suggester(parsed, BASE, SearchConfig.model_validate(search), ["maximize"], count)
    params: list[dict] = []
    for _ in range(count):
        params.append(suggester.suggest([waiting(number, param) for number, param in enumerate(params)]))
    return params


def waiting(number: int, params: dict) -> optuna.trial.FrozenTrial:
    study = optuna.create_study()
    study.enqueue_trial(params)
    trial = study.get_trials()[0]
    trial.number, trial.params = number, params
    return trial


def test_queued_configurations_come_first_then_the_recipes_own_then_the_samplers() -> None:
    space = {"model.dropout": {"float": [0.0, 0.5]}, "model.convolution.kernels": {"choice": [[3, 5, 7], [9, 19, 39]]}}
    queue = [{"model.dropout": 0.25}, {"model.dropout": 0.5, "model.convolution.kernels": [9, 19, 39]}]
    params = first(4, space, enqueue=queue)
    assert params[0] == {"model.dropout": 0.25, "model.convolution.kernels": "[3, 5, 7]"}
    assert params[1] == {"model.dropout": 0.5, "model.convolution.kernels": "[9, 19, 39]"}
    assert params[2] == {"model.dropout": BASE.model.dropout, "model.convolution.kernels": "[3, 5, 7]"}
    assert params[3] not in params[:3]


def test_a_grid_is_every_combination_once_in_an_order_that_the_seed_draws() -> None:
    space = {
        "model.convolution.blocks": {"int": [1, 3]},
        "model.dropout": {"float": [0.0, 0.5], "step": 0.25},
        "model.skip": {"choice": [True, False]},
    }
    params = first(18, space, sampler="grid", seed=3)
    assert len({tuple(sorted(param.items())) for param in params}) == 18
    assert {param["model.dropout"] for param in params} == {0.0, 0.25, 0.5}
    assert first(18, space, sampler="grid", seed=4) != params == first(18, space, sampler="grid", seed=3)


@pytest.mark.parametrize(("sampler", "high", "step"), [("tpe", 0.5, 0.25), ("grid", 0.3, 0.1)])
def test_a_pruner_takes_the_trials_of_a_stepped_range(sampler: str, high: float, step: float) -> None:
    """Optuna refuses a trial with a value between two steps, or above the range by a rounding error."""
    plain = {"model.dropout": {"float": [0.0, high], "step": step}}
    space, _ = parse_space(plain, set())
    study = optuna.create_study()
    for parameters in first(4, plain, sampler=sampler):
        study.enqueue_trial(parameters)
        trial = study.ask()
        hyperparameters(trial, space, BASE)
        study.tell(trial, 0.5)
    TrialPruner(SearchConfig(trials=8), "minimize", study.trials, 4)
