"""The candidates of `auto` and their cost; `AUTO_PRESETS` has the order in which they are tried.

Importing this module imports no library of classifiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tsbench.classifiers.baselines import BASELINES, find_baseline
from tsbench.recipe.messages import suggestion
from tsbench.recipe.registries import AUTO_PRESETS

if TYPE_CHECKING:
    from tsbench.classifiers.contract import Classifier
    from tsbench.data.collection import Collection

__all__ = ["CANDIDATES", "Candidate", "Size", "candidate_of", "candidates_of"]


@dataclass(frozen=True)
class Size:
    """The size of a collection of training cases: its cases, channels, longest case in time steps, and classes."""

    cases: int
    channels: int
    steps: int
    classes: int

    @classmethod
    def of(cls, cases: Collection) -> Size:
        """The size of training cases."""
        return cls(len(cases), cases.channels, cases.length, len(cases.classes))

    @property
    def values(self) -> int:
        """Number of values in all cases."""
        return self.cases * self.channels * self.steps


@dataclass(frozen=True)
class Candidate:
    """A classifier that may become a member.

    Attributes:
        name: in the leaderboard.
        classifier: a registered baseline's name, an import path, or `network`.
        parameters: of its constructor; of `network`, settings by their dotted names.
        closed_form: whether its fit gives unbiased out-of-fold probabilities.
        bagged: whether the classifiers of the folds vote, instead of one that is fitted on all cases.
        cost: seconds of a fit on one core, as (constant, for 10,000 values, for 1,000 cases, for the cube of 1,000
            cases). The cube is the ridge head's, whose products are of at most as many rows as there are features.
        features: numbers that are kept for each case while it is fitted, in 4 bytes each.
    """

    name: str
    classifier: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    closed_form: bool = False
    bagged: bool = False
    cost: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 0.0)
    features: int = 1000

    def make(self, device: str) -> Classifier:
        """Creates the unfitted classifier; imports torch only for a network."""
        if self.classifier != "network":
            return find_baseline(self.classifier, self.parameters)
        from tsbench.classifiers.ensemble import TunedNetwork
        from tsbench.recipe.dotted import hyperparameters_of

        return TunedNetwork(hyperparameters_of(self.parameters), 1, device)

    def seconds(self, size: Size) -> float:
        """An estimate of one fit on one core, which the measured seconds of other members correct."""
        constant, per_value, per_case, per_cube = self.cost
        rows = min(size.cases, self.features)
        return constant + per_value * size.values / 1e4 + per_case * size.cases / 1e3 + per_cube * (rows / 1e3) ** 3

    def bytes(self, size: Size) -> int:
        """An estimate of a fit's memory: the features twice, and the products of all pairs of cases."""
        return 2 * 4 * size.cases * self.features + (8 * size.cases**2 if self.closed_form else 0)


CANDIDATES: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        Candidate("minirocket", "minirocket", closed_form=True, cost=(0.05, 0.01, 0.4, 0.3), features=10_000),
        Candidate("quant", "quant", cost=(0.1, 0.09, 0.5, 0.0), features=4_000),
        Candidate(
            "multirocket-hydra", "multirocket-hydra", closed_form=True, cost=(0.05, 0.42, 5.0, 0.6), features=60_000
        ),
        Candidate("rdst", "rdst", cost=(0.1, 0.33, 4.0, 0.5), features=30_000),
        Candidate("hydra", "hydra", closed_form=True, cost=(0.05, 0.13, 0.5, 0.3), features=10_000),
        Candidate("multirocket", "multirocket", closed_form=True, cost=(0.05, 0.32, 4.0, 0.6), features=50_000),
        Candidate("rocket", "rocket", closed_form=True, cost=(0.05, 0.8, 2.0, 0.4), features=20_000),
        # only its learned branch, as other members compute the features
        Candidate("network", "network", {"model.features.blocks": []}, bagged=True, cost=(12.0, 2.0, 0.0, 0.0)),
        Candidate("weasel2", "weasel2", cost=(0.5, 0.6, 4.0, 0.5), features=30_000),
        Candidate("rist", "rist", cost=(2.0, 2.0, 4.0, 0.0), features=10_000),
        Candidate("drcif", "drcif", cost=(30.0, 20.0, 0.0, 0.0)),
    )
}


def candidates_of(preset: str, members: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None) -> list[Candidate]:
    """The candidates of a preset, or those that are named, in order.

    Args:
        preset: one of `AUTO_PRESETS`; used if no members are named.
        members: names of candidates or of registered baselines, or import paths of classifiers, each alone or with
            parameters.

    Raises:
        ValueError: the preset is unknown, `members` is a text, a member is neither known nor an import path, or one is
            named twice. What an import path names is found out when it is made, as its library may be missing and the
            others go on.
    """
    if isinstance(members, str):
        raise ValueError(f"members must be a list of names, got the text {members!r}; use [{members!r}]")
    if preset not in AUTO_PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(AUTO_PRESETS)}")
    chosen = AUTO_PRESETS[preset] if members is None else members
    found = [_candidate(member, {}) if isinstance(member, str) else _candidate(*member) for member in chosen]
    twice = [name for name, count in Counter(candidate.name for candidate in found).items() if count > 1]
    if twice:
        raise ValueError(f"a member is named twice: {', '.join(twice)}")
    return found


def candidate_of(name: str, classifier: str, parameters: Mapping[str, Any]) -> Candidate:
    """A candidate with another name and other parameters than the known one of this classifier."""
    return replace(CANDIDATES.get(classifier, Candidate(name, classifier)), name=name, parameters=parameters)


def _candidate(classifier: str, parameters: Mapping[str, Any]) -> Candidate:
    known = CANDIDATES.get(classifier)
    if known is None:
        if classifier not in BASELINES and "." not in classifier:
            names = sorted({*CANDIDATES, *BASELINES})
            hint = suggestion(classifier, names) or f"; known: {', '.join(names)}"
            raise ValueError(f"unknown member {classifier!r}{hint}")
        known = Candidate(classifier, classifier)
    if not parameters:
        return known
    given = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return replace(known, name=f"{classifier}({given})", parameters={**known.parameters, **parameters})
