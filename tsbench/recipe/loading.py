"""Reads a YAML file into a `Recipe`, and reports every problem at once, each with its line and column.

YAML 1.2 by ruamel.yaml: `1e-4` is a number and `no` is a word, unlike with YAML 1.1 readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from ruamel.yaml.comments import CommentedMap

from tsbench.errors import RecipeError, TsbenchError
from tsbench.recipe.messages import sentence, shown, suggestion
from tsbench.recipe.overrides import apply_override, fixed_settings, free_overridden
from tsbench.recipe.plain import plain
from tsbench.recipe.presets import PRESETS
from tsbench.recipe.reading import MAX_BYTES, NotReadableError, plain_yaml, read_yaml
from tsbench.recipe.report import MAX_PROBLEMS, KeyPath, Report
from tsbench.recipe.schema import (
    DataEntry,
    OwnDataConfig,
    Recipe,
    SearchConfig,
    SelectionConfig,
    SplitConfig,
    is_group,
)
from tsbench.recipe.space import (
    COUNTED,
    FloatRange,
    Space,
    describe,
    grid_size,
    label,
    leaves,
    never_active,
    offers,
)
from tsbench.recipe.space_parsing import parse_space

__all__ = ["LoadedRecipe", "load_recipe"]

UNWRITTEN = Path("recipe")
"""The name of a recipe that is not from a file."""

MAX_GRID = 100_000  # combinations; the sampler keeps a list of them

_KEY = re.compile(rf"(?:{'|'.join(Recipe.model_fields)})\.[a-z_.]*[a-z]")
"""The dotted name of a setting at the start of a sentence."""


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe with its parsed search space.

    Attributes:
        recipe: the validated recipe with its defaults.
        space: the parsed search space.
        path: its file; `recipe` if it has none.
        freed: searched settings that an override has fixed, which removes them from the space.
        places: the place of each key that the recipe gives, as `recipe.yaml:12:5`, by its dotted name; ""
            is for all others.
    """

    recipe: Recipe
    space: Space
    path: Path
    freed: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def named(self) -> frozenset[str]:
        """Dotted names of the keys that the recipe gives, itself or by a preset of the network."""
        preset = PRESETS[self.recipe.model.preset] if self.recipe.model.preset else {}
        return frozenset(self.places) | fixed_settings({"model": preset})

    def place_of(self, key: str) -> str:
        """The place of a key, or of the closest group that the recipe gives; the file if it gives none."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, f"{self.path}:1:1")

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Adds the place to each sentence of an error in it that begins with a key, such as `execution.device`."""
        try:
            yield
        except TsbenchError as error:
            sentences = [self._placed(line) for line in str(error).split("\n")]
            error.args = ("\n".join(sentences), *error.args[1:])
            if isinstance(error, RecipeError):
                error.problems = tuple(sentences)
            raise

    def _placed(self, sentence: str) -> str:
        key = _KEY.match(sentence)
        return f"{self.place_of(key[0])} {sentence}" if key else sentence

    def resolved(self) -> dict[str, Any]:
        """The whole recipe as plain data, defaults included, with the space as it is searched."""
        first = ("name", "datasets", "archive")  # as people write them
        dumped = self.recipe.model_dump(mode="json")
        tree = {key: dumped[key] for key in (*first, *dumped)}
        tree["space"] = {name: describe(entry) for name, entry in self.space.items()}
        for name in self.space:  # a searched setting is not fixed as well, so that the result is a valid recipe
            *groups, leaf = name.split(".")
            del reduce(dict.__getitem__, groups, tree)[leaf]
        return tree


