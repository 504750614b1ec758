"""Workers as Slurm jobs, submitted by submitit."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from tsbench.errors import TsbenchError
from tsbench.recipe.schema import ExecutionConfig
from tsbench.search.launchers.joining import Invitation, join

__all__ = ["SlurmLauncher", "check_slurm"]

MOST_RESUBMISSIONS = 3  # of a job that ended before the search did, such as by its time limit


def _work(invitation: str, device: str) -> bool:
    return join(Invitation.from_json(invitation), device)


def check_slurm(config: ExecutionConfig) -> None:
    """Refuses a machine without Slurm's commands, unless `slurm.cluster` names another way.

    Raises:
        TsbenchError: there is no `srun`.
    """
    if config.slurm.get("cluster", "slurm") == "slurm" and shutil.which("srun") is None:
        raise TsbenchError("execution.slurm: this machine has no srun; run the search where Slurm's commands are")


class SlurmLauncher:
    """Keeps the recipe's number of jobs running or queued.

    Args:
        config: number of workers, what each needs, and `slurm`, whose entries are submitit's parameters.
        folder: for the jobs' scripts and logs; on a disk that the nodes share.

    Raises:
        TsbenchError: submitit is not installed, there is no Slurm, or it does not know a parameter.
    """

    def __init__(self, config: ExecutionConfig, folder: Path) -> None:
        try:
            import submitit
        except ImportError:
            raise TsbenchError('execution.launcher "slurm" needs submitit: pip install "tsbench[slurm]"') from None
        import socket

        self.host = socket.getfqdn()
        self._config = config
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # submitted calls hold the key of the search
        folder.chmod(0o700)
        parameters = {
            "name": "tsbench",
            "timeout_min": 24 * 60,
            "cpus_per_task": config.cpus_per_worker,
            "gpus_per_node": math.ceil(config.gpus_per_worker),  # Slurm gives no part of one
            **config.slurm,
        }
        cluster = parameters.pop("cluster", "slurm")
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
            self._executor.update_parameters(**parameters)
        except (RuntimeError, NameError, ValueError) as error:
            raise TsbenchError(f"execution.slurm: {error}") from None
        self._device = "cuda:0" if config.gpus_per_worker else "cpu"
        self._jobs: dict[Any, int] = {}  # how often each was submitted again
        self._invitation = ""

    def start(self, invitation: Invitation) -> None:
        """Submits all jobs; each worker comes in when its job begins."""
        self._invitation = invitation.to_json()
        for _ in range(int(self._config.workers)):
            self._submit(0)

    def _submit(self, resubmissions: int) -> None:
        self._jobs[self._executor.submit(_work, self._invitation, self._device)] = resubmissions

    def look_after(self) -> list[str]:
        """Submits again what ended too early; says why it did.

        Raises:
            TsbenchError: a job ended too early again and again.
        """
        return [self._begin_again(job) for job in list(self._jobs) if job.done()]

    def _begin_again(self, job: Any) -> str:
        error = job.exception()
        reason = " ".join(str(error).split())[-300:] if error else "it lost the search"
        resubmissions = self._jobs.pop(job) + 1
        if resubmissions > MOST_RESUBMISSIONS:
            raise TsbenchError(f"job {job.job_id} and {MOST_RESUBMISSIONS} before it ended too early: {reason}")
        self._submit(resubmissions)
        return f"job {job.job_id} ended too early and is submitted again: {reason}"

    def close(self) -> None:
        """Cancels what still runs or waits."""
        for job in self._jobs:
            if not job.done():
                job.cancel()
