"""The documentation: pages made from the code hold all of it, and pages that are written name only what there is."""

import importlib.util
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from ruamel.yaml import YAML

from tsbench.bench.plan import check_reach
from tsbench.classifiers.baselines import BASELINES
from tsbench.cli import app
from tsbench.recipe.loading import load_recipe
from tsbench.recipe.schema import Recipe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])

specification = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
generate = importlib.util.module_from_spec(specification)
specification.loader.exec_module(generate)

WRITTEN = re.compile(r"<!-- ([\w ]+) -->(.*?)<!-- end of \1 -->", re.DOTALL)  # by a benchmark, see `fill`

COMMANDS = dict(generate.walk(typer.main.get_command(app), "tsbench"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "docs"
    generate.main(folder)
    return folder


def blocks(page, *languages):
    return [text for language, text in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page(site):
    def entries(node):
        if isinstance(node, str):
            yield node
        else:
            for below in node.values() if isinstance(node, dict) else node:
                yield from entries(below)

    named = list(entries(YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]))
    assert sorted(named) == sorted(path.relative_to(site).as_posix() for path in site.rglob("*.md"))


def test_every_link_between_pages_leads_to_a_file(site):
    for page in site.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_link_to_a_heading_leads_to_one(site):
    def anchors(page):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        headings = [
            re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in re.findall(r"^#+ (.+)$", text, re.M)
        ]
        return {re.sub(r"\s+", "-", heading) for heading in headings}

    checked = 0
    for page in site.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([^)#\s:]*\.md)?#([^)\s]+)\)", text):
            known = anchors(page.parent / target if target else page)
            assert anchor in known, f"{page.name}: {target}#{anchor}"
            checked += 1
    assert checked > 5


def test_the_recipe_reference_has_every_key(site):
    text = (site / "recipes.md").read_text(encoding="utf-8")
    schema = Recipe.model_json_schema()
    groups = [schema, *schema["$defs"].values()]
    keys = {key for group in groups for key in group.get("properties", {})}
    assert {"learning_rate", "test_size", "time_limit", "max_cases"} <= keys
    written = set(re.findall(r"^\| \[?`(\w+)`", text, re.MULTILINE))
    assert keys - written <= {"classifier", "parameters"}  # a baseline is written in one line
    assert (
        "| `dropout` | probability that a unit is dropped while training | number, at least 0, below 1 | `0.1` |"
        in text
    )


def test_the_command_reference_has_every_command_with_its_options(site):
    text = (site / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^## `(.*)`$", text, re.MULTILINE) == list(COMMANDS)
    assert "| `--margin <float range>` | Difference that --fail-if-worse-than tolerates." in text


def test_every_argument_has_a_help_text_and_its_usage_marks_once(site):
    text = (site / "commands.md").read_text(encoding="utf-8")
    assert "tsbench compare [OPTIONS] [NAME or RECIPE]...\n" in text
    assert "tsbench datasets check [OPTIONS] {FILE or NAME} [TEST FILE]\n" in text
    assert not [line for line in text.splitlines() if "[[" in line or "......" in line]
    assert not [
        f"{path} {parameter.name}"
        for path, command in COMMANDS.items()
        for parameter in command.params
        if not (parameter.help or parameter.hidden)
    ]


def test_the_map_of_the_rooms_has_all_of_them_and_imports_downward_only():
    rooms = generate.rooms()
    assert rooms[0] == "cli"
    assert rooms[-1] == "errors"
    used = generate.imports(rooms)
    assert ("comparisons", "tracking") in used
    assert all(rooms.index(source) < rooms.index(target) for source, target in used)
    picture = generate.draw_rooms()
    assert picture.count("<circle") == len(used)
    assert all(f">{room}</text>" in picture for room in rooms)


def commands_in(page):
    """Each command line of tsbench in a page's shell blocks, as words."""
    for text in blocks(page, "sh", "bash", "text"):
        for line in re.sub(r"\\\n", " ", text).splitlines():
            for command in re.split(r"&&|\||;", line.partition("#")[0]):
                try:
                    words = shlex.split(command)
                except ValueError:
                    continue
                if words[:1] in (["tsbench"], ["$"]) and "tsbench" in words:
                    yield words[words.index("tsbench") + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_exists_with_its_options(page):
    for words in commands_in(page):
        path = "tsbench"
        for word in words:
            if f"{path} {word}" not in COMMANDS:
                break
            path = f"{path} {word}"
        known = {
            option for parameter in COMMANDS[path].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help"}, f"tsbench {' '.join(words)}"
        assert path != "tsbench" or not words or words[0].startswith("-"), f"tsbench {' '.join(words)}"


RECIPES = [
    pytest.param(text, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "yaml"))
    if re.match(r"name: ", text)
]


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_of_a_page_is_valid(text, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    recipe = load_recipe(path, []).recipe
    if recipe.execution.launcher != "local":
        check_reach(recipe)


def test_what_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tsbench|tests|docs)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for name, path in re.findall(r"`([A-Z_]{4,})` in\s+`([\w/.]+\.py)`", text):
        found = next(place / path for place in (ROOT, ROOT / "tsbench" / "studies") if (place / path).exists())
        assert re.search(rf"^{name}\b", found.read_text(encoding="utf-8"), re.MULTILINE), f"{name} in {path}"
    for session in re.findall(r"`nox -s (\w+)`", text):
        assert re.search(rf"^def {session}\(", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE), session
    for code in blocks(ROOT / "CONTRIBUTING.md", "python"):
        exec(code, {})


def test_the_table_of_baselines_has_each_of_them():
    text = (DOCS / "comparing.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| `([\w.]+)` \|", text, re.MULTILINE))
    assert rows == {name: baseline.path for name, baseline in BASELINES.items()}


def test_the_picture_of_the_network_is_that_of_the_defaults():
    place = importlib.util.spec_from_file_location("draw_network", DOCS / "draw_network.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    kept = (DOCS / "images" / "network.svg").read_text(encoding="utf-8")
    assert kept == module.draw(), "run `python docs/draw_network.py docs/images/network.svg`"
    ElementTree.fromstring(kept)


def test_what_benchmarks_write_into_a_page_is_there():
    parts = [(page.name, *found) for page in PAGES for found in WRITTEN.findall(page.read_text(encoding="utf-8"))]
    assert {"regret", "choice"} <= {name for _, name, _ in parts}
    assert [(page, name) for page, name, text in parts if "|" not in text] == []
