"""What must hold of a search that has come to its end, whatever happened meanwhile."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from tsbench.studies.study import Study
from tsbench.tracking.store import RunRecord, Store

__all__ = ["violations"]

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def violations(study: Study, store: Store, trials: int) -> list[str]:
    """One sentence for each invariant that does not hold; none for a search without a loss.

    There are exactly as many trials as were requested, besides lost attempts, which are marked as failed. Nothing runs
    in Optuna or in MLflow. Both agree on every trial, which has one finished run at most.

    Args:
        study: of one data set.
        store: of the search.
        trials: requested.
    """
    found = study.trials()
    counts = found.counts()
    runs = list(store.runs_in(study.spec.experiment))
    problems = []
    told = counts["complete"] + counts["pruned"] + counts["fail"]
    if told != trials:
        problems.append(f"{told} trials have ended, and {trials} were requested")
    problems += [f"trial {trial.number} is {trial.state.name} in Optuna" for trial in found if trial.state not in ENDED]
    problems += [f"the run {run.name} is RUNNING in MLflow" for run in runs if run.status == "RUNNING"]
    lost = {trial.number for trial in found if trial.number in found.lost()}
    problems += [
        f"lost trial {trial.number} is {trial.state.name}"
        for trial in found
        if trial.number in lost and trial.state is not TrialState.FAIL
    ]
    own = [run for run in runs if run.tags["tsbench.study"] == study.spec.identity]
    of_trials = [run for run in own if run.tags["tsbench.role"] == "trial"]
    for trial in found:
        records = [run for run in of_trials if run.tags["tsbench.trial"] == str(trial.number)]
        problems += _disagreements(trial, records)
    known = {str(trial.number) for trial in found}
    problems += [f"the run {run.name} is of no trial" for run in of_trials if run.tags["tsbench.trial"] not in known]
    return problems


def _disagreements(trial: FrozenTrial, records: list[RunRecord]) -> list[str]:
    """What Optuna and MLflow say differently of a trial."""
    states = [run.status for run in records]
    if trial.state is not TrialState.COMPLETE:
        if states in ([], ["FAILED"], ["KILLED"]):
            return []
        return [f"trial {trial.number} is {trial.state.name} in Optuna and {', '.join(states)} in MLflow"]
    if states != ["FINISHED"]:
        return [f"trial {trial.number} is COMPLETE in Optuna and {', '.join(states) or 'missing'} in MLflow"]
    (run,) = records
    problems = []
    if run.run_id != trial.user_attrs["run"]:
        problems.append(f"trial {trial.number} names another run than the one that MLflow has")
    if run.metrics["cv_accuracy"] != trial.value:
        problems.append(f"trial {trial.number} scored {trial.value} in Optuna, {run.metrics['cv_accuracy']} in MLflow")
    return problems