def load_recipe(
    source: str | Path | Mapping[str, Any] | Recipe,
    overrides: Sequence[str] = (),
    baselines: Collection[str] | None = None,
    check_baseline: Callable[[str, Mapping[str, Any]], str | None] | None = None,
    check_datasets: Callable[[Mapping[int, Any], str | None], Iterable[tuple[KeyPath, str]]] | None = None,
    check_stores: Mapping[str, Callable[[str], str | None]] | None = None,
) -> LoadedRecipe:
    """Reads and checks a recipe.

    Args:
        source: the YAML file, or its content as plain data or a `Recipe`, whose problems have no line.
        overrides: `dotted.key=value` texts, the value in YAML, that replace the file's values.
        baselines: the known names of baselines; not checked if it is None.
        check_baseline: returns the problem with a name or import path and parameters, or None.
        check_datasets: given the valid entries of `datasets` by their places, and `archive`, returns what is wrong
            with the data sets that they mean; not checked if it is None.
        check_stores: by dotted names of keys that hold addresses (`tracking.uri`, `search.storage`), what reports what
            is wrong with such an address, or None if nothing is; not checked if it is None.

    Returns:
        The recipe and its search space.

    Raises:
        RecipeError: with every problem found, as `recipe.yaml:12:5 search.trails: unknown key; did you mean ...?`.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        document, tree = _read(path)
        report = Report(path, document)
    else:
        path, tree = UNWRITTEN, _tree_of(source)
        report = Report(None, CommentedMap())
    for text in overrides:
        apply_override(tree, text, report)
    freed = free_overridden(tree, report)
    recipe = _validate(tree, report, {"baselines": baselines, "check_baseline": check_baseline})
    if recipe is not None:
        _check_stores(recipe, check_stores or {}, report)
    if check_datasets is not None and not report.has(("archive",)):
        archive = tree.get("archive")
        problems_of = check_datasets(_data_entries(tree), archive if isinstance(archive, str) else None)
        for place, message in islice(problems_of, MAX_PROBLEMS):
            report.add(_in_tree(place, tree), message)
    raw_space = tree.get("space", _unnamed_space(recipe)) or {}
    space: Space = {}
    if isinstance(raw_space, Mapping) or raw_space == "default":
        space, problems = parse_space(raw_space, fixed_settings(tree))
        for problem in problems[:MAX_PROBLEMS]:
            report.add(("space", *problem.path), problem.message)
    if recipe is not None:
        space = _without_idle(space, recipe, report)
        _check_search(recipe.search, space, report)
    if report.problems or recipe is None:
        raise RecipeError(report.sentences())
    return LoadedRecipe(recipe, space, path, freed, report.places())


def _unnamed_space(recipe: Recipe | None) -> Any:
    """The search space of a recipe without `space`; empty if no network is trained."""
    return {} if recipe is None or not recipe.search.trials else recipe.space


def _tree_of(source: Mapping[str, Any] | Recipe) -> dict[str, Any]:
    """A recipe that is not a file, as plain data; for a `Recipe`, the given values without defaults."""
    if isinstance(source, Recipe):
        dumped = source.model_dump(mode="json", exclude_unset=True)
        # A preset's settings have become the recipe's own and would count as fixed.
        if (preset := source.model.preset) is not None:
            dumped["model"] = _beyond(dumped["model"], PRESETS[preset])
        return dumped
    tree: dict[str, Any] = plain_yaml(plain(source))
    return tree


def _beyond(tree: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a tree that differ from another's."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            value = _beyond(value, below[key])
            if not value:
                continue
        elif key in below and value == below[key]:
            continue
        found[key] = value
    return found


def _check_stores(recipe: Recipe, checks: Mapping[str, Callable[[str], str | None]], report: Report) -> None:
    for name, check in checks.items():
        keys = name.split(".")
        address = reduce(getattr, keys, recipe)
        if isinstance(address, str) and (problem := check(address)) is not None:
            report.add(tuple(keys), problem)


def _without_idle(space: Space, recipe: Recipe, report: Report) -> Space:
    """The space without the entries that the recipe's own values rule out; one that is the recipe's own is a problem.

    The default space is for every recipe, and overrides are intended, so idle entries caused by them are no error.
    """
    values = dict(leaves(recipe.hyperparameters))
    never = never_active(space, recipe.hyperparameters)
    default, _ = parse_space("default", set())
    for name, key in never.items():
        if key not in never and space[name] != default.get(name) and report.override(tuple(key.split("."))) is None:
            message = f"can never hold: {key} is not searched, and is {shown(label(values[key]))}"
            report.add(("space", name, "when", key), message)
    return {name: entry for name, entry in space.items() if name not in never}


def _check_search(search: SearchConfig, space: Space, report: Report) -> None:
    """Checks the search's settings against its space."""
    for number, configuration in enumerate(search.enqueue):
        for name, value in configuration.items():
            path = ("search", "enqueue", number, name)
            if name not in space:
                hint = suggestion(name, space) or "; set it as a fixed value, or name it in space"
                report.add(path, f"is not searched{hint}")
            elif not offers(space[name], value):
                report.add(path, f"the space does not offer {shown(value)}")
    if search.sampler != "grid":
        return
    finite = True
    for name, entry in space.items():
        if entry.when:
            report.add(("space", name, "when"), "a grid has no conditions; use sampler: tpe or random")
        if isinstance(entry, FloatRange) and entry.step is None:
            finite = False
            report.add(("space", name), "a grid needs a finite number of values; add step, or use a choice")
    if finite and (size := grid_size(space)) > MAX_GRID:
        combinations = f"{size} combinations" if size < COUNTED else f"more than {COUNTED:.0e} combinations"
        report.add(
            ("search", "sampler"),
            f"the grid of the space has {combinations}, and may have at most {MAX_GRID}; search fewer settings, "
            "or use sampler: tpe or random",
        )


