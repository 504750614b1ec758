"""Feeds tsbench thousands of bad inputs through its commands, ends real searches by signals, and counts what happens.

`python -m tests.probe` writes docs/robustness.md. `python -m tests.probe recipes` runs one of the parts again, and
keeps the figures of the others. Exit code 1 if a count that must be 0 is not.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tests.conftest  # sets the environment: no cache, archive or store of the user's own
from tests import test_fuzz as fuzz
from tests.bench.test_faults import check_that_all_is_told, running, search
from tests.cli.test_secrets import ADDRESSES as STORES
from tests.cli.test_secrets import SECRET
from tests.data.made import make_cases, write_csv
from tests.processes import finish, wait_for
from tests.test_redaction import ADDRESSES as SHAPES
from tests.test_redaction import SECRET as OTHER_SECRET
from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.cli import app
from tsbench.data.formats import read_long
from tsbench.errors import ModelError
from tsbench.recipe.dotted import hyperparameters_of
from tsbench.recipe.schema import Recipe
from tsbench.tracking.store import Store

DOCS = Path(__file__).parents[1] / "docs"
PAGE, RECORDS = DOCS / "robustness.md", DOCS / "robustness.json"
SECONDS = 5  # that an input may take at most
STOP = 60  # seconds after which an input is given up
MAX_LINE = 3000  # characters of a sentence
PLACE = re.compile(r"(?:[^\s:]+:\d+:\d+|--set) ")
FILE_LEVEL = re.compile(r"[^\s:]+: (?:the file is empty|these are the first)")

ODD_VALUES = (
    *("", " ", ".", "..", "...", "~nosuchuser/x", "\0", "\x1b[31m", "ü.ü", "=1+1", "x" * 10_000, "9" * 5000, "this.s"),
    *("antigravity.fly", "tkinter.Tk", "sklearn.utils.check_array", "cuda:" + "9" * 5000, "http://[::1", "foo://x"),
    *("mysql+pymysql://h/x", "sqlite:///" + "x" * 5000, "invitation.json", "A-resample-1", "9" * 300 + " s", "1e999"),
    *(10**30, -1, 0, 1e308, [], {}, [[[]]], {"a": {"b": []}}, None, True, [None], ["a", "a"], {"name": "x"}),
    *(address.replace(OTHER_SECRET, SECRET) for address in SHAPES),
)


@dataclass
class Row:
    """What became of the inputs of one kind.

    Attributes:
        name: the kind.
        refused: inputs that ended in sentences.
        accepted: inputs that were taken.
        tracebacks: inputs that ended in any other way.
        slow: inputs that took more than SECONDS.
        secrets: outputs that held a password or token.
        unplaced: refused recipes with a sentence without line and column.
        examples: what to look into, a line for each.
    """

    name: str
    refused: int = 0
    accepted: int = 0
    tracebacks: int = 0
    slow: int = 0
    secrets: int = 0
    unplaced: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.refused + self.accepted + self.tracebacks

    @property
    def held(self) -> bool:
        return not (self.tracebacks or self.slow or self.secrets or self.unplaced)

    def note(self, what: str, text: object) -> None:
        self.examples.append(f"{self.name}: {what}: {str(text)[:1500]}")

    @contextmanager
    def timed(self, what: object) -> Iterator[None]:
        """Counts an input that takes too long, and gives it up after STOP."""
        began = time.monotonic()
        signal.alarm(STOP)
        try:
            yield
        finally:
            signal.alarm(0)
            if (seconds := time.monotonic() - began) > SECONDS:
                self.slow += 1
                self.note(f"{seconds:.1f} s", what)

    def command(self, *arguments: str | Path, shown: object = "") -> None:
        """Runs a command, and counts how it ended."""
        with self.timed((arguments, shown)):
            result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        lines = result.output.strip().splitlines()
        if SECRET in result.output:
            self.secrets += 1
            self.note("secret", (arguments, shown, result.output))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            self.tracebacks += 1
            self.note("traceback", (arguments, shown, repr(result.exception)))
        elif result.exit_code == 0:
            self.accepted += 1
        elif not lines or "Traceback" in result.output or max(map(len, lines)) > MAX_LINE:
            self.tracebacks += 1
            self.note("not a sentence", (arguments, shown, result.output))
        else:
            self.refused += 1
            if "validate" in arguments and not all(PLACE.match(line) or FILE_LEVEL.match(line) for line in lines):
                self.unplaced += 1
                self.note("without a place", (arguments, shown, result.output))


def each(count: int, strategy: st.SearchStrategy[Any], probe: Callable[[Any], None]) -> None:
    """Calls `probe` with so many examples of a strategy, the same in each run."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        probe(example)

    run()


