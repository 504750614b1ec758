"""The signals that ask a process to end, handled the way Python handles Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = [
    "ENDING",
    "TerminatedError",
    "blocked_signals",
    "describe_interrupt",
    "exit_code_of",
    "ignore_ending_signals",
    "ignored_signals",
    "kept_handlers",
    "raised_signals",
]

ENDING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C; the signal of `kill`, `docker stop`, systemd and Slurm; a closed terminal."""

SAME_REQUEST = 0.3
"""Seconds within which further signals belong to the first: a shell passes SIGHUP on that the kernel sends as well."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP; handlers of Ctrl-C handle it in the same way.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a process that a signal ended, as shells report it: 128 plus the signal's number."""
    return 128 + (interrupt.number if isinstance(interrupt, TerminatedError) else signal.SIGINT)


def describe_interrupt(interrupt: KeyboardInterrupt) -> str:
    """Returns "interrupted", with the signal's name unless it was Ctrl-C."""
    return f"interrupted by {interrupt.number.name}" if isinstance(interrupt, TerminatedError) else "interrupted"


@contextmanager
def raised_signals() -> Iterator[None]:
    """Raises `TerminatedError` in the main thread when SIGTERM or SIGHUP arrives within the context.

    A signal that the process was started to ignore stays ignored, such as SIGHUP under nohup. Outside the main thread
    nothing is changed, as Python allows no handlers there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -SAME_REQUEST

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= SAME_REQUEST:
            raise TerminatedError(number)

    with _handled_by(end, [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]):
        yield


@contextmanager
def ignored_signals() -> Iterator[None]:
    """Ignores the signals that would raise an exception, for the moments in which the last records are written."""
    with _handled_by(signal.SIG_IGN, [number for number in ENDING if callable(signal.getsignal(number))]):
        yield


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Restores the handlers of `ENDING` when the context ends, for a library that sets its own without being asked."""
    if threading.current_thread() is not threading.main_thread():  # if Python allows no handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _handled_by(handler: Any, numbers: list[signal.Signals]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """A process started within the context is reached by no signal of `ENDING` before it has chosen how to handle it.

    This process handles them when the context ends.
    """
    with _deferred_handlers(), _masked_signals():
        yield


@contextmanager
def _deferred_handlers() -> Iterator[None]:
    """Calls the handlers of signals that arrive within the context when it ends.

    A mask holds signals back from only one thread: the kernel gives a signal of the process to any other thread, such
    as one of a library's pool, and Python then runs the handler in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run only in the main thread
        yield
        return
    arrived: dict[int, None] = {}  # an ordered set

    def note(number: int, frame: FrameType | None) -> None:
        arrived[number] = None

    try:
        with _handled_by(note, [number for number in ENDING if callable(signal.getsignal(number))]):
            yield
    finally:
        for number in arrived:
            signal.raise_signal(number)


@contextmanager
def _masked_signals() -> Iterator[None]:
    """Blocks `ENDING` in this thread, and thereby in processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        # The start of a process would start the tracker, which then unblocks SIGINT and SIGTERM.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_ending_signals() -> None:
    """Ignores the signals of `ENDING` in a worker process, which ends when its supervisor asks it to or has exited.

    Slurm, systemd and closed terminals send them to every process. Processes that a worker starts react to SIGTERM as
    usual, because `multiprocessing.Pool` ends its own workers by it.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN if number != signal.SIGTERM else _do_nothing)
    if hasattr(os, "register_at_fork"):  # a handler does not survive exec, but it does survive a fork
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handles a signal by ignoring it."""
