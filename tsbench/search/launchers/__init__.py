"""What starts workers and hands them work."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tsbench.recipe.schema import ExecutionConfig
from tsbench.search.launchers.joining import Invitation

__all__ = ["Launcher", "check_launcher", "make_launcher"]


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


def check_launcher(config: ExecutionConfig) -> None:
    """Refuses a cluster that is not there, without starting anything on it.

    Raises:
        TsbenchError: nobody listens at the address of a Ray cluster, or this machine has no Slurm.
    """
    if config.launcher == "ray":
        from tsbench.search.launchers.ray import check_address

        check_address(config.address)
    if config.launcher == "slurm":
        from tsbench.search.launchers.slurm import check_slurm

        check_slurm(config)


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
