"""MLflow's server in one process: run as `python -m tsbench.tracking.server` by `tsbench ui`.

`mlflow server` starts four workers and a job runner with a dozen processes, and imports MLflow once
more to start them. Only this module knows how MLflow's server is put together.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["HOST", "START", "VARIABLES"]

HOST = "127.0.0.1"
GRACE = 2  # seconds that open connections have after Ctrl-C

VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # the page asks the server, and sends no telemetry either
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""Variables of the server's environment."""

START = "/tsbench/"
"""The path that sets the page's defaults in a new browser and redirects to MLflow's page."""

START_PAGE = """<!doctype html><meta charset="utf-8"><title>tsbench</title><script>
const defaults = {
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",  // the assistant's panel would cover a third of the runs
  "mlflow.workflowType_v1": '"machine_learning"',
  "mlflow.settings.telemetry.enabled_v1": "false",
};
for (const [key, value] of Object.entries(defaults))
  if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
location.replace("/" + location.hash);
</script><noscript>MLflow's page needs JavaScript.</noscript>
"""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def _with_start_page(application: Application) -> Application:
    """Adds the start page to the application."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != START:
            await application(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": START_PAGE.encode()})

    return answer


def _application(uri: str) -> Application:
    """MLflow's own application on a store, which is opened here, so that its errors end the server."""
    from mlflow.server.constants import (
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )

    os.environ[BACKEND_STORE_URI_ENV_VAR] = uri
    os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
    # Experiments that are created on the page; those of searches name their own folder.
    os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = str(Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts")

    from mlflow.exceptions import MlflowException
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores
    from sqlalchemy.exc import SQLAlchemyError

    try:
        initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    except (MlflowException, SQLAlchemyError) as error:
        raise SystemExit(str(error)) from error  # its own message, without a traceback
    return app  # type: ignore[no-any-return,unused-ignore]


def _end_with_parent() -> None:
    """Ends this process when standard input is closed, as happens if `tsbench ui` is killed."""
    while os.read(sys.stdin.fileno(), 1):  # not through the file object, whose lock Python needs to exit
        pass
    os._exit(1)


def main(uri: str, port: int) -> None:
    """Serves a store until SIGINT or SIGTERM."""
    import uvicorn

    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))  # before MLflow is imported, so that no other process takes the port
        application = _with_start_page(_application(uri))
        config = uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
