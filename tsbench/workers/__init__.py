"""What starts workers and hands them work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tsbench.recipe.schema import ExecutionConfig
from tsbench.workers.inbox import Inbox
from tsbench.workers.pool import Joined, News

__all__ = ["Launcher", "check_launcher", "make_launcher"]


class Launcher(Protocol):
    """Starts workers on other machines; each that is ready is reported to the inbox that it was made with."""

    def start(self) -> None:
        """Asks for all workers."""

    def check_started(self) -> list[str]:
        """Replaces those that ended too early; returns why they did."""

    def close(self) -> None:
        """Ends them all."""


def check_launcher(config: ExecutionConfig) -> None:
    """Refuses a cluster that does not exist, without starting anything on it.

    Raises:
        TsbenchError: nobody listens at the address of the Ray cluster.
    """
    if config.launcher == "ray":
        from tsbench.workers.ray import check_address

        check_address(config.address)


def make_launcher(config: ExecutionConfig, preload: Sequence[str], inbox: Inbox[Joined | News]) -> Launcher | None:
    """What the recipe names; None if the workers are child processes.

    Raises:
        TsbenchError: it is not installed, or cannot be reached.
    """
    if config.launcher == "ray":
        from tsbench.workers.ray import RayLauncher

        return RayLauncher(config, preload, inbox)
    return None
