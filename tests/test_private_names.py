"""Private names of libraries, which may change with any release, stand in `tsbench/adapters` alone."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [path for path in sorted((ROOT / "tsbench").rglob("*.py")) if path.parent.name != "adapters"]
ADAPTERS = sorted((ROOT / "tsbench" / "adapters").glob("[!_]*.py"))
PUBLIC = {
    *("_exit", "_replace"),  # documented by os and by named tuples
    *("_reconstruct", "_core"),  # in files that NumPy wrote
    *(
        "_TRAIN",
        "_TEST",
        "_TESTFOLDS",
        "_seconds",
        "_accuracy",
        "_se",
        "_metadata",
    ),  # parts of files' and metrics' names
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names() -> set[str]:
    """Every name that tsbench itself gives something."""
    names = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    names.add(name)
    return names


def private_names(path: Path, own: set[str]) -> Iterator[tuple[int, str]]:
    """Names of libraries that begin with an underscore, in strings too, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[str] = []
        match node:
            case ast.Attribute(attr=name):
                found = [name] if name not in own else []
            case ast.Import(names=names):
                found = [part for alias in names for part in alias.name.split(".")]
            case ast.ImportFrom(module=str(module), names=names) if not module.startswith(("tsbench", "__future__")):
                found = [*module.split("."), *(alias.name for alias in names)]
            case ast.Constant(value=str(text)) if text.isascii() and all(map(str.isidentifier, text.split("."))):
                found = [part for part in text.split(".") if part not in own]
        yield from ((node.lineno, name) for name in found if is_private(name) and name not in PUBLIC)


def test_no_private_name_of_a_library_is_used_outside_the_adapters() -> None:
    own = own_names()
    found = [f"{path.relative_to(ROOT)}:{line} {name}" for path in MODULES for line, name in private_names(path, own)]
    assert found == []


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_a_library_whose_private_names_are_used_has_an_upper_bound(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = [name for name in project["dependencies"] if name.startswith(f"{path.stem.partition('_')[0]}>=")]
    assert "<" in bound
    assert list(private_names(path, set())), "without private names, it need not be an adapter"
