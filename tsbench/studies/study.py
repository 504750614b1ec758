"""A study on disk: the specification, the training cases, and Optuna's journal; everything that a worker needs.

<folder>/study.json     the specification
<folder>/*.npy          the training cases, read as memory maps; test cases are not here
<folder>/journal.log    Optuna's storage, unless the recipe names a database
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import optuna
from optuna import Study as OptunaStudy
from optuna.storages import BaseStorage

from tsbench.adapters.optuna import create_study
from tsbench.data.collection import ARRAYS, COLUMNS, Collection, TrainingSet
from tsbench.data.stored import CHECKSUMS
from tsbench.errors import SearchError, argument
from tsbench.studies.confirming import Confirmation
from tsbench.studies.integrity import MALFORMED, check_journal, check_results, damaged_journal
from tsbench.studies.queue import TrialQueue
from tsbench.studies.specification import SPECIFICATION, StudySpec, or_fresh
from tsbench.studies.storage import open_database, open_journal, when_there_is_space
from tsbench.studies.trials import BestTrial, Trials, as_best
from tsbench.workers.protocol import SharedFolder

__all__ = ["Study", "StudyNotes"]

BUDGET, SECONDS, TIMED_OUT, REMARK = "trials", "seconds", "timed_out", "remark"  # user attributes of Optuna's study


CONFIRMED, UNCONFIRMED, CHOSEN = "confirmed:", "unconfirmed", "chosen"  # prefix of a trial's number


class StudyNotes:
    """Budget, time and choice of a search, over all of its calls.

    Args:
        study: Optuna's study, which keeps them.
        budget: trials in all by the first call.
    """

    def __init__(self, study: OptunaStudy, budget: int) -> None:
        self._study = study
        self.budget = int(study.user_attrs.get(BUDGET, budget))
        """Total trials of the latest call; the specification has those of the first, which configure the sampler."""

    def set_budget(self, trials: int) -> None:
        """Changes the total number of trials."""
        if trials != self.budget:
            self._study.set_user_attr(BUDGET, trials)
            self.budget = trials

    @property
    def search_seconds(self) -> float:
        """Seconds of the search so far, over all calls."""
        return float(self._study.user_attrs.get(SECONDS, (0.0, 0.0))[0])

    @property
    def seconds(self) -> float:
        """Seconds of the search and the refit so far, over all calls."""
        return float(self._study.user_attrs.get(SECONDS, (0.0, 0.0))[1])

    def note_seconds(self, search: float, in_all: float) -> None:
        """See `search_seconds` and `seconds`."""
        self._study.set_user_attr(SECONDS, (round(search, 1), round(in_all, 1)))

    @property
    def timed_out(self) -> float | None:
        """The time budget in seconds that ended the search before its trials were run; None if none did."""
        budget = self._study.user_attrs.get(TIMED_OUT)
        return None if budget is None else float(budget)

    @property
    def confirmed(self) -> dict[int, Confirmation]:
        """The confirmations so far, by trial number."""
        found = self._study.user_attrs.items()
        return {int(key.removeprefix(CONFIRMED)): Confirmation(**v) for key, v in found if key.startswith(CONFIRMED)}

    def note_confirmed(self, number: int, confirmation: Confirmation) -> None:
        """Records a trial's confirmation."""
        self._study.set_user_attr(f"{CONFIRMED}{number}", asdict(confirmation))

    @property
    def unconfirmed(self) -> float | None:
        """The time budget in seconds that left trials that were not scored again; None if none did."""
        budget = self._study.user_attrs.get(UNCONFIRMED)
        return None if budget is None else float(budget)

    @property
    def chosen(self) -> int | None:
        """Number of the trial whose configuration was chosen; None before."""
        number: int | None = self._study.user_attrs.get(CHOSEN)
        return number

    def note_choice(self, trial: int, sentence: str, unconfirmed: float | None) -> None:
        """See `chosen`, `remark` and `unconfirmed`."""
        self.note_remark(sentence)
        for key, value in ((CHOSEN, trial), (UNCONFIRMED, unconfirmed)):
            if value != self._study.user_attrs.get(key):
                self._study.set_user_attr(key, value)

    @property
    def remark(self) -> str:
        """A sentence without its full stop on how the configuration was chosen; empty if there is none."""
        return str(self._study.user_attrs.get(REMARK, ""))

    def note_remark(self, sentence: str) -> None:
        """See `remark`."""
        if sentence != self.remark:
            self._study.set_user_attr(REMARK, sentence)

    def note_timed_out(self, budget: float | None) -> None:
        """See `timed_out`."""
        self._study.set_user_attr(TIMED_OUT, budget)


