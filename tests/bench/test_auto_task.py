from __future__ import annotations

from tsbench.auto.portfolio import candidates_of
from tsbench.bench.auto_task import with_networks
from tsbench.recipe.dotted import hyperparameters_of


def test_the_searched_networks_replace_the_default_and_not_one_with_parameters_of_its_own() -> None:
    own = ("network", {"training.epochs": 7})
    searched = [hyperparameters_of({"training.epochs": epochs}) for epochs in (11, 13)]
    found = with_networks(candidates_of("good", ["quant", "network", own]), searched)
    epochs = {candidate.name: candidate.parameters.get("training.epochs") for candidate in found}
    assert epochs == {"quant": None, "network 1": 11, "network 2": 13, "network(training.epochs=7)": 7}
