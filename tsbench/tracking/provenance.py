"""What a run must carry so that it can be reproduced: versions, machine and git commit."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tsbench import __version__

__all__ = ["git_commit", "versions"]

PACKAGES = ("torch", "optuna", "mlflow", "sktime", "aeon", "scikit-learn", "numpy", "pandas", "numba")


def versions() -> dict[str, str]:
    """Versions of tsbench, Python, the packages that figures depend on, and the machine's kind."""
    found = {"tsbench": __version__, "python": sys.version.split()[0], "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit(folder: Path) -> str | None:
    """The commit checked out in a folder, with `-dirty` where tracked files were changed; None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