def _read(path: Path) -> tuple[CommentedMap, dict[str, Any]]:
    """The file as ruamel's tree, which has lines and columns, and as plain data."""
    try:
        if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
            raise RecipeError([f"{path}:1:1 {size} bytes, of which a recipe may have at most {MAX_BYTES}"])
        content = path.read_bytes()
        text = content.decode()
    except FileNotFoundError:
        raise RecipeError([f"{path}: file not found; `tsbench init` writes a recipe to start from"]) from None
    except IsADirectoryError:
        raise RecipeError([f"{path}: is a folder, not a recipe"]) from None
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise RecipeError([f"{path}:{line}:{column} is not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        document = read_yaml(text)
    except NotReadableError as error:
        raise RecipeError([f"{path}:{error.line}:{error.column} {error}"]) from None
    if document is None:
        raise RecipeError([f"{path}: the file is empty; `tsbench init` writes a recipe to start from"])
    if not isinstance(document, CommentedMap):
        kind = "a list" if isinstance(document, list) else "a single value"
        raise RecipeError([f"{path}:1:1 expected `key: value` lines, got {kind}"])
    return document, plain_yaml(document)


def _validate(tree: dict[str, Any], report: Report, context: Mapping[str, Any]) -> Recipe | None:
    try:
        return Recipe.model_validate(tree, context=dict(context))
    except ValidationError as error:
        for problem in error.errors(include_url=False)[:MAX_PROBLEMS]:
            if problem["type"] == "too_short" and problem["input"]:
                continue  # its items are wrong, and pydantic counts only valid ones
            path = _existing(problem["loc"], tree, problem["type"])
            message = sentence(problem, _siblings(path, problem["loc"]))
            key = problem.get("ctx", {}).get("key")  # the setting at fault in a group
            report.add(path if key is None else (*path, key), message)
        return None


def _data_entries(tree: Mapping[str, Any]) -> dict[int, Any]:
    """The valid entries of `datasets` by their places, even if the rest of the recipe is invalid."""
    raw, adapter = tree.get("datasets"), TypeAdapter(DataEntry)
    entries: dict[int, Any] = {}
    for number, value in enumerate(raw if isinstance(raw, list) else [raw]):
        with suppress(ValidationError):
            entries[number] = adapter.validate_python(value)
    return entries


def _in_tree(path: KeyPath, tree: Mapping[str, Any]) -> KeyPath:
    """The path without the index of a single entry, as in `datasets: ucr-112`."""
    alone = path[:1] == ("datasets",) and not isinstance(tree.get("datasets"), list)
    return (path[0], *path[2:]) if alone and len(path) > 1 else path


def _existing(loc: tuple[str | int, ...], tree: Any, kind: str) -> KeyPath:
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


def _siblings(path: KeyPath, loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the schema allows at a path's last part; pydantic's `loc` names a union's member."""
    if path[:1] == ("datasets",) and len(loc) > 2:
        known: dict[str, type[BaseModel]] = {"own": OwnDataConfig, "selection": SelectionConfig}
        entry = known.get(str(loc[2]))
        if entry is not None and loc[3:4] == ("split",) and len(loc) > 4:
            entry = SplitConfig
        return list(entry.model_fields) if entry else []
    model: Any = Recipe
    for part in path[:-1]:
        info = model.model_fields.get(part) if isinstance(part, str) else None
        annotation = info.annotation if info else None
        # A type may be `Group | None`.
        groups = [kind for kind in (annotation, *get_args(annotation)) if is_group(kind)]
        if not groups:
            return []
        model = groups[0]
    return list(model.model_fields)
