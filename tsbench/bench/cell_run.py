"""The execution of a cell: its stages, each asked in turn for the next task."""

from __future__ import annotations

from tsbench.bench.confirm_stage import ConfirmStage
from tsbench.bench.opening import OpenCell, end_runs, ended_on_error, mark_lost
from tsbench.bench.payloads import auto_params, preprocessing_params
from tsbench.bench.plan import Cell, Plan
from tsbench.bench.progress import CellState
from tsbench.bench.refit_stage import RefitStage, is_current
from tsbench.bench.search_stage import SearchStage
from tsbench.bench.stages import PICTURES, REPORT, AutoStage, BaselineStage, ReportStage, Stage, TaskKey
from tsbench.evaluation.metrics import error_name
from tsbench.recipe.schema import BaselineConfig
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord
from tsbench.workers.protocol import Message, Task

__all__ = ["CellRun"]


class CellRun:
    """The execution of a cell.

    Args:
        plan: of which the cell is a part.
        cell: a cell of the plan.
        state: updated for the display.

    Attributes:
        cell: the data that its stages share.
        stages: by name, the most urgent first.

    Raises:
        DataError, RecipeError, SearchError, TrackingError: see `OpenCell`.
    """

    def __init__(self, plan: Plan, cell: Cell, state: CellState) -> None:
        self.cell = opened = OpenCell(plan, cell)
        self.state = state
        with ended_on_error(plan.store, opened.records.parent):
            recorded = self._recorded()
            network = recorded.get(names.NETWORK)
            searches = plan.trials > 0
            needed = searches and not is_current(opened, network)
            missing, lacks_auto = _missing_baselines(opened, recorded), _lacks_auto(opened, recorded)
            self.search = SearchStage(opened, needed)
            self.confirmation = ConfirmStage(opened, self.search)
            self.refit = RefitStage(opened, self.confirmation, network)
            self.auto = auto = AutoStage(opened, lacks_auto, self.refit)
            baselines = BaselineStage(opened, missing, self.confirmation, auto)
            # If an earlier call finished and nothing is left to do, the report exists.
            titles = [REPORT] if needed or missing or lacks_auto or not opened.was_finished else []
            if opened.trials and (needed or not opened.was_finished):
                titles.insert(0, PICTURES)
            report = ReportStage(opened, titles, self.confirmation, (self.search, self.refit, auto, baselines))
            self.stages: dict[str, Stage] = {
                stage.name: stage for stage in (self.search, self.confirmation, self.refit, auto, baselines, report)
            }
            state.trials = opened.trials
            self._changed = True  # since `update`
            self.update()

    def _recorded(self) -> dict[str, RunRecord]:
        """The finished network and baselines of this study, by classifier."""
        where = names.where({names.STUDY: self.cell.study.spec.identity}, status="FINISHED")
        runs = self.cell.plan.store.runs(self.cell.recipe.name, where)
        return {r.tags[names.CLASSIFIER]: r for r in runs if r.tags.get(names.ROLE) in ("model", "baseline")}

    def next_task(self) -> Task | None:
        """The most urgent task that can be started now."""
        return next(filter(None, (stage.next_task() for stage in self.stages.values() if not stage.ended)), None)

    def early_task(self) -> Task | None:
        """A task that will probably be needed when the last trials have ended."""
        return self.confirmation.early_task() or self.refit.early_task()

    def stop_reason(self, key: TaskKey) -> str:
        """Why a worker should end a task; empty if it should not."""
        return self.stages[key.stage].stop_reason(key)

    def receive(self, message: Message) -> None:
        """Handles the end of one of its tasks."""
        assert message.task is not None
        self.stages[message.task.key.stage].receive(message)
        self._changed = True

    @property
    def leaves_workers(self) -> bool:
        """Whether a study that is started now takes no worker, and so no time, from this cell's search and refit."""
        return self.search.done and self.confirmation.done and self.refit.all_begun

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.done for stage in self.stages.values())

    def update(self) -> None:
        """Saves the time spent in the study, and updates the display's state if a message has arrived."""
        if not self.refit.ended:
            self.cell.budget.note()
        if not self._changed:
            return
        self._changed = False
        counts, best, state = self.cell.study.trials().counts(), self.cell.study.trials().best(), self.state
        state.ended = counts["complete"] + counts["pruned"] + counts["fail"]
        state.pruned = counts["pruned"]
        state.best = best.value if best else None
        state.error = best.scores.get(error_name(names.cv(self.cell.recipe.search.metric))) if best else None
        state.test = self.refit.accuracy if self.cell.plan.trials else self.auto.accuracy
        state.trial_seconds = self.search.trial_seconds
        state.steps_left = sum(stage.steps_left for stage in self.stages.values() if not stage.done)
        state.time_left = self.cell.budget.left
        if self.search.stopped:
            state.trials = state.ended
        ended = "failed" if self.cell.failures else "done"
        state.stage = next((stage.progress for stage in self.stages.values() if not stage.done), ended)

    def close(self, status: str = "FINISHED") -> None:
        """Ends the cell's open runs, including the parent."""
        store, study, failures = self.cell.plan.store, self.cell.study, self.cell.failures
        end_runs(store, study.spec)
        self.update()
        best = study.trials().chosen(study.notes.chosen)
        metrics: dict[str, float] = {"trials": self.state.ended, "pruned_trials": self.state.pruned}
        if best is not None:
            metrics |= best.scores
        store.log(self.cell.records.parent, metrics, tags={names.REASON: "; ".join(failures)} if failures else {})
        store.end(self.cell.records.parent, "FAILED" if failures else status)

    def interrupt(self) -> None:
        """Marks running tasks as failed and ends the cell's runs.

        Raises:
            SearchError: the study's database cannot be reached; the runs were ended, as after any other error.
        """
        store, study = self.cell.plan.store, self.cell.study
        try:
            if not self.refit.ended:
                self.cell.budget.note(now=True)
            mark_lost(study, store, study.trials().running(), "the search was interrupted")
            self.close("KILLED")
        except Exception:
            end_runs(store, study.spec, with_parent=True)
            raise


def _missing_baselines(cell: OpenCell, recorded: dict[str, RunRecord]) -> list[BaselineConfig]:
    """The baselines without a recorded run of the current recipe.

    A run on preprocessed cases, and one that was skipped, depend on `evaluation.baseline_preprocessing`, which the run
    holds; earlier versions do not record it, so baselines that they skipped are tried again.
    """
    asked = preprocessing_params(cell.recipe.evaluation.baseline_preprocessing)

    def is_missing(record: RunRecord | None) -> bool:
        if record is None:
            return True
        if record.tags.get(names.STATE) == "complete" and names.PREPROCESSING not in record.tags:
            return False
        return any(record.params.get(name) != value for name, value in asked.items())

    return [baseline for baseline in cell.recipe.baselines if is_missing(recorded.get(baseline.name))]


def _lacks_auto(cell: OpenCell, recorded: dict[str, RunRecord]) -> bool:
    """Whether the recipe asks for `auto`, and no recorded run matches its settings."""
    if cell.recipe.auto is None:
        return False
    record = recorded.get(names.AUTO)
    return record is None or any(
        record.params.get(name) != value for name, value in auto_params(cell.recipe.auto).items()
    )
