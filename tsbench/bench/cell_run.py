"""A cell under way: its stages, each asked in turn what is to be done next."""

from __future__ import annotations

from tsbench.bench.listed_stages import PICTURES, REPORT, BaselineStage, ReportStage, missing_baselines
from tsbench.bench.opening import OpenCell, end_runs, ended_on_error, mark_lost
from tsbench.bench.plan import Cell, Plan
from tsbench.bench.progress import CellState
from tsbench.bench.refit_stage import RefitStage, is_current
from tsbench.bench.search_stage import SearchStage
from tsbench.bench.stage import Stage, TaskKey
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
            is_refitted, missing = is_current(opened, network), missing_baselines(opened, recorded)
            # If an earlier call came to its end, and nothing is to be done, the report is there.
            titles = [PICTURES, REPORT] if not (is_refitted and opened.was_finished) else [REPORT] if missing else []
            self.search = SearchStage(opened, needed=not is_refitted)
            self.refit = RefitStage(opened, self.search, network)
            baselines = BaselineStage(opened, missing, self.search)
            report = ReportStage(opened, titles, self.search, (self.refit, baselines))
            self.stages: dict[str, Stage] = {
                stage.name: stage for stage in (self.search, self.refit, baselines, report)
            }
            self._changed = True  # since `update`
            self.update()

    def _recorded(self) -> dict[str, RunRecord]:
        """The finished network and baselines of this study, by classifier."""
        where = names.where({names.STUDY: self.cell.study.spec.identity}, status="FINISHED")
        runs = self.cell.plan.store.runs(self.cell.recipe.name, where)
        return {r.tags[names.CLASSIFIER]: r for r in runs if r.tags.get(names.ROLE) in ("model", "baseline")}

    def next_task(self) -> Task | None:
        """The most urgent task that can be begun now."""
        return next(filter(None, (stage.next_task() for stage in self.stages.values())), None)

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
        """Whether a study that is begun now takes no worker, and so no time, from this one's search and refit."""
        return self.search.done and self.refit.all_begun

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
        state.test = self.refit.accuracy
        state.trial_seconds = self.search.trial_seconds
        state.steps_left = sum(stage.steps_left for stage in self.stages.values())
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
        best = study.trials().best()
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
