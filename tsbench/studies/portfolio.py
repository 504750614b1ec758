"""The portfolio: configurations that did well on other data sets and complement each other.

`python -m tests.benchmarks.portfolio` learns those of the default space, `python -m tests.benchmarks.narrow` those of
narrow spaces; docs/search.md says what they are worth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Space, label, leaves, offers
from tsbench.studies.sampling import default_parameters, first_parameters

__all__ = ["FILE", "NARROW", "portfolio_of"]

FILE = "portfolio.json"
"""Beside this module: a list of configurations, the most useful first, each with values by dotted name."""

NARROW = "portfolio_narrow.json"
"""Likewise, of a few settings, for narrow spaces, which search little else, and short training."""

SHORT = 20
"""Epochs of the longest training by which the narrow portfolio was learned; after more, the default is as good."""

LEAST_OFFERED = 0.75
"""Share of a configuration's settings that a space must offer: the values of a few are good only beside the others."""


def portfolio_of(space: Space, base: HyperparameterConfig, search: SearchConfig) -> tuple[dict[str, Any], ...]:
    """What a search tries after the recipe's own values, as Optuna's parameters.

    A configuration of the portfolio is used if the space offers most of its values; the other settings stay as the
    recipe has them. A configuration that is then the same as an earlier one is left out.

    Args:
        space: the search space.
        base: the recipe's own values.
        search: the recipe's search settings.

    Returns:
        Empty without a portfolio, and for a grid, which tries every combination anyway.
    """
    if search.portfolio == "none" or search.sampler == "grid":
        return ()
    found = _of_file(FILE, space, base, search)
    training = base.training
    if found or training.min_steps or training.epochs > SHORT:
        return found
    # Of a narrow one's few settings it is unknown how good they are beside others that are searched.
    return _of_file(NARROW, space, base, search, LEAST_OFFERED * len(space))


def _of_file(
    file: str, space: Space, base: HyperparameterConfig, search: SearchConfig, least: float = 0.0
) -> tuple[dict[str, Any], ...]:
    own = default_parameters(space, base)
    known = [_active(parameters, space, base) for parameters in first_parameters(space, base, search)]
    found: list[dict[str, Any]] = []
    for configuration in json.loads(files(__package__).joinpath(file).read_text(encoding="utf-8")):
        offered = {name: label(value) for name, value in configuration.items() if _is_offered(space, name, value)}
        if len(offered) < max(least, LEAST_OFFERED * len(configuration)):
            continue
        parameters = _active(own | offered, space, base)
        if parameters not in known:
            known.append(parameters)
            found.append(parameters)
    return tuple(found)


def _is_offered(space: Space, name: str, value: Any) -> bool:
    return name in space and offers(space[name], value)


def _active(parameters: Mapping[str, Any], space: Space, base: HyperparameterConfig) -> dict[str, Any]:
    """The parameters whose conditions hold, as far as that is known without the sampler's draws."""
    values = {name: label(value) for name, value in leaves(base)}
    active: dict[str, Any] = {}
    for name, entry in space.items():
        if name in parameters and all(values[key] in wanted for key, wanted in entry.when.items()):
            active[name] = values[name] = parameters[name]
    return active
