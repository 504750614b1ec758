"""The problems of a recipe, each with its place in the file or its override."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tsbench.errors import argument
from tsbench.recipe.messages import escaped, shortened

__all__ = ["MAX_PROBLEMS", "KeyPath", "Report", "place_of_override"]

MAX_PROBLEMS = 100  # that are reported

KeyPath = tuple[str | int, ...]
"""The keys, and numbers in lists, that lead to a value."""


def place_of_override(text: str) -> str:
    """What `dotted.key=value` is called at the beginning of a problem."""
    return f"{argument('--set', 'overrides')} {shortened(text)}"


class Report:
    """Collects problems by their path in the tree, and finds their place in the file, if there is one."""

    def __init__(self, path: Path | None, document: CommentedMap) -> None:
        self.path = path
        self.document = document
        self.overridden: dict[KeyPath, str] = {}
        self.problems: dict[tuple[int, int, str, str], None] = {}
        self.paths: set[KeyPath] = set()

    def add(self, path: KeyPath, message: str, at: str | None = None) -> None:
        """Adds a problem at a path; `at` is a place to report instead of that in the file."""
        self.paths.add(path)
        if path:
            message = f"{'.'.join(escaped(str(part)) for part in path)}: {message}"
        line, column, place = self._locate(path, whole=False) if at is None else (0, 0, at)
        self.problems[(line, column, place, message)] = None

    def places(self) -> dict[str, str]:
        """The places of the keys of all settings, other than in lists, that the file or an override gives."""
        whole: dict[str, str] = {} if self.path is not None else {"": self.place(())}
        return whole | {
            ".".join(map(str, path)): self.place(path) for path in [*_paths(self.document), *self.overridden]
        }

    def place(self, path: KeyPath) -> str:
        """`--set ...` (`overrides` in Python) if an override sets a path, otherwise `recipe.yaml:12:5`."""
        return self._locate(path, whole=True)[2]

    def _locate(self, path: KeyPath, whole: bool) -> tuple[int, int, str]:
        if (override := self.override(path, whole)) is not None:
            return 0, 0, place_of_override(override)
        if self.path is None:
            return 0, 0, "recipe:"
        line, column = self.position(path)
        return line, column, f"{self.path}:{line}:{column}"

    def has(self, path: KeyPath) -> bool:
        """Whether a problem of this path was added."""
        return path in self.paths

    def override(self, path: KeyPath, whole: bool = True) -> str | None:
        """The last override that sets a path, or (unless `whole`) a part of it."""
        for key, text in reversed(self.overridden.items()):
            if path[: len(key)] == key or (path and not whole and key[: len(path)] == path):
                return text
        return None

    def position(self, path: KeyPath) -> tuple[int, int]:
        """One-based line and column of the deepest part of the path that is in the file."""
        node: Any = self.document
        line, column = 0, 0
        for part in path:
            try:
                if isinstance(node, CommentedMap):
                    part = next(key for key in node if str(key) == part)  # a key may be a number in the file
                    line, column = node.lc.key(part)
                elif isinstance(node, CommentedSeq):
                    line, column = node.lc.item(part)
                node = node[part]
            except (KeyError, IndexError, TypeError, StopIteration):
                break
        return line + 1, column + 1

    def sentences(self) -> list[str]:
        """The problems in the order of their places, the first of very many."""
        found = [f"{place} {message}" for _, _, place, message in sorted(self.problems)]
        if len(found) < MAX_PROBLEMS:
            return found
        return [
            *found[:MAX_PROBLEMS],
            f"{self.path or 'recipe'}: these are the first {MAX_PROBLEMS} problems; there may be more",
        ]


def _paths(node: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield (*above, str(key))
            yield from _paths(value, (*above, str(key)))
