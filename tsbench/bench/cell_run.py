"""A cell under way: its stages, each asked in turn what is to be done next."""

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
    """A cell under way.

    Args:
        plan: what the cell is part of.
        cell: a cell of the plan.
        state: kept up to date for the display.

    Attributes:
        cell: what its stages share.
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
            # If an earlier call came to its end, and nothing is to be done, the report is there.
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
        """What is likely to be needed when the last trials have ended."""
        return self.confirmation.early_task() or self.refit.early_task()

    def stop_reason(self, key: TaskKey) -> str:
        """Why a worker should end a task; empty if it should not."""
        return self.stages[key.stage].stop_reason(key)

    def receive(self, message: Message) -> None:
        """Takes the end of one of its tasks."""
        assert message.task is not None
        self.stages[message.task.key.stage].receive(message)
        self._changed = True

    @property
    def leaves_workers(self) -> bool:
        """Whether a study that is started now takes no worker, and so no time, from this one's search and refit."""
        return self.search.done and self.confirmation.done and self.refit.all_begun

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.done for stage in self.stages.values())

    def update(self) -> None:
        """Keeps the time spent in the study, and if anything has come in, brings the display's state up to date."""
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
        """Ends the cell's runs, whichever still run, with their parent."""
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
        """Leaves nothing running: running tasks are marked as failed, its runs are ended.

        Raises:
            SearchError: the study's database is away; the runs were ended all the same, as after any other error.
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
    """The baselines without a recorded run that is what today's recipe leads to.

    A run on preprocessed cases, and one that was skipped, depend on `evaluation.baseline_preprocessing`, which the run
    holds; runs of versions without this setting do not hold it, so what they skipped is tried again.
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
    """Whether the recipe asks for `auto`, and no recorded run is what it asks for."""
    if cell.recipe.auto is None:
        return False
    record = recorded.get(names.AUTO)
    return record is None or any(
        record.params.get(name) != value for name, value in auto_params(cell.recipe.auto).items()
    )
