"""What starts workers and hands them work."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tsbench.recipe.schema import ExecutionConfig
from tsbench.search.launchers.joining import Invitation

__all__ = ["Launcher", "make_launcher"]


class Launcher(Protocol):
    """Starts workers elsewhere; they come in by an invitation.

    Attributes:
        host: this machine's address, as those workers see it.
    """

    host: str

    def start(self, invitation: Invitation) -> None:
        """Asks for all workers."""

    def look_after(self) -> list[str]:
        """Asks again for those that ended too early; says why they did."""

    def close(self) -> None:
        """Ends them all."""


def make_launcher(config: ExecutionConfig, home: Path) -> Launcher | None:
    """What the recipe names; None where the workers are child processes.

    Raises:
        TsbenchError: it is not installed, or not there.
    """
    if config.launcher == "ray":
        from tsbench.search.launchers.ray import RayLauncher

        return RayLauncher(config)
    if config.launcher == "slurm":
        from tsbench.search.launchers.slurm import SlurmLauncher

        return SlurmLauncher(config, home / "slurm")
    return None