@dataclass(frozen=True)
class Study:
    """An open study; `Study.open` and `Study.create` make one."""

    folder: Path
    spec: StudySpec

    @classmethod
    def create(cls, folder: Path, spec: StudySpec, training: TrainingSet, fingerprint: str) -> Study:
        """Creates the folder and an empty Optuna study in it.

        Args:
            folder: must not hold a study.
            spec: its specification.
            training: the cases that trials may see.
            fingerprint: see `fingerprint_of`.

        Raises:
            SearchError: there is no space left on the disk.
        """
        folder.mkdir(parents=True)

        def save() -> None:
            for part in folder.glob("*.npy"):  # left by an attempt that ran out of disk space
                part.unlink()
            training.cases.save(folder)

        when_there_is_space(save, folder)
        study = cls(folder, spec)
        create_study(storage=study.storage, study_name=spec.optuna_name, directions=spec.directions)
        spec.write(folder, fingerprint)  # last: a folder without it is incomplete and is created again
        return study

    @classmethod
    def open(cls, folder: Path) -> Study:
        """Opens a study that `create` made.

        Raises:
            SearchError: the folder holds no study, or one that cannot be read.
        """
        return cls(folder, StudySpec.read(folder))

    @staticmethod
    def archive(folder: Path) -> None:
        """Renames the study, to make room for a new one."""
        if folder.exists():
            stamp = time.strftime("%Y%m%d-%H%M%S")
            shutil.move(folder, folder.with_name(f"{folder.name}.{stamp}-{uuid.uuid4().hex[:4]}"))

    def delete(self) -> None:
        """Removes it permanently, from a database too.

        Raises:
            SearchError: the database cannot be opened.
        """
        if self.in_database:
            with suppress(KeyError):  # another process was faster
                optuna.delete_study(study_name=self.spec.optuna_name, storage=self.storage)
        shutil.rmtree(self.folder)

    @property
    def in_database(self) -> bool:
        """Whether the trials are in a database rather than in the folder."""
        return self.spec.search.storage is not None

    @cached_property
    def storage(self) -> BaseStorage:
        """Optuna's storage."""
        uri = self.spec.search.storage
        return open_journal(self._journal) if uri is None else open_database(uri)

    @cached_property
    def optuna(self) -> OptunaStudy:
        """Optuna's study.

        Raises:
            SearchError: its trials were deleted or are damaged.
        """
        self._check_trials_exist()
        with self._readable():
            try:
                return optuna.load_study(study_name=self.spec.optuna_name, storage=self.storage)
            except KeyError:
                raise self._lost() from None

    def trials(self) -> Trials:
        """All current trials by number.

        Raises:
            SearchError: they were deleted or are damaged.
        """
        study = self.optuna
        with self._readable():
            return Trials(study.get_trials(deepcopy=False), self.spec)

    @cached_property
    def queue(self) -> TrialQueue:
        """The queue of its trials."""
        return TrialQueue(self)

    @cached_property
    def notes(self) -> StudyNotes:
        """Its budget, time and choice."""
        return StudyNotes(self.optuna, self.spec.search.trials)

    def pareto_front(self) -> list[BestTrial]:
        """The complete trials of the Pareto front by number; empty with a single metric."""
        return [] if len(self.spec.metrics) == 1 else [as_best(trial) for trial in self.optuna.best_trials]

    def check(self) -> None:
        """Refuses a study with a missing or damaged file.

        Raises:
            SearchError: with the file and what to do.
        """
        self.check_trials()
        _ = self.training

    def check_trials(self) -> None:
        """Refuses a study whose file of trials is missing or damaged; a database protects its own.

        Raises:
            SearchError: with the place and what to do.
        """
        self._check_trials_exist()
        if not self.in_database:
            check_journal(self._journal)
            check_results(self._journal, self.trials())

    @property
    def files(self) -> SharedFolder:
        """The folder; a worker on another machine needs everything but the journal, if there is a database."""
        names = (SPECIFICATION, COLUMNS, CHECKSUMS, *(f"{name}.npy" for name in ARRAYS))
        files = tuple(name for name in names if (self.folder / name).exists())
        return SharedFolder(self.folder, files, written=not self.in_database)

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
                f"were, {or_fresh()}"
            ) from None

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.log"

    def _check_trials_exist(self) -> None:
        """Refuses a study whose file of trials was deleted, which Optuna would create again."""
        if not self.in_database and not (self._journal.is_file() and self._journal.stat().st_size):
            raise self._lost()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turns Optuna's errors on a damaged journal into a sentence; a database protects its own trials."""
        try:
            yield
        except MALFORMED as error:
            if self.in_database:
                raise
            check_journal(self._journal)  # which names the line
            what = f"Optuna cannot read them ({type(error).__name__}: {error})"
            raise damaged_journal(self._journal, what) from None

    def _lost(self) -> SearchError:
        where = "its database" if self.in_database else "its journal.log"
        return SearchError(
            f"the study in {self.folder} has lost its trials: they are no longer in {where}; "
            f"{argument('--fresh', 'fresh=True')} starts a new one"
        )
