"""The provenance of a run: versions, machine and git commit."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tsbench import __version__

__all__ = ["git_commit", "processor", "requirements", "versions"]

PACKAGES = ("torch", "optuna", "mlflow", "sktime", "aeon", "scikit-learn", "numpy", "pandas", "numba")


def versions() -> dict[str, str]:
    """Versions of tsbench, Python, the packages that results depend on, and the machine's kind."""
    found = {"tsbench": __version__, "python": sys.version.split()[0], "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def requirements() -> list[str]:
    """Requirements of a logged model: its packages in their installed versions."""
    found = versions()
    torch = found["torch"].partition("+")[0]  # without the local version label, which an index may not have
    return [
        f"tsbench=={__version__}",
        f"torch=={torch}",
        *(f"{package}=={found[package]}" for package in ("numpy", "pandas")),
    ]


def processor() -> str:
    """The processor's name if the system reports it, otherwise its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def git_commit(folder: Path) -> str | None:
    """The commit checked out in a folder, with `-dirty` if tracked files were changed; None outside git."""
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
