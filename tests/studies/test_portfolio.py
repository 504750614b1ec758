import dataclasses
import json
from importlib.resources import files
from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from tests.studies.test_sampling import waiting
from tests.studies.test_study import finish, make
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Space, assign, label, offers
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.portfolio import FILE, NARROW, portfolio_of
from tsbench.studies.sampling import STARTUP, Suggester, default_parameters, hyperparameters
from tsbench.studies.study import Study

BASE = HyperparameterConfig()
SHIPPED = json.loads(files("tsbench.studies").joinpath(FILE).read_text())
DEFAULT, _ = parse_space("default", set())


def parsed(space: dict) -> Space:
    found, problems = parse_space(space, set())
    assert not problems
    return found


def portfolio(space: Space, base: HyperparameterConfig = BASE, **search: object) -> list[dict]:
    return list(portfolio_of(space, base, SearchConfig.model_validate(search)))


def test_the_default_space_offers_every_value_of_the_portfolio() -> None:
    assert 6 <= len(SHIPPED) <= 9
    for configuration in SHIPPED:
        assert all(offers(DEFAULT[name], value) for name, value in configuration.items())
    found = portfolio(DEFAULT)
    assert found == [{name: label(value) for name, value in each.items()} for each in SHIPPED]
    settings = [hyperparameters(FixedTrial(parameters), DEFAULT, BASE) for parameters in found]
    assert settings == [assign(BASE, each) for each in SHIPPED]
    assert BASE not in settings
    assert len(set(map(repr, settings))) == len(SHIPPED)


def without(*names: str, **changed: object) -> Space:
    """The default space without some settings, and with other entries for some."""
    return {name: entry for name, entry in DEFAULT.items() if name not in names} | parsed(changed)


def test_what_the_space_does_not_search_or_offer_stays_as_the_recipe_has_it() -> None:
    rates = sorted(each["training.learning_rate"] for each in SHIPPED)
    low = (rates[0] + rates[1]) / 2  # one rate is below, all others are not
    space = without("model.dropout", **{"training.learning_rate": {"float": [low, 1e-2], "log": True}})
    found = portfolio(space)
    assert len(found) == len(SHIPPED)
    assert all("model.dropout" not in each for each in found)
    own = default_parameters(space, BASE)["training.learning_rate"]
    expected = [each["training.learning_rate"] for each in SHIPPED]
    assert [each["training.learning_rate"] for each in found] == [rate if rate >= low else own for rate in expected]


SEARCHED = ("model.convolution.kernels", "model.dropout", "training.learning_rate")


BRIEF = HyperparameterConfig.model_validate({"training": {"epochs": 20}})


def test_a_narrow_space_has_a_portfolio_of_its_own_for_short_training() -> None:
    narrow = json.loads(files("tsbench.studies").joinpath(NARROW).read_text())
    space = {name: DEFAULT[name] for name in SEARCHED}
    found = portfolio(space, BRIEF)
    assert found == [{name: label(each[name]) for name in SEARCHED} for each in narrow]
    assert found
    own = default_parameters(DEFAULT, BASE)
    more = [*SEARCHED, "model.pooling"]
    expected = [{"model.pooling": own["model.pooling"]} | found[0]]
    assert portfolio({name: DEFAULT[name] for name in more}, BRIEF) == expected
    assert portfolio({name: DEFAULT[name] for name in [*more, "training.batch_size"]}, BRIEF) == []
    assert portfolio(space) == []
    assert portfolio(space, HyperparameterConfig.model_validate({"training": {"epochs": 21}})) == []


@pytest.mark.parametrize("left_out", SEARCHED)
def test_a_space_that_offers_few_of_its_values_has_no_portfolio(left_out: str) -> None:
    # A learning rate that is good with other kernels says little about the recipe's own.
    assert portfolio({name: DEFAULT[name] for name in SEARCHED if name != left_out}, BRIEF) == []


def test_what_is_the_same_as_an_earlier_configuration_is_left_out() -> None:
    first = portfolio(DEFAULT)
    assert portfolio(DEFAULT, enqueue=first[:1]) == first[1:]


def test_conditions_that_fail_make_no_difference() -> None:
    found = portfolio(DEFAULT)
    types = {each["model.encoder.type"] for each in found}
    assert {"none", "lstm"} <= types
    assert all(("model.encoder.layers" in each) == (each["model.encoder.type"] != "none") for each in found)


@pytest.mark.parametrize("search", [{"portfolio": "none"}, {"sampler": "grid"}])
def test_without_a_portfolio_and_for_a_grid_there_is_none(search: dict) -> None:
    assert portfolio(DEFAULT, **search) == []


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2", "gp"])
def test_every_sampler_draws_after_the_portfolio_and_a_suggester_made_anew_goes_on(sampler: str) -> None:
    space = parsed({"model.dropout": {"float": [0.0, 0.5]}})
    search = SearchConfig(sampler=sampler, enqueue=({"model.dropout": 0.5},))
    first = ({"model.dropout": 0.25}, {"model.dropout": 0.375})
    params: list[dict] = []
    for number in range(len(first) + 4):  # the suggester is made anew for each
        suggester = Suggester(space, BASE, search, ["maximize"], 100, first)
        params.append(suggester.suggest([waiting(place, param) for place, param in enumerate(params)]))
        assert len(params) == number + 1
    own = default_parameters(space, BASE)
    assert params[: len(first) + 2] == [{"model.dropout": 0.5}, own, *first]
    assert params[-1] not in params[:-1]


def test_a_study_keeps_its_portfolio_and_knows_what_a_trial_is_of(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain", trials=6, concurrency=6)
    spec = dataclasses.replace(plain.spec, portfolio=({"model.dropout": 0.25}, {"model.dropout": 0.5}))
    study = Study.create(tmp_path / "s", spec, plain.training, "meaning")
    study.queue.refill()
    finish(study, 0, 0.5)
    study.queue.fail_lost(1, "nothing") if study.queue.claim(1) else None
    again = Study.open(tmp_path / "s")
    assert again.spec == spec
    again.queue.refill()
    trials = again.trials()
    assert [trials.parameters_of(number) for number in (1, 2, 6)] == [*spec.portfolio, spec.portfolio[0]]
    origins = [trials.origin_of(number) for number in range(7)]
    assert origins == ["recipe", "portfolio", "portfolio", "tpe", "tpe", "tpe", "portfolio"]  # the last is tried again


@pytest.mark.parametrize(("trials", "startup"), [(6, 5), (1000, 10)])
def test_a_study_of_an_earlier_version_keeps_its_random_trials(tmp_path: Path, trials: int, startup: int) -> None:
    study = make(tmp_path / "s", trials=trials)
    assert Study.open(study.folder).spec.startup == STARTUP
    file = study.folder / "study.json"
    written = json.loads(file.read_text())
    del written["startup"]
    file.write_text(json.dumps(written))
    assert Study.open(study.folder).spec.startup == startup


def test_a_study_of_an_earlier_version_chooses_by_the_other_folds_alone(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    assert Study.open(study.folder).spec.pooled
    file = study.folder / "study.json"
    written = json.loads(file.read_text())
    del written["pooled"]
    file.write_text(json.dumps(written))
    assert not Study.open(study.folder).spec.pooled


def test_a_study_that_names_no_portfolio_has_none(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    file = study.folder / "study.json"
    written = json.loads(file.read_text())
    del written["portfolio"], written["search"]["portfolio"]
    file.write_text(json.dumps(written))
    spec = Study.open(study.folder).spec
    assert (spec.portfolio, spec.search.portfolio) == ((), "none")
