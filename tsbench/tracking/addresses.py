"""Addresses of MLflow stores, resolved so that every process, SQLAlchemy and MLflow read them the same way.

The path of a SQLite file is part of a URL, in which `?`, `#` and `%` are special. Only `resolve_uri` makes such
addresses, and only `database_of` reads the path from one.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from importlib.metadata import entry_points, version
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tsbench.errors import TrackingError
from tsbench.recipe.messages import shortened
from tsbench.redaction import redacted

__all__ = [
    "check_driver",
    "check_reachable",
    "database_of",
    "problem_with_database",
    "problem_with_store",
    "resolve_uri",
]

PLAIN, ENCODED = "sqlite:///", "sqlite+pysqlite:///"
"""MLflow creates the folder that it reads literally after `sqlite:///`; behind the name of the driver it creates none,
so an address whose path is percent-encoded has that."""

DATABASES = ("postgresql", "mysql", "mssql", "sqlite")
MANAGED = ("databricks", "databricks-uc", "uc")
"""Kinds of stores that MLflow has besides servers."""

CONNECT_SECONDS = 5
MAX_SHOWN = 200  # maximum characters of an address in a message

OPTIONS = {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}  # Python's sqlite3
OPTIONS |= {"cache", "immutable", "mode", "nolock", "psow", "uri", "vfs"}  # SQLite's own, with uri=true

_QUERY = re.compile(r"\?([^?/]+)$")
_MEANT_OTHERWISE = re.compile(r"[%?#\x00-\x1f\x7f]")


def resolve_uri(uri: str) -> str:
    """The address of the same store for every process and library; a resolved address is unchanged.

    The path of a SQLite file becomes absolute. It is taken as it is written, so that it need not be quoted; only if
    there is nothing of that name, but there is with its %XX decoded, it is decoded. What follows the last `?` are
    options if it consists of SQLite's, such as `?timeout=5`.

    Raises:
        TrackingError: a plain folder, which MLflow no longer accepts as a store; a database in memory; a path
            that is not UTF-8, or in the home of a user who does not exist; an address of a kind that MLflow does not
            have; or a server's address with a user's name or password in it, which belong into the environment.
    """
    if re.match(r"sqlite(\+pysqlite)?:", uri):
        return _address(*_path_and_options(uri))
    if not uri.isprintable():  # Python's own parser drops such characters
        raise TrackingError(f"tracking.uri {_shown(uri)} is not an address: it holds control characters")
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise TrackingError(f"tracking.uri {_shown(uri)} is not an address: {error}") from None
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme in ("", "file"):
        raise TrackingError(
            f"tracking.uri {_shown(uri)} is a folder, which MLflow no longer accepts; "
            "write sqlite:///mlflow.db, or the http:// address of an MLflow server"
        )
    elif not _is_known(scheme, uri):
        raise TrackingError(
            f"tracking.uri {_shown(uri)} is not of a kind that MLflow supports; write sqlite:///mlflow.db, the http:// "
            "address of an MLflow server, or the postgresql:// address of a database"
        )
    return uri


def problem_with_store(uri: str) -> str | None:
    """The problem with a recipe's `tracking.uri` in words, found without connecting; None if there is none."""
    try:
        resolved = resolve_uri(uri)
        if database_of(resolved) is None:  # SQLite's driver is a part of Python, and importing SQLAlchemy takes long
            check_driver(resolved)
    except TrackingError as error:
        return str(error).removeprefix("tracking.uri").lstrip(": ")  # the place says of which key it is
    return None


def problem_with_database(uri: str) -> str | None:
    """The problem with a recipe's `search.storage`; see `problem_with_store`."""
    default = "postgresql+pg8000://"  # the driver of a search if the address names none
    try:
        check_driver(default + uri.removeprefix("postgresql://") if uri.startswith("postgresql://") else uri)
    except TrackingError as error:
        return str(error).removeprefix("tracking.uri").lstrip(": ")
    return None


def check_driver(uri: str) -> None:
    """Refuses the address of a database that SQLAlchemy cannot read, or whose driver is not installed.

    Args:
        uri: from `resolve_uri`; addresses other than a database's pass.

    Raises:
        TrackingError: with what is wrong or missing.
    """
    if urlsplit(uri).scheme.partition("+")[0] not in DATABASES:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        dialect = make_url(uri).get_dialect()
    except (ArgumentError, ValueError) as error:  # ValueError: the port is not a number
        reason = redacted(str(error), uri)
        raise TrackingError(f"tracking.uri {_shown(uri)} is not a database's address: {reason}") from None
    try:
        dialect.import_dbapi()
    except ImportError as error:
        raise TrackingError(
            f"tracking.uri {_shown(uri)} needs the Python package {error.name or error}, the driver of this kind "
            "of database, which is not installed; install it, or name an installed driver in the address, as in "
            "postgresql+pg8000://"
        ) from None


