"""The files of runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tsbench.quiet import quiet
from tsbench.tracking.connection import Connection

__all__ = ["Artifacts"]


class Artifacts:
    """Writes and reads the files of a store's runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write_text(self, run: str, text: str, file: str) -> None:
        """Writes a text artifact."""
        with self._connection.explained():
            self._connection.client.log_text(run, text, file)

    def add(self, run: str, path: Path) -> None:
        """Copies a file, or everything in a folder, to a run's artifacts, replacing those of the same name."""
        client = self._connection.client
        with self._connection.explained(), quiet("mlflow"):
            (client.log_artifacts if path.is_dir() else client.log_artifact)(run, str(path))

    def copy(self, source: str, target: str, file: str) -> None:
        """Copies an artifact from one run to another; does nothing if the run lacks it."""
        if file in self.names(source):
            with tempfile.TemporaryDirectory() as folder:
                self.add(target, self._download(source, file, folder))

    def read_text(self, run: str, file: str) -> str:
        """A text artifact.

        Raises:
            TrackingError: there is none of this name.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self._download(run, file, folder).read_text(encoding="utf-8")

    def names(self, run: str) -> list[str]:
        """Names of a run's artifacts outside folders."""
        with self._connection.explained(), quiet("mlflow"):
            return [artifact.path for artifact in self._connection.client.list_artifacts(run) if not artifact.is_dir]

    def _download(self, run: str, file: str, folder: str) -> Path:
        with self._connection.explained(), quiet("mlflow"):
            return Path(self._connection.client.download_artifacts(run, file, folder))