def probe_recipes(folder: Path, count: int = 1700) -> list[Row]:
    """Damaged files, random trees, and odd values of each setting, through `tsbench validate`."""
    row, path = Row("recipes"), folder / "recipe.yaml"

    def validate(content: bytes) -> None:
        path.write_bytes(content)
        row.command("validate", path.name, shown=content[:300])

    keys = st.one_of(st.sampled_from(fuzz.KEYS), st.text(max_size=8))
    each(count * 6 // 17, fuzz.changed(fuzz.RECIPE.read_bytes()), validate)
    trees = st.dictionaries(keys, fuzz.TREES, max_size=6)
    each(count * 5 // 17, trees, lambda tree: validate(json.dumps(tree).encode(errors="replace")))
    odd = st.tuples(st.sampled_from(list(_settings(Recipe))), st.sampled_from(ODD_VALUES) | fuzz.SCALARS, st.booleans())
    each(count - row.tried, odd, lambda example: validate(_with_setting(*example)))
    return [row]


def _settings(model: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, info in model.model_fields.items():
        yield (*above, name)
        if hasattr(info.annotation, "model_fields"):
            yield from _settings(info.annotation, (*above, name))


def _with_setting(keys: tuple[str, ...], value: Any, in_list: bool) -> bytes:
    tree: dict[str, Any] = {"name": "probe", "datasets": ["GunPoint"]}
    node = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {})
    node[keys[-1]] = [value] if in_list else value
    return json.dumps(tree).encode(errors="replace")


def probe_data(folder: Path, count: int = 2000) -> list[Row]:
    """Damaged files of each format, through `tsbench datasets check`."""
    row = Row("data files")
    for number, (name, (write, _)) in enumerate(fuzz.FORMATS.items()):
        path = folder / name
        write(path, make_cases(cases=6, channels=1 if name == "x.tsv" else 2, steps=5))
        whole, goal = path.read_bytes(), count * (number + 1) // len(fuzz.FORMATS)

        def check(content: bytes, path: Path = path) -> None:
            path.write_bytes(content)
            row.command("datasets", "check", path, "--case", "id", "--time", "t", "--label", "y", shown=content[:600])

        each(goal - row.tried, fuzz.changed(whole), check)
    return [row]


def _model(folder: Path) -> tuple[NetworkEnsemble, Path, Path]:
    """A small model of a table's cases, the folder that it is saved in, and the table."""
    table = write_csv(folder / "table.csv", make_cases(steps=8))
    ensemble = NetworkEnsemble.fit(read_long(table, fuzz.COLUMNS).collection, hyperparameters_of(fuzz.SETTINGS), [0])
    ensemble.save(folder / "model")
    return ensemble, folder / "model", table


def probe_predictions(folder: Path, count: int = 865) -> list[Row]:
    """What a client may send to a served model, and damaged files for `tsbench predict`."""
    row = Row("prediction inputs")
    ensemble, model, table = _model(folder)

    def serve(example: Any) -> None:
        with row.timed(example):
            try:
                fuzz.predict(ensemble, example)
            except ModelError as error:
                row.refused += 1
                row.secrets += SECRET in str(error)
            except Exception as error:  # any: it is what is counted
                row.tracebacks += 1
                row.note("traceback", (example, repr(error)))
            else:
                row.accepted += 1

    each(count * 5 // 10, fuzz.INPUTS, serve)
    values = st.lists(st.floats() | fuzz.NUMBERS, min_size=16, max_size=16)

    def serve_rows(values: list[Any]) -> None:
        pairs = zip(values[::2], values[1::2], strict=True)
        serve([{"id": "a", "t": step, "x0": first, "x1": second} for step, (first, second) in enumerate(pairs)])

    each(count // 20, values, serve_rows)
    numbers = st.lists(st.floats(-10, 10) | st.integers(-9, 9), min_size=16, max_size=16)
    each(count * 6 // 10 - row.tried, numbers, serve_rows)
    array = folder / "cases.npy"
    np.save(array, np.zeros((3, ensemble.channels, 8)))
    rows = json.dumps([{"id": 1, "t": step, "x0": 0.5, "x1": step / 8} for step in range(8)]).encode()
    for path, whole, share in ((table, table.read_bytes(), 7), (array, array.read_bytes(), 8), (None, rows, 10)):
        place = path or folder / "rows.json"

        def predict(content: bytes, place: Path = place) -> None:
            place.write_bytes(content)
            row.command("predict", model, place, shown=content[:600])

        each(count * share // 10 - row.tried, fuzz.changed(whole), predict)
    return [row]


def probe_models(folder: Path, count: int = 40) -> list[Row]:
    """Damaged files of a saved model, with and without its checksums, through `tsbench predict`."""
    row = Row("saved models")
    ensemble, model, table = _model(folder)
    for number, (name, sealed) in enumerate(
        (name, sealed) for name in ("model.json", "weights-0.pt") for sealed in (1, 0)
    ):
        ensemble.save(model)
        whole = (model / name).read_bytes()
        if not sealed:
            (model / "checksums.json").unlink()

        def predict(content: bytes, file: Path = model / name) -> None:
            file.write_bytes(content)
            row.command("predict", model, table, shown=(file.name, content[:200]))

        each(count * (number + 1) // 4 - row.tried, fuzz.changed(whole), predict)
    return [row]


def probe_addresses(folder: Path, count: int = 25) -> list[Row]:
    """Addresses with credentials, of stores and databases that cannot be reached, in every place that takes one."""
    import mlflow.store.db.utils

    mlflow.store.db.utils.MAX_RETRY_COUNT = 0  # else MLflow tries a closed port for two minutes
    os.environ["TSBENCH_RETRY_TIMEOUT"] = "0.1"
    path = folder / "recipe.yaml"
    shapes = [address.replace(OTHER_SECRET, SECRET).replace("@db", "@127.0.0.1") for address in SHAPES]
    addresses = list(dict.fromkeys([*STORES, *shapes]))[:count]
    row = Row(f"commands given {len(addresses)} addresses with credentials")
    for address in addresses:
        text = f"name: probe\ndatasets: [GunPoint]\ntracking: {{uri: {json.dumps(address)}}}\n"
        path.write_text(text, encoding="utf-8")
        for command in (
            ("validate", path.name),
            ("search", path.name),
            ("search", path.name, "--set", "tracking.uri=sqlite:///mlflow.db", "--set", f"search.storage={address}"),
            ("validate", path.name, "--set", f"tracking.urj={address}"),
            ("compare", "probe", "--tracking-uri", address),
            ("studies", "--tracking-uri", address),
            ("worker", "probe", "--storage", address),
            ("compare", "--metric", address),
            (address,),
        ):
            row.command(*command, shown=address)
    return [row]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


def probe_signals(folder: Path, count: int = 1) -> list[Row]:
    """Real searches that each signal ends in mid-trial, and that the same command completes."""
    os.environ.pop("TSBENCH_RETRY_TIMEOUT", None)
    rows = []
    for number in SIGNALS:
        row = Row(f"searches ended by {number.name}" + (", then rerun" if number is signal.SIGKILL else ""))
        for attempt in range(count):
            recipe = folder / f"{number.name}-{attempt}" / "tiny.yaml"
            recipe.parent.mkdir()
            text = tests.conftest.RECIPE.replace("epochs: 4", "epochs: 30").replace("trials: 4", "trials: 2")
            text = text.replace("ensemble: 2", "ensemble: 1").replace("[dummy]", "[]")
            recipe.write_text(text + f'tracking: {{uri: "sqlite:///{recipe.parent}/mlflow.db"}}\n')
            process = search(recipe)
            wait_for(lambda recipe=recipe: running(recipe), process)
            os.kill(process.pid, number)
            _, output, errors = finish(process, 120)
            if number is not signal.SIGKILL:
                _count_running(row, recipe)
            code, again, more = finish(search(recipe))
            if code == 0 and "Traceback" not in output + errors + again + more:
                row.accepted += 1
                check_that_all_is_told(recipe, 2)
            else:
                row.tracebacks += 1
                row.note(f"exit code {code}", (output, errors, again, more))
            _count_running(row, recipe)
        rows.append(row)
    return rows


def _count_running(row: Row, recipe: Path) -> None:
    left = [run for run in Store(f"sqlite:///{recipe.parent}/mlflow.db").runs("tiny") if run.status == "RUNNING"]
    row.unplaced += len(left)
    if left:
        row.note("RUNNING", left)


PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "recipes": probe_recipes,
    "data": probe_data,
    "predictions": probe_predictions,
    "models": probe_models,
    "addresses": probe_addresses,
    "signals": probe_signals,
}


def main(names: Sequence[str]) -> int:
    """Runs the named parts, or all of them, and writes the page; 1 if a count that must be 0 is not."""
    if unknown := [name for name in names if name not in PARTS]:
        print(f"unknown part: {', '.join(unknown)}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, _give_up)
    held = True
    for name in names or PARTS:
        print(f"probing {name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            rows = PARTS[name](Path(folder))
            os.chdir(PAGE.parent)
        for row in rows:
            print("\n".join([*row.examples, f"{row}"[:200]]), file=sys.stderr, flush=True)
            held = held and row.held
        records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
        records[name] = {
            "minutes": (time.monotonic() - began) / 60,
            "rows": [{**asdict(row), "examples": []} for row in rows],
        }
        RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(_page(records), encoding="utf-8")
    return 0 if held else 1


def _give_up(*_: object) -> None:
    raise TimeoutError(f"it took more than {STOP} s")


def _page(records: dict[str, Any]) -> str:
    found = {name: [Row(**row) for row in records[name]["rows"]] for name in PARTS if name in records}
    minutes = sum(record["minutes"] for record in records.values())
    inputs = [row for name, rows in found.items() if name != "signals" for row in rows]
    searches = found.get("signals", [])
    lines = [
        "# Robustness",
        "",
        "tsbench reads what it is given, or refuses it in a sentence. However a search is ended, no MLflow run stays",
        "RUNNING, and the same command continues it. `python -m tests.probe` measures this and writes this page;",
        f"the run below took {minutes:.0f} minutes. The inputs are made by the strategies of",
        "`tests/test_fuzz.py`, the same in each run. They pass through `tsbench validate`, `datasets check` and",
        "`predict`, and through the code that answers a served model's clients. Addresses with credentials pass",
        "through nine commands and options each.",
        "",
        f"| inputs | tried | refused in a sentence | accepted | tracebacks | over {SECONDS} s | secrets printed |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            _cells(row.name, row.tried, row.refused, row.accepted, row.tracebacks, row.slow, row.secrets)
            for row in inputs
        ),
        "",
        *(
            f"Refused {row.name} whose message lacks line and column: {row.unplaced}.\n"
            for row in found.get("recipes", [])
        ),
        "| real searches | tried | completed by the same command | tracebacks | runs left RUNNING |",
        "|---|---:|---:|---:|---:|",
        *(_cells(row.name, row.tried, row.accepted, row.tracebacks, row.unplaced) for row in searches),
        "",
        "The bar: every search is completed, and every other count after `accepted` or `completed` is 0.",
        "",
    ]
    return "\n".join(lines)


def _cells(*values: object) -> str:
    return f"| {' | '.join(map(str, values))} |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
