"""From what a recipe says under `datasets` to the names of data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tsbench.data.catalogue import catalogue, collection, kept
from tsbench.errors import DataError
from tsbench.recipe.names import COLLECTIONS
from tsbench.recipe.schema import OwnDataConfig, Recipe, SelectionConfig

if TYPE_CHECKING:  # it reads cases, which `tsbench validate` does not need
    from tsbench.data.archive import Archive
    from tsbench.data.download import Progress

__all__ = ["archive_of", "expand", "names_of"]


def archive_of(recipe: Recipe, progress: Progress | None = None) -> Archive:
    """Where the recipe's data sets are looked for, its own data among them."""
    from tsbench.data.archive import Archive

    return Archive(recipe.archive, [one for one in recipe.datasets if isinstance(one, OwnDataConfig)], progress)


def names_of(recipe: Recipe) -> list[str]:
    """The recipe's data sets, each once: collections, patterns and filters in full.

    Raises:
        DataError: a pattern or a filter lets nothing through.
    """
    names: dict[str, None] = {}
    for entry in recipe.datasets:
        if isinstance(entry, OwnDataConfig):
            names[entry.name] = None
        else:
            names |= dict.fromkeys(expand([entry], lambda: archive_of(recipe)))
    return list(names)


def expand(entries: Sequence[str | SelectionConfig], archive: Callable[[], Archive]) -> list[str]:
    """Names, collections, patterns and filters as names of data sets, each once, in their order.

    Args:
        entries: as a recipe has them, without own data.
        archive: gives where patterns find the names of data sets at hand.

    Raises:
        DataError: a pattern or a filter lets nothing through.
    """
    names: dict[str, None] = {}
    for entry in entries:
        filters = entry if isinstance(entry, SelectionConfig) else None
        found = _named(entry.collection if isinstance(entry, SelectionConfig) else entry, archive)
        if filters is not None and not (found := kept(found, filters)):
            given = ", ".join(f"{key}: {value}" for key, value in filters.model_dump(exclude_defaults=True).items())
            raise DataError(f"no data set of the catalogue passes {{{given}}}")
        names |= dict.fromkeys(found)
    return list(names)


def _named(name: str, archive: Callable[[], Archive]) -> Iterable[str]:
    if name in COLLECTIONS:
        return collection(name)
    if not set(name) & set("*?"):
        return [name]
    known = sorted({*catalogue(), *archive().names()})
    found = [one for one in known if fnmatchcase(one, name)]
    if not found:
        raise DataError(f"no data set's name matches {name!r}, neither in the catalogue nor among those at hand")
    return found
