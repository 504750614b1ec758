"""Makes the pages that are read from the code, and copies those that are written: `python docs/generate.py FOLDER`.

The recipe reference is made from the JSON schema, the command reference from the Typer app, the API reference from
`tsbench.__all__`, and the map of the rooms from the layers in `pyproject.toml`. So they cannot differ from the code.
"""

from __future__ import annotations

import ast
import html
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

OUTSIDE = {
    "../datasets/README.md": ("sources/catalogue.md", ROOT / "datasets" / "README.md"),
    "../datasets/catalogue.csv": ("sources/catalogue.csv", ROOT / "datasets" / "catalogue.csv"),
    "../tsbench/comparisons/references/README.md": (
        "sources/published.md",
        ROOT / "tsbench" / "comparisons" / "references" / "README.md",
    ),
    "../CONTRIBUTING.md": ("contributing.md", ROOT / "CONTRIBUTING.md"),
    "../CHANGELOG.md": ("changelog.md", ROOT / "CHANGELOG.md"),
}
"""Files of the repository that pages link to, and their place in the site."""


def main(folder: Path) -> None:
    """Writes all pages into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        DOCS, folder, ignore=shutil.ignore_patterns("*.py", "*.json", "*.jsonl", "*.ipynb", "deploy", "__pycache__")
    )
    for place, source in OUTSIDE.values():
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copy(source, folder / place)
    for name, text in (
        ("recipes.md", recipes()),
        ("commands.md", commands()),
        ("api.md", api()),
        ("notebook.md", notebook()),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "images" / "rooms.svg").write_text(draw_rooms(), encoding="utf-8")
    for page in folder.rglob("*.md"):
        text = linked(page.read_text(encoding="utf-8"), depth=len(page.relative_to(folder).parts) - 1)
        if page.name == "architecture.md":
            text = text.replace("## Rooms\n", "## Rooms\n\n![The rooms and what each imports](images/rooms.svg)\n", 1)
        page.write_text(text, encoding="utf-8")


def linked(text: str, depth: int) -> str:
    """A page's text with links to files of the repository turned into links to their places in the site."""
    for target, (place, _) in OUTSIDE.items():
        for link in (f"]({'../' * depth}{target}", f"]({target.removeprefix('../')}"):
            text = text.replace(link, f"]({'../' * depth}{place}")
    # In a file of the root, pages of the documentation are below docs/.
    return re.sub(r"\]\(docs/", f"]({'../' * depth}", text)


def notebook() -> str:
    """The notebook's text and code as a page."""
    cells = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        part if cell["cell_type"] == "markdown" else f"```python\n{part}\n```"
        for cell, part in zip(cells, parts, strict=True)
    )


# The recipe


