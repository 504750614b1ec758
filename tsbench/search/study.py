"""A study on disk: what is searched, the training cases, and Optuna's journal; all that a worker needs.

<folder>/study.json     the specification
<folder>/*.npy          the training cases, read as memory maps; test cases are not here
<folder>/journal.log    Optuna's storage, unless the recipe names a database
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna import Study as OptunaStudy
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tsbench.adapters.optuna import create_study, id_of
from tsbench.data.collection import ARRAYS, COLUMNS, Collection, TrainingSet
from tsbench.data.stored import CHECKSUMS
from tsbench.errors import SearchError
from tsbench.evaluation.metrics import MAXIMISED
from tsbench.evaluation.resampling import Fold, fraction_of, held_out_fold, stratified_folds
from tsbench.recipe.schema import HyperparameterConfig, SearchConfig
from tsbench.recipe.space import Space, describe, parse_space
from tsbench.search.integrity import check_journal, damaged_journal
from tsbench.search.pruning import Direction
from tsbench.search.sampling import Suggester
from tsbench.search.storage import open_database, open_journal, when_there_is_space
from tsbench.tracking import names
from tsbench.tracking.names import COSTS
from tsbench.workers.protocol import SharedFolder

__all__ = ["BestTrial", "Study", "StudySpec", "derive_seed", "fingerprint_of", "folds_of", "study_seed"]

OPTUNA_NAME = "study"
RESULT = "result"  # user attribute: a trial's scores, seconds and reason, as its worker told them
LOST = "lost"  # user attribute: why a trial ended through no fault of its own; it does not count, and is tried again
FOLDS = "folds"  # user attribute: for each fold its training loss and its score by epoch, thinned
RUN = "run"  # user attribute: a trial's MLflow run, where its worker told its end
RETRY_OF = "retry_of"  # user attribute: number of the lost trial whose parameters are tried again
MAX_RETRIES = 2
FORMAT = 1  # of study.json; a file without a number is of the first

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What Optuna and NumPy raise for files that do not hold what they should."""

FRESH = "or run the search with --fresh, which archives the study and begins a new one"


def derive_seed(*parts: int) -> int:
    """A seed for each tuple of numbers, spread evenly (NumPy's SeedSequence)."""
    # The count goes in too: SeedSequence takes (1,) and (1, 0) for the same.
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1)[0])


def study_seed(search: SearchConfig, resample: int) -> int:
    """Seed of a study's folds and networks, another for each resample."""
    return derive_seed(search.seed, resample)


def folds_of(training: TrainingSet, search: SearchConfig, seed: int) -> list[Fold]:
    """The folds that every trial of a study, and every baseline beside it, is scored on.

    They index all training cases; with `search.fraction` they hold a share of them, and above `search.holdout_above`
    there is a single one.
    """
    labels, groups = training.cases.labels, training.cases.groups
    seed = derive_seed(seed, 0)
    chosen = fraction_of(labels, search.fraction, seed, groups)
    labels, groups = labels[chosen], None if groups is None else groups[chosen]
    if len(chosen) > search.holdout_above:
        folds = held_out_fold(labels, search.holdout_share, seed, groups)
    else:
        folds = stratified_folds(labels, search.folds, seed, groups)
    return [(chosen[train], chosen[validation]) for train, validation in folds]


