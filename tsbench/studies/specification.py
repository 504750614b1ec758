"""What a study searches: its specification, the file that holds it, and the folds and seeds that follow from it."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsbench.data.collection import TrainingSet
from tsbench.errors import SearchError, argument
from tsbench.evaluation.metrics import MAXIMISED
from tsbench.evaluation.resampling import Fold, fraction_of, held_out_fold, stratified_folds
from tsbench.recipe.former import with_former_values
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Space, describe
from tsbench.recipe.space_parsing import parse_space
from tsbench.studies.pruning import Direction
from tsbench.studies.sampling import STARTUP, former_startup

__all__ = [
    "EARLIER",
    "EARLIER_HOLDOUT",
    "SPECIFICATION",
    "StudySpec",
    "derive_seed",
    "fingerprint_of",
    "folds_of",
    "is_held_out",
    "or_fresh",
    "repeats_for",
    "stored_fingerprint",
    "study_seed",
]

FORMAT = 2  # of study.json; a file without a number has the first format
EARLIER: dict[str, Any] = {
    "confirm": 0,
    "repeats": 1,
    "holdout_redrawn": False,
    "portfolio": "none",
    "constraints": {"parameters": None, "predict_seconds": None},
}
"""Behaviour of earlier versions without these settings, whose studies and runs do not name them."""

EARLIER_HOLDOUT = 5000
"""Default of `search.holdout_above` in these versions, which recorded it."""

FEW_CASES = 60
"""With fewer training cases a single draw of the folds is too noisy: each fold holds out less than twenty cases."""

SPECIFICATION = "study.json"
OPTUNA_NAME = "study"


def or_fresh() -> str:
    """The other way out of a study that cannot be continued."""
    return f"or run the search with {argument('--fresh', 'fresh=True')}, which archives the study and starts a new one"


def derive_seed(*parts: int) -> int:
    """A seed for each tuple of numbers, spread evenly (NumPy's SeedSequence)."""
    # The count is included, as SeedSequence treats (1,) and (1, 0) alike.
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1)[0])


def study_seed(search: SearchConfig, resample: int) -> int:
    """Seed of a study's folds and networks, another for each resample."""
    return derive_seed(search.seed, resample)


def folds_of(training: TrainingSet, search: SearchConfig, seed: int, part: int = 0, parts: int = 1) -> list[Fold]:
    """The folds that every trial of a study, and every baseline beside it, is scored on.

    They index all training cases; with `search.fraction` they hold a share of them. Above `search.holdout_above` there
    are held-out parts in their place.

    Args:
        training: the training cases.
        search: how they are divided.
        seed: of a study.
        part: number of the first held-out part, which is another one for each number.
        parts: how many held-out parts there are.
    """
    labels, groups = training.cases.labels, training.cases.groups
    first = derive_seed(seed, 0)
    chosen = _seen(training, search, seed)
    labels, groups = labels[chosen], None if groups is None else groups[chosen]

    def draw(number: int) -> int:
        return derive_seed(seed, 0, number) if number else first

    folds: list[Fold] = []
    if len(chosen) > search.holdout_above:
        for number in range(part, part + parts):
            folds += held_out_fold(labels, search.holdout_share, draw(number), groups)
    else:
        for number in range(repeats_for(search, len(chosen))):
            with warnings.catch_warnings():
                if number:  # the first draw has given all warnings
                    warnings.simplefilter("ignore")
                folds += stratified_folds(labels, search.folds, draw(number), groups)
    return [(chosen[train], chosen[validation]) for train, validation in folds]


def is_held_out(training: TrainingSet, search: SearchConfig, seed: int) -> bool:
    """Whether a held-out part takes the place of the folds; arguments as those of `folds_of`."""
    return len(_seen(training, search, seed)) > search.holdout_above


def _seen(training: TrainingSet, search: SearchConfig, seed: int) -> NDArray[np.int64]:
    """Indices of the training cases that trials see."""
    return fraction_of(training.cases.labels, search.fraction, derive_seed(seed, 0), training.cases.groups)


def repeats_for(search: SearchConfig, cases: int) -> int:
    """How often the folds of this many cases are drawn."""
    if search.repeats == "auto":
        return 2 if cases < FEW_CASES else 1
    return search.repeats


