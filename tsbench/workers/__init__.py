"""Starts workers and runs tasks on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tsbench.recipe.registries import LAUNCHERS, registered
from tsbench.recipe.schema import ExecutionConfig
from tsbench.workers.inbox import Inbox
from tsbench.workers.pool import Joined, News

__all__ = ["Launcher", "check_launcher", "make_launcher"]


class Launcher(Protocol):
    """Starts workers on other machines; each ready worker is reported to the launcher's inbox."""

    def __init__(self, config: ExecutionConfig, preload: Sequence[str], inbox: Inbox[Joined | News]) -> None: ...

    @staticmethod
    def check(config: ExecutionConfig) -> None:
        """Refuses a cluster that does not exist, without starting anything on it."""

    def start(self) -> None:
        """Requests all workers."""

    def check_started(self) -> list[str]:
        """Replaces workers that ended too early; returns the reasons."""

    def close(self) -> None:
        """Ends them all."""


def check_launcher(config: ExecutionConfig) -> None:
    """Refuses a cluster that does not exist, without starting anything on it.

    Raises:
        TsbenchError: nobody listens at the address of the Ray cluster.
    """
    if (launcher := registered(LAUNCHERS, config.launcher)) is not None:
        launcher.check(config)


def make_launcher(config: ExecutionConfig, preload: Sequence[str], inbox: Inbox[Joined | News]) -> Launcher | None:
    """The recipe's launcher; None if the workers are child processes.

    Raises:
        TsbenchError: it is not installed, or cannot be reached.
    """
    launcher = registered(LAUNCHERS, config.launcher)
    return None if launcher is None else launcher(config, preload, inbox)
