"""Starts MLflow's page on a store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tsbench.errors import TrackingError
from tsbench.tracking.store import Store

__all__ = ["page", "serve"]


def page(store: Store, server: str, experiment: str | None) -> str:
    """The address of an experiment's runs on MLflow's page, or of all experiments, as one who trains models sees them.

    Raises:
        TrackingError: there is no such experiment.
    """
    place = "" if experiment is None else f"/{store.experiment_id(experiment)}/runs"
    return f"{server}/#/experiments{place}?workflowType=machine_learning"


def serve(store: Store, port: int) -> int:
    """Runs MLflow's page on 127.0.0.1 until it ends, and returns its exit code (0 after Ctrl-C).

    Raises:
        TrackingError: the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(f"port {port} on 127.0.0.1 cannot be used: {error.strerror}; try --port") from None
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait(10)
        return 0
    finally:
        if process.poll() is None:
            process.terminate()
