"""Shows the progress of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tsbench.auto.progress import AutoProgress, MemberProgress
from tsbench.evaluation.metrics import format_score

__all__ = [
    "CellState",
    "Display",
    "LiveDisplay",
    "NotebookDisplay",
    "PlainDisplay",
    "RunState",
    "WorkerState",
    "format_elapsed",
    "format_trials",
    "make_display",
]


ENDED = ("done", "failed")
FEW = 5  # seconds
REDRAW = 1.0  # seconds between two drawings in a notebook
MAX_LEADERBOARDS = 2  # data sets under way of which the members of `auto` are shown


def format_elapsed(seconds: float) -> str:
    """A duration in readable units: `48 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_trials(ended: int, asked: int) -> str:
    """The ended trials of a study and their total: `2/3`, or `6 (3 asked for)` if the recipe now asks for fewer."""
    return f"{ended}/{asked}" if ended <= asked else f"{ended} ({asked} asked for)"


@dataclass
class CellState:
    """The progress of one data set in one resample.

    Attributes:
        title: its name.
        size: see `Cell`.
        trials: requested.
        ended: complete and pruned trials so far.
        pruned: those of them that were pruned.
        best: best CV score so far.
        error: its standard error; None if it is not known.
        stage: waiting, searching, refitting, scoring, baselines, reporting, done, failed.
        test: the network's test accuracy, when known.
        trial_seconds: of the trials that ended in this run.
        steps_left: members and baselines yet to be fitted.
        time_left: seconds of its time budget; None if it has none.
        auto: how far the members of `auto` are; None if none was begun in this run.
    """

    title: str
    size: int
    trials: int
    ended: int = 0
    pruned: int = 0
    best: float | None = None
    error: float | None = None
    stage: str = "waiting"
    test: float | None = None
    trial_seconds: list[float] = field(default_factory=list)
    steps_left: int = 0
    time_left: float | None = None
    auto: AutoProgress | None = None


@dataclass
class WorkerState:
    """What a worker is doing."""

    device: str
    text: str = "starting"


@dataclass
class RunState:
    """Everything that a display shows."""

    name: str
    metric: str
    cells: list[CellState]
    workers: dict[int, WorkerState]
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float | None:
        """An estimate from the trials so far, scaled by size to other cells; None before the first trial has ended."""
        known = [cell for cell in self.cells if cell.trial_seconds]
        if not known:
            return None
        rate = sum(sum(u.trial_seconds) for u in known) / sum(u.size * len(u.trial_seconds) for u in known)
        work, workers = 0.0, max(1, len(self.workers))
        for cell in self.cells:
            trial = sum(cell.trial_seconds) / len(cell.trial_seconds) if cell.trial_seconds else rate * cell.size
            # A member trains on all cases, once; a trial on most of them, for each fold.
            search = trial * max(0, cell.trials - cell.ended)
            if cell.time_left is not None:
                search = min(search, workers * max(0.0, cell.time_left))
            work += search + trial * 0.5 * cell.steps_left
        return work / workers


class LiveDisplay:
    """A table on a terminal that is redrawn in place; before it, a line on what is being prepared."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._live: Live | None = None
        self._preparing = True

    def __enter__(self) -> Self:
        # It refreshes by itself, so that the seconds advance while a library is imported.
        self._live = Live(_Preparation("starting", self._began), console=self._console, refresh_per_second=4)
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.transient = self._preparing  # only a table remains
            self._live.__exit__(None, None, None)
            self._live = None

    def prepare(self, text: str) -> None:
        """Shows the text with a spinner and the elapsed seconds."""
        if self._preparing and self._live is not None:
            self._live.update(_Preparation(text, self._began), refresh=True)

    def update(self, state: RunState) -> None:
        """Draws the table again."""
        self._preparing = False
        if self._live is not None:
            self._live.update(render(state), refresh=True)

    def say(self, text: str) -> None:
        """Prints above the table."""
        self._console.print(escape(text), highlight=False)


class NotebookDisplay:
    """One output of a notebook's cell, redrawn in place; permanent lines are printed below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._drawn = -REDRAW
        self._state: RunState | None = None
        self._output: Any = None

    def __enter__(self) -> Self:
        from IPython.display import display

        if self._output is None:  # preparation and run share an output
            self._output = display(self._drawing("starting"), display_id=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._state is not None:
            self._output.update(self._drawing(render(self._state)))

    def prepare(self, text: str) -> None:
        """Shows the text."""
        if self._state is None and self._output is not None:
            self._output.update(self._drawing(text))

    def update(self, state: RunState) -> None:
        """Draws the table again, at most once a second: every drawing is sent to the browser."""
        self._state = state
        if self._output is not None and time.monotonic() - self._drawn >= REDRAW:
            self._drawn = time.monotonic()
            self._output.update(self._drawing(render(state)))

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text)

    def _drawing(self, content: RenderableType) -> Any:
        from IPython.display import HTML

        page = Console(record=True, file=StringIO(), width=self._console.width, force_jupyter=False)
        page.print(Text(content) if isinstance(content, str) else content)
        return HTML(page.export_html(inline_styles=True, code_format="<pre>{code}</pre>"))


class _Preparation:
    """A line that changes with time."""

    def __init__(self, text: str, began: float) -> None:
        self._spinner = Spinner("dots")
        self._text = text
        self._began = began

    def __rich__(self) -> RenderableType:
        self._spinner.update(text=escape(f"{self._text} ({format_elapsed(time.monotonic() - self._began)})"))
        return self._spinner


class PlainDisplay:
    """A line for each event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._shown: dict[str, tuple[object, ...]] = {}
        self._members: dict[tuple[str, str], str] = {}  # how each ended, by data set and member
        self._preparing = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def prepare(self, text: str) -> None:
        """Prints the text."""
        if self._preparing:
            self.say(text)

    def update(self, state: RunState) -> None:
        """Prints a line for each cell whose trials, best score or stage changed, and member of `auto` that ended."""
        self._preparing = False
        left = state.seconds_left() if any(cell.stage not in ENDED for cell in state.cells) else None
        for cell in state.cells:
            if cell.auto is not None:
                self._say_members(cell.title, cell.auto)
            now = (cell.ended, cell.stage, cell.test)
            if now == self._shown.get(cell.title, (0, "waiting", None)):
                continue
            self._shown[cell.title] = now
            parts = list(filter(None, (cell.stage, _trials(cell))))
            if cell.best is not None:
                parts.append(f"best cv {state.metric} {format_score(cell.best, cell.error)}")
            if cell.test is not None:
                parts.append(f"test accuracy {cell.test:.4f}")
            if left is not None:
                parts.append(_left(left))
            self.say(f"{cell.title}: {', '.join(parts)}")

    def _say_members(self, title: str, auto: AutoProgress) -> None:
        for member in auto.members:
            if member.state not in ("done", "skipped") or self._members.get((title, member.name)) == member.state:
                continue
            self._members[title, member.name] = member.state
            parts = [f"{member.name} {_ending(member)}"]
            if member.state == "done":
                parts.append(format_elapsed(member.seconds))
                parts += _scores("", member) + _scores("vote so far: ", auto)
            if auto.left is not None:
                parts.append(f"{format_elapsed(auto.left)} left")
            self.say(f"{title}: {', '.join(parts)}")

    def say(self, text: str) -> None:
        """Prints a line with the elapsed time."""
        self._console.print(
            f"[{time.monotonic() - self._began:7.1f} s] {text}", markup=False, highlight=False, soft_wrap=True
        )


def _trials(cell: CellState) -> str:
    if not cell.trials:
        return ""
    if cell.ended <= cell.trials:
        return f"{format_trials(cell.ended, cell.trials)} trials"
    return f"{cell.ended} trials, {cell.trials} asked for"


def _ending(member: MemberProgress) -> str:
    return f"{member.state}: {member.reason}" if member.reason else member.state


def _scores(of: str, scored: AutoProgress | MemberProgress) -> list[str]:
    if scored.accuracy is None or scored.log_loss is None:
        return []
    return [f"{of}accuracy {scored.accuracy:.4f}", f"log loss {scored.log_loss:.4f}"]


def _left(seconds: float) -> str:
    """The estimate leaves out scoring, plots and records, so it does not reach 0."""
    return f"about {format_elapsed(seconds)} left" if seconds >= FEW else "a few seconds left"


def render(state: RunState, most: int = 12) -> RenderableType:
    """The live table."""
    table = Table()
    for name in ("data set", "stage"):
        table.add_column(name, no_wrap=True)
    searched = any(cell.trials for cell in state.cells)
    for name in ("trials", "pruned") if searched else ():
        table.add_column(name, justify="right", no_wrap=True)
    if searched:
        table.add_column(f"best cv {state.metric}", justify="right")
    table.add_column("test accuracy", justify="right")
    shown = _worth_showing(state.cells, most)
    for cell in shown:
        style = {"waiting": "dim", "done": "green", "failed": "red"}.get(cell.stage)
        trials = (
            format_trials(cell.ended, cell.trials) if cell.trials else "",
            str(cell.pruned or ""),
            "" if cell.best is None else format_score(cell.best, cell.error),
        )
        test = "" if cell.test is None else f"{cell.test:.4f}"
        table.add_row(escape(cell.title), cell.stage, *(trials if searched else ()), test, style=style)
    done = sum(cell.stage in ENDED for cell in state.cells)
    foot = f"{done} of {len(state.cells)} done, {format_elapsed(state.elapsed)} so far"
    if done == len(state.cells):
        return Group(f"[bold]{escape(state.name)}[/bold]", table, foot)
    left = state.seconds_left()
    if searched:
        foot += ", time left unknown until the first trial ends" if left is None else f", {_left(left)}"
    workers = Table.grid(padding=(0, 2))
    for number, worker in state.workers.items():
        workers.add_row(f"worker {number + 1}", worker.device, escape(worker.text))
    under_way = [(cell.title, cell.auto) for cell in state.cells if cell.auto is not None and cell.stage == "auto"]
    boards = [_members_table(title, auto) for title, auto in under_way[:MAX_LEADERBOARDS]]
    return Group(f"[bold]{escape(state.name)}[/bold]", table, *boards, workers, foot)


def _members_table(title: str, auto: AutoProgress) -> RenderableType:
    """The members of `auto`: those that are done, the best first, then the others as they are tried."""
    left = None if auto.left is None else f"{format_elapsed(auto.left)} left"
    table = Table(title=escape(f"auto on {title}: out of fold"), caption=left, title_justify="left")
    for name in ("member", "accuracy", "log loss", "fit seconds", "state"):
        table.add_column(name, justify="left" if name in ("member", "state") else "right")

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    seconds = sum(member.seconds for member in auto.members)
    table.add_row("auto", number(auto.accuracy), number(auto.log_loss), f"{seconds:.1f}", "so far", style="bold")
    order = ("done", "fitting", "waiting", "skipped")
    for member in sorted(auto.members, key=lambda member: (order.index(member.state), member.log_loss or 0.0)):
        fitted = f"{member.seconds:.1f}" if member.seconds else ""
        cells = (number(member.accuracy), number(member.log_loss), fitted, escape(_ending(member)))
        style = {"done": "green", "fitting": None}.get(member.state, "dim")
        table.add_row(escape(member.name), *cells, style=style)
    return table


def _worth_showing(cells: Sequence[CellState], most: int) -> list[CellState]:
    """All cells if they fit, otherwise the running ones with their neighbours."""
    if len(cells) <= most:
        return list(cells)
    busy = next((i for i, cell in enumerate(cells) if cell.stage not in ("done", "failed")), len(cells))
    first = max(0, min(busy - 2, len(cells) - most))
    return list(cells[first : first + most])


Display = LiveDisplay | PlainDisplay | NotebookDisplay
"""Shows a run: `prepare` the steps before there is a state, `update` the state, `say` a permanent line."""


def make_display(console: Console) -> Display:
    """A live table on a terminal or in a notebook, otherwise plain lines."""
    if console.is_jupyter and not console.quiet:
        return NotebookDisplay(console)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
