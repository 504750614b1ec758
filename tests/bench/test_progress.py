"""What a terminal and a log show of a run: what is prepared, then the table or a line for each change."""

import sys
from io import StringIO

import pytest
from rich.console import Console

from tsbench.auto.progress import AutoProgress, MemberProgress
from tsbench.bench.progress import (
    CellState,
    LiveDisplay,
    NotebookDisplay,
    PlainDisplay,
    RunState,
    WorkerState,
    make_display,
    render,
)

ERASE_LINE = "\x1b[2K"


def state(ended: int, trials: int) -> RunState:
    cell = CellState("GunPoint", 100, trials, ended=ended, best=0.9, stage="searching")
    return RunState("tiny", "accuracy", [cell], {0: WorkerState("cpu")})


def terminal() -> tuple[Console, StringIO]:
    output = StringIO()
    return Console(file=output, width=100, force_terminal=True, color_system=None), output


def test_a_log_has_a_line_for_each_step_until_there_is_a_state() -> None:
    output = StringIO()
    display = make_display(Console(file=output, width=100))
    assert isinstance(display, PlainDisplay)
    with display:
        display.prepare("reading 2 data sets")
        display.update(state(1, 4))
        display.prepare("opening the study of another one")
    first, second = output.getvalue().splitlines()
    assert first.startswith("[")
    assert first.endswith(" s] reading 2 data sets")
    assert second.endswith(" s] GunPoint: searching, 1/4 trials, best cv accuracy 0.9000")


def test_a_terminal_shows_the_step_at_once_and_then_the_table_in_its_place() -> None:
    console, output = terminal()
    display = make_display(console)
    assert isinstance(display, LiveDisplay)
    with display:
        display.prepare("reading [2] data sets")
        assert "reading [2] data sets (0 s)" in output.getvalue()
        display.update(state(1, 4))
        display.prepare("opening the study of another one")
        assert "1/4" in output.getvalue()
    assert "opening the study" not in output.getvalue()
    assert "GunPoint" in output.getvalue().rpartition("reading [2]")[2]


def test_a_preparation_that_ends_without_a_table_is_removed_and_another_may_follow() -> None:
    console, output = terminal()
    display = make_display(console)
    with display:
        display.prepare("reading 2 data sets")
    assert ERASE_LINE in output.getvalue().rpartition("reading 2 data sets")[2]
    with display:
        display.prepare("starting the workers")
        assert "starting the workers" in output.getvalue()
    display.say("what is said after that is printed")
    assert "what is said after that" in output.getvalue()


def test_more_trials_than_the_recipe_now_asks_for_are_named_as_such() -> None:
    console, output = terminal()
    console.print(render(state(6, 3)))
    assert "6 (3 asked for)" in output.getvalue()
    assert "6/3" not in output.getvalue()
    log = StringIO()
    PlainDisplay(Console(file=log, width=200)).update(state(6, 3))
    assert "searching, 6 trials, 3 asked for, best cv" in log.getvalue()


def test_a_notebook_shows_one_output_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    monkeypatch.setattr(sys, "displayhook", sys.__displayhook__)
    console = Console(force_jupyter=True)
    display = make_display(console)
    assert isinstance(display, NotebookDisplay)
    assert isinstance(make_display(Console(force_jupyter=True, quiet=True)), PlainDisplay)
    with capture_output() as captured:
        with display:
            display.prepare("reading 2 data sets")
        with display:
            display.update(state(1, 4))
            display.update(state(2, 4))
            display.say("a line that stays")
    shown = [output.data["text/html"] for output in captured.outputs]
    assert "starting" in shown[0]
    assert "reading 2 data sets" in shown[1]
    assert len(shown) == 4  # a second drawing within a second waits for the end
    assert "<pre>" in shown[-1]
    assert "1/4" in shown[-2]
    assert "2/4" in shown[-1]
    assert captured.stdout == "a line that stays\n"
    InteractiveShell.clear_instance()


def voting() -> RunState:
    members = (
        MemberProgress("quant", "done", "", 3.1, 0.95, 0.2),
        MemberProgress("minirocket", "done", "", 1.2, 0.96, 0.1),
        MemberProgress("rdst", "fitting"),
        MemberProgress("network", "skipped", "it would take about 90 s, and 25 s were left"),
    )
    cell = CellState("GunPoint", 100, 0, stage="auto", auto=AutoProgress(members, 25.0, 0.97, 0.09))
    return RunState("tiny", "accuracy", [cell], {0: WorkerState("cpu")})


def test_the_members_of_auto_are_shown_while_they_are_fitted_the_best_first() -> None:
    console, output = terminal()
    console.print(render(voting()))
    text = output.getvalue()
    assert [text.index(word) for word in ("0.9700", "minirocket", "quant", "rdst", "network")] == sorted(
        text.index(word) for word in ("0.9700", "minirocket", "quant", "rdst", "network")
    )
    assert "fitting" in text
    assert "skipped: it would take" in text
    assert "25 s left" in text
    assert "trials" not in text  # none are asked for
    done = voting()
    done.cells[0].stage = "done"
    console.print(render(done))
    assert "minirocket" not in output.getvalue().removeprefix(text)


def test_a_log_has_a_line_for_each_member_that_ended() -> None:
    log = StringIO()
    display = PlainDisplay(Console(file=log, width=200))
    display.update(voting())
    display.update(voting())
    lines = [line.partition("] ")[2] for line in log.getvalue().splitlines()]
    assert lines == [
        "GunPoint: quant done, 3 s, accuracy 0.9500, log loss 0.2000, "
        "vote so far: accuracy 0.9700, log loss 0.0900, 25 s left",
        "GunPoint: minirocket done, 1 s, accuracy 0.9600, log loss 0.1000, "
        "vote so far: accuracy 0.9700, log loss 0.0900, 25 s left",
        "GunPoint: network skipped: it would take about 90 s, and 25 s were left, 25 s left",
        "GunPoint: auto",
    ]
