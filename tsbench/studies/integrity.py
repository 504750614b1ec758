"""Checks Optuna's journal before it is read, so that damage is reported with its line instead of corrupting a search.

The format has no checksums, so a changed digit that leaves a plausible line is not found here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from tsbench.adapters.optuna import JournalOperation
from tsbench.errors import SearchError, argument
from tsbench.studies.trials import Trials, as_best, fixed_parameters
from tsbench.tracking import names

__all__ = ["MALFORMED", "check_journal", "check_results", "damaged_journal"]

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""Errors of Optuna and NumPy on damaged files."""

_STUDY, _TRIAL = "study_id", "trial_id"
_KEYS: dict[int, tuple[str, ...]] = {
    JournalOperation.CREATE_STUDY: ("study_name", "directions"),
    JournalOperation.DELETE_STUDY: (_STUDY,),
    JournalOperation.SET_STUDY_USER_ATTR: (_STUDY, "user_attr"),
    JournalOperation.SET_STUDY_SYSTEM_ATTR: (_STUDY, "system_attr"),
    JournalOperation.CREATE_TRIAL: (_STUDY, "datetime_start"),
    JournalOperation.SET_TRIAL_PARAM: (_TRIAL, "param_name", "param_value_internal", "distribution"),
    JournalOperation.SET_TRIAL_STATE_VALUES: (_TRIAL, "state", "values"),
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE: (_TRIAL, "step", "intermediate_value"),
    JournalOperation.SET_TRIAL_USER_ATTR: (_TRIAL, "user_attr"),
    JournalOperation.SET_TRIAL_SYSTEM_ATTR: (_TRIAL, "system_attr"),
}
"""The operations in a tsbench study's journal, and the required keys of their lines."""


class _DamageError(Exception):
    """A line of the journal is damaged."""


def damaged_journal(file: Path, what: str, line: int | None = None) -> SearchError:
    """The error for a journal that cannot be continued."""
    place = file if line is None else f"{file}:{line}"
    return SearchError(
        f"{place}: the trials of this study are damaged: {what}; put the file back as it was, or run the search with "
        f"{argument('--fresh', 'fresh=True')}, which archives the study and starts a new one"
    )


def check_journal(file: Path) -> None:
    """Checks that every line is complete, and that no line is missing to which others refer.

    A killed process may leave an incomplete last line, which the next write removes.

    Raises:
        SearchError: names the line and its problem.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise damaged_journal(file, f"it cannot be read ({error.strerror})") from None
    replay = _Replay()
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            replay.take(_parsed(line))
        except _DamageError as damage:
            raise damaged_journal(file, str(damage), number) from None


def check_results(file: Path, trials: Trials) -> None:
    """Checks that the results of each complete trial are consistent; missing lines of the journal break this.

    Raises:
        SearchError: names the trial.
    """
    for trial in trials:
        if trial.state is not TrialState.COMPLETE:
            continue
        fixed = fixed_parameters(trial)
        if any(trial.params[name] != fixed[name] for name in trial.params.keys() & fixed.keys()):
            raise damaged_journal(file, f"trial {trial.number} did not run with its queued parameters")
        try:
            best = as_best(trial)
            whole = [best.scores[names.cv(metric)] for metric in trials.spec.metrics] == list(trial.values)
            whole = whole and "cv_log_loss" in best.scores
        except MALFORMED:
            whole = False
        if not whole:
            raise damaged_journal(file, f"trial {trial.number} is complete, but its results are not")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        log = json.loads(line)
    except (ValueError, RecursionError):
        raise _DamageError("the line is not valid JSON") from None
    code = log.get("op_code") if isinstance(log, dict) else None
    if not isinstance(code, int) or code not in _KEYS:
        raise _DamageError(f"the line has no known operation code ({code!r})")
    missing = [key for key in ("worker_id", *_KEYS[code]) if key not in log]
    if missing:
        raise _DamageError(f"the line has no {missing[0]!r}")
    return dict(log)


class _Replay:
    """The studies and trials that the lines so far have created."""

    def __init__(self) -> None:
        self._studies = 0
        self._states: list[TrialState] = []  # state of each trial, by its id

    def take(self, log: dict[str, Any]) -> None:
        """Checks a line against the lines before.

        Raises:
            _DamageError: the line is wrong, or refers to something that no line created.
        """
        code = log["op_code"]
        if _STUDY in log and log[_STUDY] not in range(self._studies):
            raise _DamageError(f"it refers to study {log[_STUDY]!r}, which no line before creates")
        if _TRIAL in log and log[_TRIAL] not in range(len(self._states)):
            raise _DamageError(
                f"it refers to trial {log[_TRIAL]!r}, and the lines before create {len(self._states)}, so that a line "
                "is missing"
            )
        if code == JournalOperation.CREATE_STUDY:
            self._studies += 1
        elif code == JournalOperation.CREATE_TRIAL:
            self._states.append(_state(log.get("state", TrialState.RUNNING.value)))
        elif code == JournalOperation.SET_TRIAL_STATE_VALUES:
            self._change_state(log[_TRIAL], _state(log["state"]))

    def _change_state(self, trial: int, state: TrialState) -> None:
        before = self._states[trial]
        if before is TrialState.WAITING and state.is_finished():
            raise _DamageError(f"trial {trial} ends without having started, so that a line is missing")
        if not before.is_finished():  # Optuna ignores what comes later
            self._states[trial] = state


def _state(value: Any) -> TrialState:
    try:
        return TrialState(value)
    except ValueError:
        raise _DamageError(f"the line has no known state of a trial ({value!r})") from None