def check_reachable(uri: str) -> None:
    """Refuses an address at which no server listens; behind a proxy, this cannot be checked.

    Args:
        uri: an http or https address from `resolve_uri`.

    Raises:
        TrackingError: no connection was made within CONNECT_SECONDS.
    """
    from urllib.request import getproxies, proxy_bypass  # slow to import

    parts = urlsplit(uri)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a part of the host's name is too long
        raise TrackingError(
            f"tracking.uri {_shown(uri)} cannot be reached ({getattr(error, 'strerror', None) or error}); start a "
            "server there with `mlflow server`, or name another store"
        ) from None


def _shown(uri: str) -> str:
    """The address in quotes, without credentials, cut if it is long."""
    text = repr(redacted(uri))
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 4]}...'"


def _check_server(uri: str) -> None:
    shown = _shown(uri)
    try:
        parts = urlsplit(uri)
        named = "@" in parts.netloc or redacted(uri).partition("?")[0] != uri.partition("?")[0]
        host = parts.hostname
        _ = None if named else parts.port
    except ValueError as error:
        raise TrackingError(f"tracking.uri {shown} is not an address: {error}") from None
    if named:
        raise TrackingError(
            f"tracking.uri {shown} contains a user name; remove it, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment"
        )
    if not host:
        raise TrackingError(f"tracking.uri {shown} is not an address: it names no host")


def _is_known(scheme: str, uri: str) -> bool:
    """Whether MLflow, or one of its plugins, has stores of this kind."""
    if scheme.partition("+")[0] in DATABASES:
        return "://" in uri
    return scheme in MANAGED or scheme in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}


def database_of(uri: str) -> Path | None:
    """The SQLite file of an address from `resolve_uri`; None if the store is not a SQLite file."""
    return _path_and_options(uri)[0] if uri.startswith((PLAIN, ENCODED)) else None


def _path_and_options(uri: str) -> tuple[Path, str]:
    """The file of a SQLite address, and its options as in a URL's query."""
    text = uri.removeprefix(PLAIN).removeprefix(ENCODED)
    options = ""
    if (match := _QUERY.search(text)) and set(parse_qs(match[1], keep_blank_values=True)) <= OPTIONS:
        text, options = text[: match.start()], match[1]
    if text in ("", ":memory:") or text == uri or "mode=memory" in options:
        raise TrackingError(
            f"tracking.uri {_shown(uri)} names no file, and other processes cannot see a database in memory; "
            "write sqlite:///mlflow.db"
        )
    encoded = uri.startswith(ENCODED)
    if text.startswith("file:") and "uri=true" in options.lower():
        text = unquote(text) if encoded and _decodes() else text
        return _absolute(unquote(text.removeprefix("file:"))), options
    return _absolute(unquote(text)) if encoded else _as_written_or_decoded(text), options


def _as_written_or_decoded(text: str) -> Path:
    written, decoded = _absolute(text), _absolute(unquote(text))
    try:
        if not written.exists() and decoded.is_file():
            return decoded
        return decoded if not written.parent.is_dir() and decoded.parent.is_dir() else written
    except OSError as error:
        raise TrackingError(
            f"tracking.uri: the file {shortened(text)!r} cannot be opened: {error.strerror}; name another file"
        ) from None


def _absolute(text: str) -> Path:
    if "\0" in text:
        raise TrackingError("tracking.uri: the path contains a null byte, which no file name can have")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # Python's own message does not name the path
        raise TrackingError(
            f"tracking.uri: the path {shortened(text)!r} begins with ~ and the name of a user who has no home "
            "directory on this machine"
        ) from None


def _address(path: Path, options: str) -> str:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise TrackingError(
            f"the folder of the MLflow store, {str(path)!a}, has a name that is not UTF-8, which cannot be part of the "
            "store's address; rename the folder, or name another store by tracking.uri"
        ) from None
    as_uri = "uri=true" in options.lower()
    if not (as_uri or _MEANT_OTHERWISE.search(str(path))):
        return f"{PLAIN}{path}" + (f"?{options}" if options else "")
    text = quote(str(path), safe="/ +:,;=@&!$'()*~[]")
    if not _decodes():
        text, options = f"file:{text}", options if as_uri else "&".join(filter(None, (options, "uri=true")))
    elif as_uri:
        text = quote(f"file:{text}", safe="/ +:,;=@&!$'()*~[]")  # SQLAlchemy decodes it, and then SQLite
    return f"{ENCODED}{text}" + (f"?{options}" if options else "")


@lru_cache(maxsize=1)
def _decodes() -> bool:
    """Whether SQLAlchemy decodes the path of an address; before 2.1 only SQLite did, in its own form of address."""
    return tuple(map(int, version("sqlalchemy").split(".")[:2])) >= (2, 1)
