"""Reads YAML within limits, so that no file takes much time or memory, and every problem has its line and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent
from ruamel.yaml.reader import ReaderError

__all__ = ["MAX_BYTES", "NotReadableError", "plain_yaml", "read_yaml"]

MAX_BYTES = 100_000
"""Maximum size of a recipe's file; the longest that tsbench writes has some 5,000."""

MAX_NODES = 5_000
"""Maximum number of values, lists and mappings, with aliases expanded."""

MAX_DEPTH = 50
MAX_DIGITS = 400  # of a number; a float has at most 309 before its point


class NotReadableError(Exception):
    """A text is not YAML, or exceeds the limits.

    Attributes:
        line: one-based; 0 if the place is unknown.
        column: one-based.
    """

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.line, self.column = line, column


class _BoundError(MarkedYAMLError):
    """The text is well-formed, but too large."""


class _BoundedComposer(Composer):
    """Stops at the first node beyond the limits, before it is constructed."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._depth = 0
        self._count = 0
        self._sizes: dict[str, int | None] = {}  # nodes below each anchor; None while they are being read

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.loader.parser.peek_event()
        mark = event.start_mark
        if isinstance(event, AliasEvent):
            size = self._sizes.get(event.anchor, 0)
            if size is None:
                raise _BoundError(problem=f"*{event.anchor} refers to a node that contains it", problem_mark=mark)
            self._add(size, mark)
            return super().compose_node(parent, index)
        if isinstance(event, ScalarEvent):
            _check_digits(event)
        before = self._count
        self._add(1, mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _BoundError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=mark)
        if event.anchor is not None:
            self._sizes[event.anchor] = None
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._count - before
        return node

    def _add(self, count: int, mark: Any) -> None:
        self._count += count
        if self._count > MAX_NODES:
            problem = f"more than {MAX_NODES} values up to here, with aliases expanded"
            raise _BoundError(problem=problem, problem_mark=mark)


def _check_digits(event: Any) -> None:
    text = event.value
    if len(text) <= MAX_DIGITS or event.style is not None or text[0] not in "+-.0123456789":
        return
    digits = sum(letter in "0123456789abcdefABCDEF" for letter in text)
    if digits > MAX_DIGITS:
        problem = f"a number of {digits} digits, which may have at most {MAX_DIGITS}"
        raise _BoundError(problem=problem, problem_mark=event.start_mark)


class _PlacedConstructor(RoundTripConstructor):
    """Reports the place of a value that cannot be built, such as `!!int many`."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except MarkedYAMLError:
            raise
        except Exception as error:
            problem = f"a value cannot be read ({type(error).__name__}: {error})"
            raise MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def read_yaml(text: str) -> Any:
    """The text as ruamel.yaml reads it: containers that know the lines and columns of what they hold.

    Raises:
        NotReadableError: the text is not YAML or exceeds the limits; with the problem and its place.
    """
    size = len(text.encode())
    if size > MAX_BYTES:
        raise NotReadableError(f"{size} bytes, of which a recipe may have at most {MAX_BYTES}", 1, 1)
    yaml = YAML(typ="rt", pure=True)
    yaml.Composer, yaml.Constructor = _BoundedComposer, _PlacedConstructor
    try:
        return yaml.load(text)
    except ReaderError as error:  # a character that YAML does not allow
        line, column = _place_of(text, error.position)
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise NotReadableError(f"not valid YAML: the character U+{code:04X} is not allowed", line, column) from None
    except Exception as error:  # ruamel raises its own errors, and any error of a value's construction
        raise _explained(error) from None


def _explained(error: Exception) -> NotReadableError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or f"{type(error).__name__}: {error}"
    sentence = str(problem).splitlines()[0]
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return NotReadableError(sentence if isinstance(error, _BoundError) else f"not valid YAML: {sentence}", *place)


def _place_of(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


def plain_yaml(node: Any) -> Any:
    """Converts ruamel's annotated containers and numbers to Python's own, which strict validation expects."""
    if isinstance(node, Mapping):
        return {str(key): plain_yaml(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain_yaml(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(str(int(node)))
    for kind in (float, str):
        if isinstance(node, kind):
            return kind(node)
    return str(node)  # a date or time: no setting takes one, so the error shows its text
