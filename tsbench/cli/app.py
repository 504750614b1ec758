"""The Typer app and what all verbs share: exit codes and how errors are printed."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import TracebackType
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from tsbench import __version__
from tsbench.cli.output import lasting_output
from tsbench.errors import ON_COMMAND_LINE, TsbenchError
from tsbench.quiet import environment, quiet_variables
from tsbench.redaction import redacted
from tsbench.signals import exit_code_of

__all__ = ["app", "sentences", "verb"]

P = ParamSpec("P")
R = TypeVar("R")

ClickError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The base class of errors in arguments, which typer does not export."""


class _RedactingGroup(TyperGroup):
    """A command group that hides credentials in errors about arguments and in tracebacks."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except Exception:
            sys.excepthook = _print_redacted
            raise

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _redacted_arguments():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _redacted_arguments():
            return super().invoke(ctx)


@contextmanager
def _redacted_arguments() -> Iterator[None]:
    """Hides credentials in errors about arguments, such as an address in the wrong place."""
    try:
        yield
    except ClickError as error:
        # Typer begins what is wrong with a value by pydantic's name of the error.
        error.message = redacted(error.message).replace("Value error, ", "", 1)  # type: ignore[attr-defined]
        raise


def _print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = redacted("".join(traceback.format_exception(kind, error, trace)))
    sys.stderr.write(f"{text}This is an error in tsbench; please report it.\n")


app = typer.Typer(
    name="tsbench",
    cls=_RedactingGroup,
    help="Tunes a network for time series classification from a YAML recipe, compares it with baselines, "
    "and records all of it in MLflow.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"tsbench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Declarative AutoML and honest benchmarking for time series classification."""
    os.environ.update(quiet_variables("mlflow"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # file names need not be UTF-8; Python does the same for stderr


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except TsbenchError as error:
        with lasting_output():
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_code_of(interrupt)) from None
    except BrokenPipeError:
        # The reader of the output has exited (`tsbench compare | head`), so nothing more can be printed.
        sys.stderr.close()
        raise typer.Exit(0) from None
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        with lasting_output():
            typer.echo(_describe(error), err=True)
        raise typer.Exit(1) from None


_OF_THE_DISK = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""File and folder errors that the user can fix; others are reported with a traceback."""


def _describe(error: OSError) -> str:
    """One sentence that names the file or folder, if the system does."""
    reason = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = f" of {error.filename}" if error.filename else ""
        return f"no space is left on the disk{place}; free some space, then run the same command again"
    if error.filename:
        return f"{error.filename} cannot be read or written: {reason}; check its path and permissions"
    return f"a file cannot be read or written: {reason}"


def sentences(function: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors are printed as sentences: exit code 2 for a wrong recipe, 1 for a failed run."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with environment(**{ON_COMMAND_LINE: "1"}), _errors_as_messages():
            return function(*args, **kwargs)

    return wrapped


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Registers a command of this name, with `sentences`."""
    wrapped = sentences(function)
    app.command(name=function.__name__.rstrip("_"))(wrapped)
    return wrapped


VERBS = (
    "fit",
    "search",
    "compare",
    "validate",
    "schema",
    "init",
    "ui",
    "datasets",
    "studies",
    "worker",
    "predict",
    "export",
    "explain",
    "reproduce",
    "rm",
)
for _module in VERBS:
    import_module(f"tsbench.cli.{_module}")
