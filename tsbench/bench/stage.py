"""What the stages of a cell have in common: each hands out tasks, and takes their results.

`CellRun` asks its stages in turn for their next task. A stage knows the stages that it waits for; a task
knows only the name of its stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from tsbench.bench.opening import OpenCell
from tsbench.workers.protocol import Message, Task

__all__ = ["Stage", "TaskKey"]

MAX_RETRIES = 2  # of a task whose worker died


@dataclass(frozen=True)
class TaskKey:
    """Identifies a task.

    Attributes:
        cell: title of its cell.
        stage: name of its stage.
        title: what it does, in words; unique in its stage but for networks of different trials.
        number: of a trial, or of a network in the final ensemble.
        trial: whose configuration a network has.
    """

    cell: str
    stage: str
    title: str
    number: int | None = None
    trial: int | None = None


class Stage(ABC):
    """A part of the work on a cell.

    Attributes:
        name: by which its tasks are known.
        running: tasks that workers have.
        stopped: why it was stopped; empty if it was not.
    """

    name: ClassVar[str]

    def __init__(self, cell: OpenCell) -> None:
        self.cell = cell
        self.running: set[TaskKey] = set()
        self.stopped = ""
        self._deaths: Counter[TaskKey] = Counter()

    @abstractmethod
    def next_task(self) -> Task | None:
        """The most urgent task that can be begun now."""

    @property
    @abstractmethod
    def progress(self) -> str:
        """What it is doing, for the display."""

    @property
    def steps_left(self) -> int:
        """Fits still to be made, by which the time left is estimated."""
        return 0

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether there is nothing more to begin, as far as is known."""

    @property
    def done(self) -> bool:
        """Whether it has ended, and none of its tasks runs."""
        return self.ended and not self.running

    def stop(self, reason: str) -> None:
        """Begins no more tasks, and has those end that run."""
        self.stopped = self.stopped or reason

    def stop_reason(self, key: TaskKey) -> str:
        """Why a worker should end one of its tasks; empty if it should not."""
        return self.stopped

    def receive(self, message: Message) -> None:
        """Takes the end of one of its tasks."""
        assert message.task is not None
        key: TaskKey = message.task.key
        self.running.discard(key)
        match message.kind:
            case "result":
                self._take_result(key, message.payload)
            case "died":
                self._take_death(key, message.payload)
            case _:
                self._fail(key, message.payload, message.details)

    @abstractmethod
    def _take_result(self, key: TaskKey, result: Any) -> None:
        """Takes what a task returned."""

    def _take_death(self, key: TaskKey, sentence: str) -> None:
        """Gives a task up whose worker died three times; before that, `next_task` finds that it is missing."""
        self._deaths[key] += 1
        if self._deaths[key] > MAX_RETRIES:
            self._fail(key, f"{sentence}, three times")
        elif not self.stop_reason(key):
            self.cell.note(f"{sentence}; {key.title} is done again")

    def _fail(self, key: TaskKey, reason: str, details: str = "") -> None:
        """Gives a task up."""
        self.cell.fail(f"{key.title}: {reason}", details)

    def _key(self, title: str, number: int | None = None, trial: int | None = None) -> TaskKey:
        return TaskKey(self.cell.title, self.name, title, number, trial)

    def _task(self, key: TaskKey, function: str, *arguments: Any) -> Task:
        self.running.add(key)
        return Task(f"tsbench.bench.tasks:{function}", arguments, key)