@dataclass(frozen=True)
class StudySpec:
    """What a study searches and where its trials are recorded; can be written as JSON.

    Attributes:
        identity: unique to each study; a tag of all its MLflow runs.
        recipe: name of the recipe.
        dataset: name of the data set.
        resample: number of the resample.
        base: the recipe's values.
        space: the search space.
        search: the recipe's search settings.
        concurrency: maximum number of trials in flight.
        tracking_uri: absolute MLflow URI.
        experiment: MLflow experiment id.
        parent_run: MLflow run above the trials' runs.
        portfolio: Optuna's parameters of the configurations that are tried after the recipe's own values; the study
            keeps them, as those of a later version may differ.
        startup: trials with results from which the sampler draws by its model; kept for the same reason.
        pooled: whether trials that were scored again are ordered by the mean over all their folds; false: over the
            other folds alone, as earlier versions did.
    """

    identity: str
    recipe: str
    dataset: str
    resample: int
    base: HyperparameterConfig
    space: Space
    search: SearchConfig
    concurrency: int
    tracking_uri: str
    experiment: str
    parent_run: str
    portfolio: tuple[dict[str, Any], ...] = ()
    startup: int = STARTUP
    pooled: bool = True

    @property
    def maximise(self) -> bool:
        """Whether higher values of the searched metric are better."""
        return MAXIMISED[self.search.metric]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All objectives: the metric, and those weighed against it."""
        return (self.search.metric, *self.search.trade_off)

    @property
    def directions(self) -> list[Direction]:
        """Optuna's word for each of them."""
        return ["maximize" if MAXIMISED.get(metric) else "minimize" for metric in self.metrics]

    @property
    def optuna_name(self) -> str:
        """The study's name in Optuna's storage; a database may hold studies of many recipes."""
        if self.search.storage is None:
            return OPTUNA_NAME
        return f"{self.recipe}/{self.dataset}/{self.resample}/{self.identity}"

    @property
    def seed(self) -> int:
        """Seed of the study's folds and networks."""
        return study_seed(self.search, self.resample)

    def write(self, folder: Path, fingerprint: str) -> None:
        """Writes the specification into a folder, atomically."""
        plain = {"format": FORMAT, "meaning": fingerprint, **vars(self)} | {
            "base": self.base.model_dump(mode="json"),
            "search": self.search.model_dump(mode="json"),
            "space": {name: describe(entry) for name, entry in self.space.items()},
        }
        part = folder / f"{SPECIFICATION}.part"
        part.touch(0o600)  # the address of a database may hold a password
        part.write_text(json.dumps(plain, indent=2), encoding="utf-8")
        part.replace(folder / SPECIFICATION)

    @classmethod
    def read(cls, folder: Path) -> StudySpec:
        """Reads the file that `write` wrote.

        Raises:
            SearchError: the folder holds none, or one that cannot be read.
        """
        file = folder / SPECIFICATION
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            number = plain.pop("format", 1)
            if isinstance(number, int) and number > FORMAT:
                raise SearchError(
                    f"{file} has format {number}, which a newer version of tsbench wrote; this one reads up to format "
                    f"{FORMAT}: update tsbench, {or_fresh()}"
                )
            plain.pop("meaning")
            plain["space"], problems = parse_space(plain["space"], set())
            assert not problems, problems
            plain["base"] = with_former_values(plain["base"])
            plain["search"] = EARLIER | plain["search"]
            plain["portfolio"] = tuple(map(dict, plain.get("portfolio", ())))
            plain.setdefault("startup", former_startup(plain["search"]["trials"]))
            plain.setdefault("pooled", False)
            for key, settings in (("base", HyperparameterConfig), ("search", SearchConfig)):
                plain[key] = settings.model_validate_json(json.dumps(plain[key]))
            return cls(**plain)
        except FileNotFoundError:
            raise SearchError(f"{folder} holds no study") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
            raise SearchError(
                f"{file} cannot be read: it is damaged, or was written by another version of tsbench; put it back as "
                f"it was, {or_fresh()}"
            ) from None


def stored_fingerprint(folder: Path) -> str | None:
    """The digest that the folder's study was created with; None if there is no complete study."""
    try:
        return str(json.loads((folder / SPECIFICATION).read_text(encoding="utf-8"))["meaning"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def fingerprint_of(**parts: Any) -> str:
    """SHA-256 of everything on which a study's results depend; a study is continued only if it agrees."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
