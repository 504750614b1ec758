"""From a YAML file to a `Recipe`: every problem at once, each with its line and column.

YAML 1.2 by ruamel.yaml: `1e-4` is a number and `no` is a word, unlike with YAML 1.1 readers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tsbench.errors import RecipeError
from tsbench.recipe.schema import HyperparameterConfig, Recipe
from tsbench.recipe.space import Space, describe, leaves, parse_space, suggestion

__all__ = ["LoadedRecipe", "load_recipe", "sentence"]

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that holds, with its parsed search space.

    Attributes:
        recipe: the validated recipe, defaults filled in.
        space: the parsed search space.
        path: the file that it came from.
        freed: searched settings that `--set` has fixed, and so taken out of the space.
    """

    recipe: Recipe
    space: Space
    path: Path
    freed: tuple[str, ...] = ()

    def resolved(self) -> dict[str, Any]:
        """The whole recipe as plain data, defaults included, with the space as it is searched."""
        first = ("name", "datasets", "archive")  # as people write them
        dumped = self.recipe.model_dump(mode="json")
        tree = {key: dumped[key] for key in (*first, *dumped)}
        tree["space"] = {name: describe(entry) for name, entry in self.space.items()}
        for name in self.space:  # what is searched is not fixed too, so that the result is a recipe again
            *groups, leaf = name.split(".")
            del reduce(dict.__getitem__, groups, tree)[leaf]
        return tree


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), baselines: Collection[str] | None = None
) -> LoadedRecipe:
    """Reads and checks a recipe.

    Args:
        path: the YAML file.
        overrides: `dotted.key=value` texts, the value in YAML, that replace what the file says.
        baselines: the known names of baselines; not checked where it is None.

    Returns:
        The recipe and its search space.

    Raises:
        RecipeError: with every problem found, as `recipe.yaml:12:5 search.trails: unknown key; did you mean ...?`.
    """
    path = Path(path)
    document = _read(path)
    report = _Report(path, document)
    tree = _plain(document)
    for text in overrides:
        _override(tree, text, report)
    freed = _free_overridden(tree, report)
    recipe = _validate(tree, report, baselines)
    raw_space = tree.get("space", {})
    space: Space = {}
    if isinstance(raw_space, Mapping) or raw_space == "default":
        space, problems = parse_space(raw_space, _fixed(tree))
        for problem in problems:
            report.add(("space", *problem.path), problem.message)
    if report.problems or recipe is None:
        raise RecipeError(report.sentences())
    return LoadedRecipe(recipe, space, path, freed)


class _Report:
    """Collects problems by their path in the tree, and finds where in the file they stand."""

    def __init__(self, path: Path, document: CommentedMap) -> None:
        self.path = path
        self.document = document
        self.overridden: dict[Path_, str] = {}
        self.problems: dict[tuple[int, int, str, str], None] = {}

    def add(self, path: Path_, message: str, at: str | None = None) -> None:
        override = next((text for key, text in self.overridden.items() if path[: len(key)] == key), None)
        if path:
            message = f"{'.'.join(map(str, path))}: {message}"
        if at is not None or override is not None:
            self.problems[(0, 0, at or f"--set {override}", message)] = None
            return
        line, column = self.position(path)
        self.problems[(line, column, f"{self.path}:{line}:{column}", message)] = None

    def position(self, path: Path_) -> tuple[int, int]:
        """One-based line and column of the deepest part of the path that stands in the file."""
        node: Any = self.document
        line, column = 0, 0
        for part in path:
            try:
                if isinstance(node, CommentedMap):
                    line, column = node.lc.key(part)
                elif isinstance(node, CommentedSeq):
                    line, column = node.lc.item(part)
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
        return line + 1, column + 1

    def sentences(self) -> list[str]:
        return [f"{place} {message}" for _, _, place, message in sorted(self.problems)]