@dataclass(frozen=True)
class StudySpec:
    """What a study searches and where its trials are recorded; plain enough to be written as JSON.

    Attributes:
        identity: made anew for each study; tags all of its MLflow runs.
        recipe: name of the recipe.
        dataset: name of the data set.
        resample: number of the resample.
        base: the recipe's values.
        space: the search space.
        search: the recipe's search settings.
        concurrency: trials in flight at most.
        tracking_uri: absolute MLflow URI.
        experiment: MLflow experiment id.
        parent_run: MLflow run that the trials' runs stand below.
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

    @property
    def maximise(self) -> bool:
        """Whether more of the searched metric is better."""
        return MAXIMISED[self.search.metric]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that is improved: the metric, and what is weighed against it."""
        return (self.search.metric, *self.search.trade_off)

    @property
    def directions(self) -> list[Direction]:
        """Optuna's word for each of them."""
        return ["maximize" if MAXIMISED.get(metric) else "minimize" for metric in self.metrics]

    @property
    def optuna_name(self) -> str:
        """The study's name in Optuna's storage; a database may hold those of many recipes."""
        if self.search.storage is None:
            return OPTUNA_NAME
        return f"{self.recipe}/{self.dataset}/{self.resample}/{self.identity}"

    @property
    def seed(self) -> int:
        """Seed of the study's folds and networks."""
        return study_seed(self.search, self.resample)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain = {key: getattr(self, key) for key in self.__dataclass_fields__}
        return plain | {
            "base": self.base.model_dump(mode="json"),
            "search": self.search.model_dump(mode="json"),
            "space": {name: describe(entry) for name, entry in self.space.items()},
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> StudySpec:
        """What `to_json` gave."""
        space, problems = parse_space(plain["space"], set())
        assert not problems, problems
        return cls(
            **plain
            | {
                "base": HyperparameterConfig.model_validate_json(json.dumps(plain["base"])),
                "search": SearchConfig.model_validate_json(json.dumps(plain["search"])),
                "space": space,
            }
        )


@dataclass(frozen=True)
class BestTrial:
    """The trial that a search leads to.

    Attributes:
        number: of the trial.
        value: its score by the searched metric.
        scores: `cv_<metric>` of every metric, the mean over the folds, with `predict_seconds` and `parameters`.
        hyperparameters: the whole configuration that it ran.
        seconds: that it took.
    """

    number: int
    value: float
    scores: dict[str, float]
    hyperparameters: HyperparameterConfig
    seconds: float


@dataclass
class Study:
    """An open study.

    The process that supervises it is the one to call `refill`; any number of workers `claim` and `tell`.
    """

    folder: Path
    spec: StudySpec
    _suggester: Suggester | None = field(default=None, repr=False)
    _budget: int | None = field(default=None, repr=False)

    @classmethod
    def create(cls, folder: Path, spec: StudySpec, training: TrainingSet, fingerprint: str) -> Study:
        """Makes the folder and an empty Optuna study in it.

        Args:
            folder: must not hold a study.
            spec: what is searched.
            training: the cases that trials may see.
            fingerprint: see `fingerprint_of`.

        Raises:
            SearchError: there is no space left on the disk.
        """
        folder.mkdir(parents=True)

        def save() -> None:
            for half in folder.glob("*.npy"):
                half.unlink()
            training.cases.save(folder)

        when_there_is_space(save, folder)
        study = cls(folder, spec)
        create_study(storage=study.storage, study_name=spec.optuna_name, directions=spec.directions)
        # Written last: a folder without it was not finished and is made anew.
        text = json.dumps({"format": FORMAT, "meaning": fingerprint, **spec.to_json()}, indent=2)
        part = folder / "study.json.part"
        part.touch(0o600)  # the address of a database may hold a password
        part.write_text(text, encoding="utf-8")
        part.replace(folder / "study.json")
        return study

    @classmethod
    def open(cls, folder: Path) -> Study:
        """Opens a study that `create` made.

        Raises:
            SearchError: the folder holds none, or one that cannot be read.
        """
        file = folder / "study.json"
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            number = plain.pop("format", 1)
            if isinstance(number, int) and number > FORMAT:
                raise SearchError(
                    f"{file} has format {number}, which a newer version of tsbench wrote; this one reads up to format "
                    f"{FORMAT}: update tsbench, {FRESH}"
                )
            plain.pop("meaning")
            return cls(folder, StudySpec.from_json(plain))
        except FileNotFoundError:
            raise SearchError(f"{folder} holds no study") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
            raise SearchError(
                f"{file} cannot be read: it is damaged, or was written by another version of tsbench; put it back as "
                f"it was, {FRESH}"
            ) from None

    @staticmethod
    def stored_fingerprint(folder: Path) -> str | None:
        """The digest that the folder's study was created with; None where there is no whole study."""
        try:
            return str(json.loads((folder / "study.json").read_text(encoding="utf-8"))["meaning"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None

    @staticmethod
    def archive(folder: Path) -> None:
        """Makes room for a new study; the old one is kept under another name."""
        if folder.exists():
            stamp = time.strftime("%Y%m%d-%H%M%S")
            shutil.move(folder, folder.with_name(f"{folder.name}.{stamp}-{uuid.uuid4().hex[:4]}"))

    def delete(self) -> None:
        """Removes it for good, from a database too.

        Raises:
            SearchError: the database cannot be opened.
        """
        if self.spec.search.storage is not None:
            with suppress(KeyError):  # somebody was faster
                optuna.delete_study(study_name=self.spec.optuna_name, storage=self.storage)
        shutil.rmtree(self.folder)

    @cached_property
    def storage(self) -> BaseStorage:
        """Optuna's storage."""
        uri = self.spec.search.storage
        return open_journal(self.folder / "journal.log") if uri is None else open_database(uri)

    @cached_property
    def optuna(self) -> OptunaStudy:
        """Optuna's study.

        Raises:
            SearchError: its trials are gone, or damaged.
        """
        self._check_trials_exist()
        try:
            return optuna.load_study(study_name=self.spec.optuna_name, storage=self.storage)
        except KeyError:
            raise self._lost() from None
        except MALFORMED as error:
            if self.spec.search.storage is not None:
                raise
            raise self._damaged(error) from None

    def check(self) -> None:
        """Refuses a study of which a file is gone or damaged.

        Raises:
            SearchError: names the file, and says what to do.
        """
        self.check_trials()
        _ = self.training

    def check_trials(self) -> None:
        """Refuses a study whose file of trials is gone or damaged; a database guards its own.

        Raises:
            SearchError: says where, and what to do.
        """
        self._check_trials_exist()
        if self.spec.search.storage is None:
            check_journal(self._journal)
            for trial in self.trials():
                self._check_complete(trial)

    def _check_complete(self, trial: FrozenTrial) -> None:
        """Refuses a complete trial whose results do not belong together, as lines of the journal are missing."""
        if trial.state is not TrialState.COMPLETE:
            return
        fixed = _fixed_parameters(trial)
        if any(trial.params[name] != fixed[name] for name in trial.params.keys() & fixed.keys()):
            raise damaged_journal(self._journal, f"trial {trial.number} did not run with the parameters it was to have")
        try:
            best = _as_best(trial)
            whole = [best.scores[names.cv(metric)] for metric in self.spec.metrics] == list(trial.values)
            whole = whole and "cv_log_loss" in best.scores
        except MALFORMED:
            whole = False
        if not whole:
            raise damaged_journal(self._journal, f"trial {trial.number} is complete, and its results are not whole")

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.log"

    def _check_trials_exist(self) -> None:
        """Refuses a study whose file of trials is gone, which Optuna would begin anew."""
        if self.spec.search.storage is None and not (self._journal.is_file() and self._journal.stat().st_size):
            raise self._lost()

    def _damaged(self, error: Exception) -> SearchError:
        check_journal(self._journal)  # which names the line
        return damaged_journal(self._journal, f"Optuna cannot read them ({type(error).__name__}: {error})")

    def _lost(self) -> SearchError:
        where = "its journal.log" if self.spec.search.storage is None else "its database"
        return SearchError(
            f"the study in {self.folder} has lost its trials: they are not in {where} any more; --fresh begins a "
            "new one"
        )

    def open_storage(self) -> None:
        """Connects to the database that the trials are in; a file needs no connection.

        Raises:
            SearchError: the database cannot be opened.
        """
        if self.spec.search.storage is not None:
            _ = self.storage

    @property
    def files(self) -> SharedFolder:
        """The folder, of which a worker on another machine needs all but the journal, as there is a database."""
        names = ("study.json", COLUMNS, CHECKSUMS, *(f"{name}.npy" for name in ARRAYS))
        return SharedFolder(self.folder, tuple(name for name in names if (self.folder / name).exists()))

    @cached_property
    def training(self) -> TrainingSet:
        """The training cases, as memory maps.

        Raises:
            SearchError: a file of them is missing or damaged.
        """
        try:
            return TrainingSet(self.spec.dataset, Collection.load(self.folder))
        except (OSError, *MALFORMED):
            raise SearchError(
                f"{self.folder}: the training cases of this study are missing or damaged; put the files back as they "
                f"were, {FRESH}"
            ) from None

    def trials(self) -> list[FrozenTrial]:
        """All trials by number.

        Raises:
            SearchError: they are gone, or damaged.
        """
        study = self.optuna
        try:
            return study.get_trials(deepcopy=False)
        except MALFORMED as error:
            if self.spec.search.storage is not None:
                raise
            raise self._damaged(error) from None

    # What the supervisor does

    def waiting(self) -> list[int]:
        """Numbers of the trials in the queue, of as many as the total allows: it may have been lowered since."""
        trials = self.trials()
        waiting = [trial.number for trial in trials if trial.state is TrialState.WAITING]
        begun = sum(trial.state is not TrialState.WAITING and not _is_lost(trial) for trial in trials)
        return waiting[: max(0, self.budget - begun)]

    def refill(self) -> list[int]:
        """Puts new trials into the queue, as many as may be in flight, and returns the numbers of all that wait."""
        while not self.is_filled():
            places = _latest(self.trials())
            if lost := next(filter(_deserves_retry, places), None):
                attributes = {RETRY_OF: lost.number, "retries": _retries(lost)}
                self.optuna.enqueue_trial(_fixed_parameters(lost) | lost.params, user_attrs=attributes)
            elif self.suggester.ready([trial.state.is_finished() for trial in places]):
                self.optuna.enqueue_trial(self.suggester.suggest(list(map(_as_suggested, places, range(len(places))))))
            else:
                break
        return self.waiting()

    def is_filled(self) -> bool:
        """Whether there are as many trials as the recipe asks for, ended or not, so that only lost ones may follow."""
        return sum(not _is_lost(trial) for trial in self.trials()) >= self.budget

    @property
    def suggester(self) -> Suggester:
        """Chooses the parameters of new trials."""
        if self._suggester is None:
            spec = self.spec
            self._suggester = Suggester(spec.space, spec.base, spec.search, spec.directions, spec.concurrency)
        return self._suggester

    def fail_lost(self, number: int, reason: str) -> bool:
        """Tells a trial failed whose worker died, so that it is tried again; False where it was told its end before."""
        trial = self.trials()[number]
        if trial.state is not TrialState.RUNNING:
            return False
        try:
            self.storage.set_trial_user_attr(id_of(trial), LOST, reason)
            self.storage.set_trial_state_values(id_of(trial), TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            # Its worker lived and told its end in this moment, or the connection broke before an answer.
            return _is_lost(self.trials()[number])
        return True

    def is_complete(self) -> bool:
        """Whether as many trials have ended as the recipe asks for."""
        ended = [trial for trial in self.trials() if trial.state.is_finished() and not _is_lost(trial)]
        return len(ended) >= self.budget

    def counts(self) -> dict[str, int]:
        """Trials by state, in Optuna's names in lower case; lost ones apart."""
        counts = {"complete": 0, "pruned": 0, "fail": 0, "lost": 0, "running": 0, "waiting": 0}
        for trial in self.trials():
            counts["lost" if _is_lost(trial) else trial.state.name.lower()] += 1
        return counts

    def running(self) -> list[int]:
        """Numbers of the trials that are told to be running."""
        return [trial.number for trial in self.trials() if trial.state is TrialState.RUNNING]

    def lost(self) -> dict[int, str]:
        """Why each trial was lost that was; such are marked as failed, and their parameters are tried again."""
        return {trial.number: _reason(trial) for trial in self.trials() if _is_lost(trial)}

    def complete_seconds(self) -> list[float]:
        """What each complete trial took."""
        return [trial.user_attrs[RESULT]["seconds"] for trial in self.trials() if trial.state is TrialState.COMPLETE]

    def last_reason(self) -> str:
        """Why the last trial that was not complete ended; empty where there is none."""
        return next(filter(None, map(_reason, reversed(self.trials()))), "")

    def pareto_front(self) -> list[BestTrial]:
        """The complete trials that no other one surpasses in all metrics, by number; none where there is one metric."""
        if len(self.spec.metrics) == 1:
            return []
        return [_as_best(trial) for trial in self.optuna.best_trials]

    def run_of(self, number: int) -> str:
        """The MLflow run of a trial that a worker ended; empty for any other."""
        return str(self.trials()[number].user_attrs.get(RUN, ""))

    def best(self) -> BestTrial | None:
        """The best complete trial: by the metric, then by lower CV log loss, then the earlier; None without any."""
        complete = [trial for trial in _latest(self.trials()) if trial.state is TrialState.COMPLETE]
        if not complete:
            return None
        sign = -1 if self.spec.maximise else 1
        return _as_best(
            min(complete, key=lambda trial: (sign * trial.values[0], trial.user_attrs[RESULT]["cv_log_loss"]))
        )

    def is_among_best(self, score: float | None, count: int) -> bool:
        """Whether fewer than `count` complete trials have a better score of the searched metric."""
        if score is None or not math.isfinite(score):
            return False
        scores = [trial.values[0] for trial in self.trials() if trial.state is TrialState.COMPLETE]
        better = [known for known in scores if (known > score if self.spec.maximise else known < score)]
        return len(better) < count

    @property
    def budget(self) -> int:
        """Trials in all, by the latest call; `spec` has those of the first, by which the sampler and pruner are set."""
        if self._budget is None:
            self._budget = int(self.optuna.user_attrs.get("trials", self.spec.search.trials))
        return self._budget

    @budget.setter
    def budget(self, trials: int) -> None:
        if trials != self.budget:
            self.optuna.set_user_attr("trials", trials)
            self._budget = trials

    @property
    def search_seconds(self) -> float:
        """What the search has taken so far, in all calls."""
        return float(self.optuna.user_attrs.get("seconds", (0.0, 0.0))[0])

    @property
    def seconds(self) -> float:
        """What the search and the refit have taken so far, in all calls."""
        return float(self.optuna.user_attrs.get("seconds", (0.0, 0.0))[1])

    def note_seconds(self, search: float, in_all: float) -> None:
        """See `search_seconds` and `seconds`."""
        self.optuna.set_user_attr("seconds", (round(search, 1), round(in_all, 1)))

    def fold_curves(self, number: int) -> list[tuple[list[tuple[int, float]], list[tuple[int, float]]]]:
        """For each fold of a trial its training loss and its score by epoch; empty where they were not kept."""
        found = self.trials()[number].user_attrs.get(FOLDS, [])
        pairs = [[[(int(epoch), float(value)) for epoch, value in curve] for curve in fold] for fold in found]
        return [(losses, scores) for losses, scores in pairs]

    @property
    def timed_out(self) -> float | None:
        """The time budget in seconds that ended the search before its trials were run; None where none did."""
        budget = self.optuna.user_attrs.get("timed_out")
        return None if budget is None else float(budget)

    @timed_out.setter
    def timed_out(self, budget: float | None) -> None:
        self.optuna.set_user_attr("timed_out", budget)

    # What a worker does

    def claim(self, number: int) -> Trial | None:
        """Takes a waiting trial, which no other worker then gets; None where it does not wait any more."""
        trial_id = id_of(self.trials()[number])
        try:
            if self.storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return Trial(self.optuna, trial_id)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # somebody else has even finished it
        return None

    def reason_of(self, number: int) -> str:
        """Why a trial ended that was not complete; empty for others."""
        return _reason(self.trials()[number])

    def parameters_of(self, number: int) -> dict[str, Any]:
        """What a trial in the queue, or one that runs, is to run with."""
        return _fixed_parameters(self.trials()[number])

    def visible_to(self, number: int) -> tuple[int, list[FrozenTrial]]:
        """Trial `number`'s place, and the trials that it may be compared with: those that it was chosen by."""
        trials = self.trials()
        place = _places(trials)[number]
        return place, _latest(trials)[: max(0, place + 1 - self.spec.concurrency)]


def fingerprint_of(**parts: Any) -> str:
    """SHA-256 of everything that a study's figures depend on; a study is continued only where it agrees."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _as_best(trial: FrozenTrial) -> BestTrial:
    scores = {key: value for key, value in trial.user_attrs[RESULT].items() if key.startswith("cv_") or key in COSTS}
    settings = HyperparameterConfig.model_validate_json(json.dumps(trial.user_attrs["hyperparameters"]))
    return BestTrial(trial.number, trial.values[0], scores, settings, trial.user_attrs[RESULT]["seconds"])


def _is_lost(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.FAIL and LOST in trial.user_attrs


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(LOST) or trial.user_attrs.get(RESULT, {}).get("reason", ""))


def _retries(trial: FrozenTrial) -> int:
    """How often its parameters were lost by a death, itself included; what a worker ended and told does not count."""
    return int(trial.user_attrs.get("retries", 0)) + (_is_lost(trial) and RESULT not in trial.user_attrs)


def _deserves_retry(trial: FrozenTrial) -> bool:
    return _is_lost(trial) and _retries(trial) <= MAX_RETRIES


def _places(trials: Sequence[FrozenTrial]) -> list[int]:
    """Each trial's place in the search's order, which one that repeats a lost one takes from it.

    So all that is chosen by earlier trials is chosen by the same ones, whatever was lost meanwhile.
    """
    places: list[int] = []
    new = 0
    for trial in trials:
        lost = trial.user_attrs.get(RETRY_OF)
        places.append(new if lost is None else places[lost])
        new += lost is None
    return places


def _latest(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The latest trial at each place."""
    return list(dict(zip(_places(trials), trials, strict=True)).values())


def _fixed_parameters(trial: FrozenTrial) -> dict[str, Any]:
    return dict(trial.system_attrs.get("fixed_params", {}))


def _as_suggested(trial: FrozenTrial, place: int) -> FrozenTrial:
    """As the suggester sees it, by its place.

    Until its worker tells its end, a trial has its parameters noted, not set; they count the same.
    """
    fixed = _fixed_parameters(trial)
    if trial.number != place or trial.state is TrialState.WAITING or fixed.keys() - trial.params.keys():
        trial = optuna.trial.FrozenTrial(
            number=place,
            trial_id=id_of(trial),
            state=TrialState.RUNNING if trial.state is TrialState.WAITING else trial.state,
            value=None,
            values=trial.values,
            datetime_start=None,
            datetime_complete=None,
            params=fixed | trial.params,
            distributions={},
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )
    return trial
