"""Workers as Ray Core actors, on whatever machines the cluster has.

Ray places the processes and starts them again elsewhere; the supervisor hands out the work, as it does to its own.
"""

from __future__ import annotations

import socket
from typing import Any

from tsbench.errors import TsbenchError
from tsbench.recipe.schema import ExecutionConfig
from tsbench.search.launchers.joining import Invitation, join

__all__ = ["RayLauncher", "check_address"]


class _Actor:
    """What runs on a node; Ray shows an actor its own GPUs only."""

    def work(self, invitation: str, device: str) -> bool:
        """Works until the search is done (True), or until it was lost."""
        return join(Invitation.from_json(invitation), device)


def check_address(address: str) -> None:
    """Refuses at once an address where nobody listens; Ray itself would try for minutes.

    Raises:
        TsbenchError: nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _not_there(address, error) from None


def _not_there(address: str, error: Exception) -> TsbenchError:
    return TsbenchError(
        f"execution.address is {address!r}, but no Ray cluster is there; start one with `ray start --head`, or write "
        f"address: local ({(str(error).splitlines() or [''])[0]})"
    )


class RayLauncher:
    """Keeps the recipe's number of actors alive.

    Args:
        config: address, number of workers, and what each needs.

    Raises:
        TsbenchError: Ray is not installed, or no cluster is found at the address.
    """

    def __init__(self, config: ExecutionConfig) -> None:
        try:
            import ray
        except ImportError:
            raise TsbenchError('execution.launcher "ray" needs Ray: pip install "tsbench[ray]"') from None
        self._ray: Any = ray
        self._config = config
        self._began_ray = not ray.is_initialized()
        try:
            check_address(config.address)
            ray.init(address=config.address, log_to_driver=False, ignore_reinit_error=True, configure_logging=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise _not_there(config.address, error) from None
        self.host = str(self._ray.util.get_node_ip_address())
        self._device = "cuda:0" if config.gpus_per_worker else "cpu"
        self._actor = self._ray.remote(num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker)(_Actor)
        self._actors: dict[Any, Any] = {}  # by what `work` will return
        self._invitation = ""

    def start(self, invitation: Invitation) -> None:
        """Asks Ray for all actors; each comes in when there is room for it."""
        self._invitation = invitation.to_json()
        for _ in range(int(self._config.workers)):
            self._begin()

    def _begin(self) -> None:
        actor = self._actor.remote()
        self._actors[actor.work.remote(self._invitation, self._device)] = actor

    def look_after(self) -> list[str]:
        """Starts anew what ended, on another node where its own is gone; says why it did."""
        ended, _ = self._ray.wait(list(self._actors), num_returns=len(self._actors), timeout=0)
        return [self._begin_again(one) for one in ended]

    def _begin_again(self, ended: Any) -> str:
        reason = "it lost the search"
        try:
            self._ray.get(ended)
        except self._ray.exceptions.RayError as error:
            if isinstance(error, self._ray.exceptions.RayTaskError):
                raise TsbenchError(f"a Ray worker failed: {error.cause}") from None
            reason = str(error).splitlines()[0]
        del self._actors[ended]
        self._begin()
        return f"Ray starts a worker again: {reason}"

    def close(self) -> None:
        """Ends the actors, and leaves the cluster as it was."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._began_ray:
            self._ray.shutdown()