def _read(path: Path) -> CommentedMap:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError([f"{path}: there is no such file; `tsbench init` writes a recipe to begin from"]) from None
    except IsADirectoryError:
        raise RecipeError([f"{path}: is a folder, not a recipe"]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        document = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = str(error.problem or error.context or "syntax error").split("\n")[0]
        raise RecipeError([f"{place} not valid YAML: {problem}"]) from None
    except (YAMLError, ValueError) as error:
        raise RecipeError([f"{path}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    if document is None:
        raise RecipeError([f"{path}: the file is empty; `tsbench init` writes a recipe to begin from"])
    if not isinstance(document, CommentedMap):
        raise RecipeError([f"{path}:1:1 expected `key: value` lines, got {type(document).__name__}"])
    return document


def _plain(node: Any) -> Any:
    """Ruamel's annotated containers and numbers as Python's own, which strict validation expects."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return str(node)  # a date or time: no setting takes one, the text says what was read


def _override(tree: dict[str, Any], text: str, report: _Report) -> None:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        report.add((), "expected KEY=VALUE, such as search.trials=30", at=f"--set {text}")
        return
    try:
        parsed = _plain(YAML(typ="safe", pure=True).load(value))
    except YAMLError:
        report.add((key,), f"the value is not valid YAML: {value!r}", at=f"--set {text}")
        return
    path = _override_path(key.strip())
    node = tree
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = parsed
    report.overridden[path] = text


def _override_path(key: str) -> tuple[str, ...]:
    """`space.model.dropout` names an entry of the space, whose own name has dots."""
    head, _, rest = key.partition(".")
    return (head, rest) if head == "space" and rest else tuple(key.split("."))


def _free_overridden(tree: dict[str, Any], report: _Report) -> tuple[str, ...]:
    """A value set on the command line is meant: it leaves the space that the file searches."""
    space = tree.get("space")
    if not isinstance(space, dict):
        return ()
    freed = [name for name in space if any(".".join(map(str, path)) == name for path in report.overridden)]
    tree["space"] = {name: entry for name, entry in space.items() if name not in freed}
    return tuple(freed)


def _validate(tree: dict[str, Any], report: _Report, baselines: Collection[str] | None) -> Recipe | None:
    try:
        return Recipe.model_validate(tree, context={"baselines": baselines})
    except ValidationError as error:
        for one in error.errors():
            path = _existing(one["loc"], tree, one["type"])
            if path[:1] == ("space",) and len(path) > 1:
                continue
            report.add(path, sentence(one, _siblings(path)))
        return None


def _existing(loc: tuple[str | int, ...], tree: Any, kind: str) -> Path_:
    """The error's path without the parts by which pydantic names a member of a union."""
    path: list[str | int] = []
    for part in loc:
        inside = isinstance(tree, Mapping) and part in tree
        if inside or (isinstance(tree, list) and isinstance(part, int) and part < len(tree)):
            tree = tree[part]
            path.append(part)
        elif kind == "missing" and part == loc[-1]:
            path.append(part)
    return tuple(path)


def _siblings(path: Path_) -> list[str]:
    """The keys that the schema allows where the last part of the path stands."""
    model: Any = Recipe
    for part in path[:-1]:
        info = model.model_fields.get(part) if isinstance(part, str) else None
        model = info.annotation if info else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields)


def sentence(error: Mapping[str, Any], known: Iterable[str] = ()) -> str:
    """What is wrong, in words, of one of pydantic's errors."""
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    known = list(known)
    if kind == "extra_forbidden":
        return "unknown key" + (suggestion(str(error["loc"][-1]), known) or f"; known here: {', '.join(known)}")
    if kind == "missing":
        return "this key is required"
    if kind == "unknown_name":
        hint = suggestion(str(given), context["known"]) or f"; known: {', '.join(context['known'])}"
        return f"unknown {context['what']} {given!r}{hint}"
    if kind == "literal_error":
        expected = [one.strip("'") for one in context["expected"].replace(" or ", ", ").split(", ")]
        return f"expected one of {', '.join(expected)}, got {given!r}{suggestion(str(given), expected)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {given!r}"
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**context)}, got {given!r}"
    return str(error["msg"])


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_pattern_mismatch": "auto, cpu, cuda or cuda:N",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "too_short": "at least one value",
    "string_too_short": "a text that is not empty",
}
_BOUNDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def _fixed(tree: Mapping[str, Any]) -> set[str]:
    """Dotted names of the searchable settings that the recipe itself gives a value."""
    known = {name for name, _ in leaves(HyperparameterConfig)}

    def given(node: Any, prefix: str) -> Iterable[str]:
        if prefix in known:
            yield prefix
        elif isinstance(node, Mapping):
            for key, value in node.items():
                yield from given(value, f"{prefix}.{key}" if prefix else str(key))

    return {name for group in HyperparameterConfig.model_fields for name in given(tree.get(group), group)}