def recipes() -> str:
    """Every key of a recipe: its meaning, allowed values, and default."""
    from tsbench.recipe.schema import Recipe

    schema = Recipe.model_json_schema()
    lines = [
        "# Recipe reference",
        "",
        "Every key of a recipe, made from its JSON schema (`tsbench schema`). Dotted names are the same in `space`, "
        "with `--set`, in MLflow and in saved models. `tsbench init` writes a recipe with all of them.",
        "",
    ]
    for title, about, rows in _groups(schema, schema, ""):
        if title:
            lines += [f"## `{title}`", ""]
            lines += [f"{about}\n"] * bool(about)
        lines += ["| key | what | values | default |", "| --- | --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def _groups(schema: dict[str, Any], node: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, list[str]]]:
    """Title, first sentence and rows of each table: the node's own keys, then those of each mapping below it."""
    rows, below = [], []
    for key, entry in node.get("properties", {}).items():
        name = f"{prefix}{key}"
        for number, group in enumerate(_mappings(schema, entry)):
            below.append((name if number == 0 else f"{name} (second form)", name, group))
        if "$ref" in entry and below and below[-1][1] == name:
            rows.append(f"| [`{key}`](#{_anchor(name)}) | {_cell(entry.get('description', ''))} | group | |")
            continue
        default = "required" if key in node.get("required", ()) else f"`{_cell(_flow(entry.get('default')))}`"
        what = _cell(entry.get("description", ""))
        rows.append(f"| `{key}` | {what} | {_cell(_values(schema, entry))} | {default} |")
    about = str(node.get("description", "")).split("\n\n")[0] if prefix else ""
    yield prefix.removesuffix("."), _cell(about), rows
    for title, name, group in below:
        (_, about, own), *further = _groups(schema, group, f"{name}.")
        yield title, about, own
        yield from further


def _mappings(schema: dict[str, Any], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappings with keys of their own that a value may be, or be a list of."""
    if "$ref" in entry:
        return _mappings(schema, schema["$defs"][entry["$ref"].rpartition("/")[2]])
    if "properties" in entry:
        return [entry]
    options = [*entry.get("anyOf", ()), *entry.get("oneOf", ()), *([entry["items"]] if "items" in entry else ())]
    return [mapping for option in options for mapping in _mappings(schema, option)]


def _values(schema: dict[str, Any], entry: dict[str, Any]) -> str:
    if "$ref" in entry:
        return _values(schema, schema["$defs"][entry["$ref"].rpartition("/")[2]])
    if "const" in entry:
        return f"`{_flow(entry['const'])}`"
    if "enum" in entry:
        return ", ".join(f"`{_flow(value)}`" for value in entry["enum"])
    for key in ("anyOf", "oneOf"):
        if key in entry:
            return " or ".join(dict.fromkeys(_values(schema, option) for option in entry[key]))
    kind = str(entry.get("type", "any"))
    names = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "mapping"}
    if kind == "array":
        return f"list of: {_values(schema, entry['items'])}" if "items" in entry else "list"
    limits = [
        f"{sign} {_flow(entry[key])}"
        for key, sign in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in entry and abs(entry[key]) < 2**63 - 1
    ]
    return ", ".join([names.get(kind, kind), *limits])


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _anchor(name: str) -> str:
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


# The commands


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    from tsbench.cli import app

    lines = [
        "# Command reference",
        "",
        "Made from the commands themselves; `tsbench COMMAND --help` prints the same. Exit codes: 0 done, 1 a run "
        "failed, 2 the recipe, its data or the arguments are wrong, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 "
        "by a closed terminal.",
        "",
    ]
    for path, command in walk(typer.main.get_command(app), "tsbench"):
        lines += [f"## `{path}`", "", (command.help or "").strip(), ""]
        context = command.context_class(command, info_name=path)
        lines += ["```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", ""]
        rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        if rows:
            lines += ["| option | what |", "| --- | --- |"]
            lines += [f"| `{_cell(option)}` | {html.escape(_cell(what), quote=False)} |" for option, what in rows] + [
                ""
            ]
    return "\n".join(lines)


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command of the app, the app itself first, each with what is typed to run it."""
    yield path, command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            yield from walk(below, f"{path} {name}")


# The API


def api() -> str:
    """What `tsbench` offers to Python, rendered from the docstrings."""
    import tsbench

    lines = ["# Python API", "", "What `import tsbench` offers; the docstrings are those in the code.", ""]
    for name in tsbench.__all__:
        thing = getattr(tsbench, name)
        if callable(thing):
            lines += [f"::: {thing.__module__}.{thing.__qualname__}", ""]
    return "\n".join([*lines, "::: tsbench.testing", ""])


# The map of the rooms


def rooms() -> list[str]:
    """The rooms from the top to the bottom, as the layers in `pyproject.toml` have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.removeprefix("tsbench.") for layer in layers]


def imports(names: list[str]) -> set[tuple[str, str]]:
    """Which room imports from which, wherever in a module the import stands."""
    found = set()
    for name in names:
        for path in [*(ROOT / "tsbench" / name).rglob("*.py"), *(ROOT / "tsbench").glob(f"{name}.py")]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {(name, module.split(".")[1]) for module in modules if module.startswith("tsbench.")}
    return {(source, target) for source, target in found if source != target and target in names}


def draw_rooms() -> str:
    """An SVG picture: a row for each room with what it holds, and a dot below each room that it imports from.

    All dots lie above the diagonal, as a room imports only from those below it.
    """
    names, text = rooms(), (DOCS / "architecture.md").read_text(encoding="utf-8")
    held = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|$", text, re.MULTILINE))
    row, top, left = 30, 92, 760
    width, height = left + row * len(names) + 12, top + row * len(names) + 12
    used = imports(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>The rooms of tsbench, and which imports from which</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, name in enumerate(names):
        y, x = top + row * number, left + row * number
        about = html.escape(_plain(held.get(name, "Errors for users, in one sentence each.")))
        parts += [
            f'<rect x="12" y="{y + 2}" width="{left - 24}" height="{row - 4}" rx="4" fill="#eef2fb" stroke="#3f51b5"/>',
            f'<text x="22" y="{y + 20}" font-weight="600" fill="#1a237e">{name}</text>',
            f'<text x="112" y="{y + 20}" fill="#333333">{about}</text>',
            f'<text transform="translate({x + 19} {top - 6}) rotate(-60)" fill="#1a237e">{name}</text>',
            f'<rect x="{x}" y="{y}" width="{row}" height="{row}" fill="#c5cae9"/>',
            f'<path d="M{left} {y}H{width - 12}M{x} {top}V{height - 12}" stroke="#e0e0e0"/>',
        ]
        for column, other in enumerate(names):
            if (name, other) in used:
                parts.append(
                    f'<circle cx="{left + row * column + row / 2:g}" cy="{y + row / 2:g}" r="5" fill="#3f51b5">'
                    f"<title>{name} imports from {other}</title></circle>"
                )
    return "\n".join([*parts, "</svg>", ""])


def _plain(text: str) -> str:
    return text.replace("`", "").split(". ")[0][:96]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
