"""Addresses of MLflow stores: from what a person writes to what every process, SQLAlchemy and MLflow read alike.

The path of a SQLite file stands in a URL, in which `?`, `#` and `%` mean something else. Only `resolve_uri` makes such
addresses, and only `database_of` reads the path from one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from tsbench.errors import TrackingError

__all__ = ["database_of", "redacted", "resolve_uri"]

PLAIN, ENCODED = "sqlite:///", "sqlite+pysqlite:///"
"""MLflow creates the folder that it reads literally after `sqlite:///`; behind the name of the driver it creates none,
so an address whose path is percent-encoded has that."""

OPTIONS = {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}  # Python's sqlite3
OPTIONS |= {"cache", "immutable", "mode", "nolock", "psow", "uri", "vfs"}  # SQLite's own, with uri=true

_QUERY = re.compile(r"\?([^?/]+)$")
_MEANT_OTHERWISE = re.compile(r"[%?#\x00-\x1f\x7f]")


def redacted(uri: str) -> str:
    """The URI without passwords and tokens: what may be written to a log, a tag or a recipe's dump."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # not an address at all
        return uri
    if parts.password is not None:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username}:***@{host}")
    query = re.sub(r"(?i)((?:^|&)[^=&]*(?:token|password|secret|key)[^=&]*=)[^&]*", r"\1***", parts.query)
    changed = parts._replace(query=query)
    return uri if changed == urlsplit(uri) else urlunsplit(changed)  # `sqlite:///` would lose its slashes


def resolve_uri(uri: str) -> str:
    """The address that means the same store in every process and library; one that was resolved before stays.

    The path of a SQLite file becomes absolute. It is taken as it is written, so that it need not be quoted; only if
    there is nothing of that name, but there is with its %XX decoded, it is decoded. What follows the last `?` are
    options if it consists of SQLite's, such as `?timeout=5`.

    Raises:
        TrackingError: a plain folder, which MLflow does not take as a store any more; a database in memory; a path
            that is not UTF-8; or a server's address with a user's name or password in it, which belong into the
            environment.
    """
    if re.match(r"sqlite(\+pysqlite)?:", uri):
        return _address(*_path_and_options(uri))
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise TrackingError(f"tracking.uri {uri!r} is not an address: {error}") from None
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        raise TrackingError(
            f"tracking.uri {redacted(uri)!r} carries a user's name; leave it out, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment"
        )
    if parts.scheme in ("", "file"):
        raise TrackingError(
            f"tracking.uri {uri!r} is a folder, which MLflow no longer accepts; "
            "write sqlite:///mlflow.db, or the http:// address of an MLflow server"
        )
    return uri


def database_of(uri: str) -> Path | None:
    """The SQLite file of an address that `resolve_uri` gave; None if the store is not a SQLite file."""
    return _path_and_options(uri)[0] if uri.startswith((PLAIN, ENCODED)) else None


def _path_and_options(uri: str) -> tuple[Path, str]:
    """The file that a SQLite address means, and its options as in a URL's query."""
    text = uri.removeprefix(PLAIN).removeprefix(ENCODED)
    options = ""
    if (match := _QUERY.search(text)) and set(parse_qs(match[1], keep_blank_values=True)) <= OPTIONS:
        text, options = text[: match.start()], match[1]
    if text in ("", ":memory:") or text == uri or "mode=memory" in options:
        raise TrackingError(
            f"tracking.uri {uri!r} names no file, and other processes cannot see a database in memory; "
            "write sqlite:///mlflow.db"
        )
    encoded = uri.startswith(ENCODED)
    if text.startswith("file:") and "uri=true" in options.lower():
        text = unquote(text) if encoded and _decodes() else text
        return _absolute(unquote(text.removeprefix("file:"))), options
    return _absolute(unquote(text)) if encoded else _as_written_or_decoded(text), options


def _as_written_or_decoded(text: str) -> Path:
    written, decoded = _absolute(text), _absolute(unquote(text))
    if not written.exists() and decoded.is_file():
        return decoded
    return decoded if not written.parent.is_dir() and decoded.parent.is_dir() else written


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _address(path: Path, options: str) -> str:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise TrackingError(
            f"the folder of the MLflow store, {str(path)!a}, has a name that is not UTF-8, which cannot stand in the "
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
    """Whether SQLAlchemy decodes the path of an address; before 2.1 only SQLite did, in an address of its own."""
    return tuple(map(int, version("sqlalchemy").split(".")[:2])) >= (2, 1)
