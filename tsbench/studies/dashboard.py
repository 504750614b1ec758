"""Serves optuna-dashboard on copies of studies, which cannot change the studies themselves."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from tsbench.errors import SearchError
from tsbench.studies.study import Study
from tsbench.tracking import names

__all__ = ["dashboard_server"]

HOST = "127.0.0.1"


def dashboard_server(folders: Sequence[Path], port: int) -> WSGIServer:
    """A server of optuna-dashboard on copies of the studies in some folders; it listens on 127.0.0.1.

    Args:
        folders: of the studies; each is named after its recipe and folder.
        port: to listen on; 0 for any free port.

    Raises:
        SearchError: optuna-dashboard is not installed, a study cannot be read, or the port is in use.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise SearchError('--optuna needs optuna-dashboard: pip install "tsbench[dashboard]"') from None
    page: Any = wsgi(_copies(folders))
    try:
        return make_server(HOST, port, page, _Server, _Quiet)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SearchError(f"port {port} on {HOST} cannot be used: {reason}; choose another with --port") from None


def _copies(folders: Sequence[Path]) -> BaseStorage:
    storage = InMemoryStorage()
    for folder in folders:
        study = Study.open(folder)
        study.check_trials()
        title = f"{study.spec.recipe}/{folder.name}"
        optuna.copy_study(
            from_study_name=study.optuna.study_name,
            from_storage=study.storage,
            to_storage=storage,
            to_study_name=title,
        )
        copy = optuna.load_study(study_name=title, storage=storage)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            copy.set_metric_names([names.cv(metric) for metric in study.spec.metrics])
    return storage


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed."""
