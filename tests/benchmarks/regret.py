"""Whether a search finds a better configuration than a loop of one's own in the same time: regret on fresh splits.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.regret

The peer is Optuna's `study.optimize` around the plain torch loop of `loop.py`; tsbench gets the peer's time, half and
a quarter of it, with two workers, as on a machine of two cores, and with one. Both are judged by the accuracy of what
they chose on splits of the training cases that neither saw, trained by tsbench for both sides. Regret is the difference
to the best configuration known on that data set. Test cases are never read.

Times are CPU times of one process with one thread, which depend less on what else the machine does than wall time, from
the first trial to the choice. tsbench's side is its own queue of trials, its worker's `run_trial` with MLflow and
Optuna's journal on the disk, its `confirm_trial` and its `choose`; `timetable.py` has when they end with so many
workers, and the time budget is kept as `TimeBudget` does, without a refit. Messages between processes are left out.
Which trials are run does not depend on workers or budget, so one run is cut for each of them.

Each search and each configuration's accuracy is a line of docs/regret.jsonl, and is not run again while it stands
there. The table in docs/search.md and the picture are written from them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState
from ruamel.yaml import YAML

from tests.benchmarks.loop import FOLDS, TRIALS
from tests.benchmarks.loop import search as search_by_loop
from tests.benchmarks.parallel import run_in_processes
from tests.benchmarks.searches import RECIPE, SEARCHED
from tests.benchmarks.studied import CONCURRENCY, confirm, cross_validations, named_settings, new_study
from tests.benchmarks.table import fill
from tests.benchmarks.timetable import candidates_in_time, ends_of, trials_in_time
from tsbench.classifiers.baselines import BASELINES
from tsbench.evaluation.metrics import standard_error
from tsbench.recipe.loading import LoadedRecipe, load_recipe
from tsbench.recipe.space import assign, leaves
from tsbench.studies.confirming import Confirmation, candidates, choose
from tsbench.studies.portfolio import portfolio_of
from tsbench.studies.sampling import STARTUP
from tsbench.studies.specification import StudySpec, fingerprint_of
from tsbench.studies.trial_runner import run_trial
from tsbench.studies.trials import BestTrial, Trials

DOCS = Path(__file__).parents[2] / "docs"
RECORDS, PAGE, PICTURE = DOCS / "regret.jsonl", DOCS / "search.md", DOCS / "images" / "regret.svg"
CAPTION = f"""
![Regret over time of tsbench and of Optuna around a torch loop](images/{PICTURE.name})

The lines are what a search of the full time would choose if it ended then, by its CV scores; tsbench's last step is the
confirmation. The dots are searches of each time, which end with a confirmation of their own if there is time for one.
Bands and bars are one standard error of the mean, which includes the differences between data sets; the table's are of
pairs and smaller.
"""
EPOCHS = {"CBF": 20, "GunPoint": 15, "JapaneseVowels": 6, "Libras": 9, "NATOPS": 9, "Plane": 14}
"""Of a trial, by data set."""

SEEDS = 5
SPLITS = 3  # fresh ones, of FOLDS folds each
FIRST_FRESH = 1000  # seed of the first; the searches have small ones
BUDGETS = {1.0: "the same time", 0.5: "half of it", 0.25: "a quarter"}
WORKERS = {2: "two cores", 1: "one core"}
PEER, TSBENCH = "peer", "tsbench"

Record = dict[str, Any]
Incumbents = list[tuple[float, dict[str, Any]]]
"""After so many seconds, the configuration that would be chosen then."""


def _recipe(dataset: str, seed: int, folder: str = "") -> LoadedRecipe:
    settings = {"dataset": dataset, "epochs": EPOCHS[dataset], "folds": FOLDS, "seed": seed, "pruner": "median"}
    text = RECIPE.format(**settings, trials=1000, folder=folder, workers=1)
    return load_recipe(YAML(typ="safe").load(text), (), BASELINES)


def _configuration(trial: BestTrial) -> dict[str, Any]:
    values = dict(leaves(trial.hyperparameters))
    return {name: values[name] for name in SEARCHED}


@cache
def settings_of(dataset: str) -> str:
    """A digest of what the searches on a data set and their judgement depend on."""
    loaded = _recipe(dataset, 0)
    search, base = loaded.recipe.search, loaded.recipe.hyperparameters
    parts = [RECIPE, TRIALS, FOLDS, SPLITS, named_settings(search), base.model_dump(mode="json")]
    known = {"portfolio": portfolio_of(loaded.space, base, search), "startup": STARTUP, "pooled": StudySpec.pooled}
    return fingerprint_of(parts=parts, **known)[:12]


def measure(dataset: str, seed: int, folder: str) -> Record:
    """Both sides' searches, and the accuracies of all that they would have chosen at any time, as records."""
    searches = _search(dataset, seed, folder)
    known = Results(read()).fresh
    wanted = [(dataset, default_configuration(dataset))]
    wanted += [(dataset, key_of(configuration)) for found in searches for _, configuration in found["incumbents"]]
    return {"records": searches + [evaluate(*pair) for pair in dict.fromkeys(wanted) if pair not in known]}


def _search(dataset: str, seed: int, folder: str) -> list[Record]:
    folder = _warm_up(folder)
    began = time.process_time()
    trials = search_by_loop(dataset, seed, EPOCHS[dataset], threads=1, clock=lambda: time.process_time() - began)
    seconds = time.process_time() - began
    found = {"dataset": dataset, "seed": seed, "settings": settings_of(dataset), "seconds": round(seconds, 2)}
    peer = {"side": PEER, "budget": 1.0, "trials": TRIALS}
    peer["incumbents"] = _shares(best_so_far(trials), seconds)
    return [found | record for record in (peer, *_search_by_tsbench(dataset, seed, seconds, folder))]


@cache
def _warm_up(folder: str) -> str:
    """Has this process import all that either side needs, and open a store of its own, before anything is timed."""
    own, dataset = tempfile.mkdtemp(dir=folder), next(iter(EPOCHS))
    search_by_loop(dataset, 0, epochs=1, threads=1, trials=2)
    _search_by_tsbench(dataset, 0, 1e-3, own)
    return own


def best_so_far(trials: Sequence[tuple[float, float, dict[str, Any]]]) -> Incumbents:
    """What Optuna's `best_trial` was: the first with the best score."""
    best, found = -1.0, []
    for ended, score, configuration in trials:
        if score > best:
            best = score
            found.append((ended, configuration))
    return found


def _shares(incumbents: Incumbents, seconds: float) -> Incumbents:
    return [(round(ended / seconds, 4), configuration) for ended, configuration in incumbents]


def _search_by_tsbench(dataset: str, seed: int, seconds: float, folder: str) -> list[Record]:
    """Runs trials for so many seconds of as many workers as there may be, and chooses by those of each budget."""
    loaded = _recipe(dataset, seed, folder)
    study = new_study(loaded, dataset, Path(folder))
    took: list[float] = []
    while not took or ends_of(took, max(WORKERS), CONCURRENCY)[-1] < seconds:
        began = time.process_time()
        run_trial(study.folder, study.queue.refill()[0], "cpu")
        took.append(time.process_time() - began)
    trials = Trials(study.trials()[: len(took)], study.spec)
    confirm_of = cache(lambda number: confirm(study, number))
    return [
        _choice_in_time(trials, took, workers, budget, seconds, loaded.recipe.search.confirm, confirm_of)
        for workers in WORKERS
        for budget in BUDGETS
    ]


def _choice_in_time(
    trials: Trials,
    took: Sequence[float],
    workers: int,
    budget: float,
    seconds: float,
    wanted: int,
    confirm_of: Callable[[int], tuple[float, Confirmation]],
) -> Record:
    """What a search with so many workers chooses in this share of the peer's seconds."""
    ended = ends_of(took, workers, CONCURRENCY)
    complete = [trial.state is TrialState.COMPLETE for trial in trials]
    numbers, begin = trials_in_time(took, ended, complete, budget * seconds, wanted, workers)
    seen = known_of(trials, numbers or {0})
    again = [trial.number for trial in candidates(seen, wanted)]
    results = {number: confirm_of(number) for number in again} if begin < budget * seconds else {}
    ends = candidates_in_time([spent for spent, _ in results.values()], begin, budget * seconds, workers)
    confirmed = {number: results[number][1] for number, end in zip(results, ends, strict=True) if end is not None}
    choice = choose(seen, wanted, confirmed, whatever_is_known=True)
    assert choice is not None, f"no trial in {budget:g} of {seconds:.1f} s"
    last = max([begin, ended[0], *(end for end in ends if end is not None)])
    is_drawn = (workers, budget) == (max(WORKERS), max(BUDGETS))
    incumbents = _incumbents(trials, ended, numbers) if is_drawn else []
    return {
        "side": TSBENCH,
        "workers": workers,
        "budget": budget,
        "trials": len(numbers),
        "confirmed": len(confirmed),
        "sentence": choice.sentence,
        "incumbents": _shares([*incumbents, (last, _configuration(choice.trial))], seconds),
    }


def known_of(trials: Trials, numbers: Collection[int]) -> Trials:
    """The trials of which only these have ended; the others count as stopped."""

    def stopped(trial: FrozenTrial) -> FrozenTrial:
        other = copy(trial)
        other.state = TrialState.FAIL
        return other

    return Trials([trial if trial.number in numbers else stopped(trial) for trial in trials], trials.spec)


def _incumbents(trials: Trials, ended: Sequence[float], numbers: Collection[int]) -> Incumbents:
    """The best trial so far by its CV score, whenever it is another one."""
    found: Incumbents = []
    order = sorted(numbers, key=ended.__getitem__)
    for count, last in enumerate(order, 1):
        best = known_of(trials, order[:count]).best()
        if best is not None and (not found or _configuration(best) != found[-1][1]):
            found.append((ended[last], _configuration(best)))
    return found


def evaluate(dataset: str, key: str) -> Record:
    """A configuration's CV accuracy on each of the fresh splits, all of them with other initial weights."""
    recipe = _recipe(dataset, 0).recipe
    settings = assign(recipe.hyperparameters, json.loads(key))
    validations = cross_validations(dataset, settings, recipe.search, range(FIRST_FRESH, FIRST_FRESH + SPLITS))
    accuracies = [round(validation.scores["accuracy"], 5) for validation in validations]
    found = {"dataset": dataset, "settings": settings_of(dataset), "configuration": json.loads(key)}
    return found | {"fresh": accuracies}


def key_of(configuration: dict[str, Any]) -> str:
    """One text for each configuration."""
    return json.dumps(configuration, sort_keys=True)


def chosen(record: Record, share: float = 1.0) -> str | None:
    """The configuration that a search would have chosen after this share of the peer's time; None before the first."""
    before = [configuration for ended, configuration in record["incumbents"] if ended <= share]
    # A trial that is under way when time is over is not waited for, but for the very first.
    last = before[-1] if before else record["incumbents"][0][1] if share >= record["budget"] else None
    return None if last is None else key_of(last)


class Results:
    """What was recorded so far, as far as it is complete.

    Args:
        records: lines of the file.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.searches: dict[tuple[str, int, str, int, float], Record] = {}
        self.fresh: dict[tuple[str, str], float] = {}
        splits: dict[str, list[list[float]]] = {}
        for record in records:
            if "fresh" in record:
                accuracy = float(np.mean(record["fresh"]))
                self.fresh[record["dataset"], key_of(record["configuration"])] = accuracy
                splits.setdefault(record["dataset"], []).append(record["fresh"])
            else:
                kind = record["side"], record.get("workers", 1), record["budget"]
                self.searches[record["dataset"], record["seed"], *kind] = record
        cells = {(dataset, seed) for dataset, seed, *_ in self.searches}
        self.cells = sorted(cell for cell in cells if self._is_whole(*cell))
        """Data sets and seeds of which all is known."""
        self.best = {
            dataset: max(accuracy for (other, _), accuracy in self.fresh.items() if other == dataset)
            for dataset in {dataset for dataset, _ in self.fresh}
        }
        """The accuracy of the best configuration known, by data set."""
        self.luck = {dataset: luck_of_the_best(np.array(found)) for dataset, found in splits.items()}
        """By how much that is too high, by data set."""

    def _is_whole(self, dataset: str, seed: int) -> bool:
        kinds = [(PEER, 1, 1.0), *((TSBENCH, workers, budget) for workers in WORKERS for budget in BUDGETS)]
        wanted = [(dataset, seed, *kind) for kind in kinds]
        found = [self.searches[key] for key in wanted if key in self.searches]
        return len(found) == len(wanted) and all(
            (dataset, key_of(configuration)) in self.fresh
            for record in found
            for _, configuration in record["incumbents"]
        )

    def of(self, side: str, workers: int = 1, budget: float = 1.0) -> list[Record]:
        """The searches of one kind, one for each cell."""
        return [self.searches[*cell, side, workers, budget] for cell in self.cells]

    def regrets(
        self, side: str, workers: int = 1, budget: float = 1.0, share: float | None = None
    ) -> NDArray[np.float64]:
        """In points, of each cell; after a share of the peer's time, if it is another than the budget.

        NaN where nothing was chosen yet.
        """
        found = []
        for record in self.of(side, workers, budget):
            dataset, key = record["dataset"], chosen(record, budget if share is None else share)
            found.append(np.nan if key is None else 100 * (self.best[dataset] - self.fresh[dataset, key]))
        return np.array(found)

    def lucks(self) -> NDArray[np.float64]:
        """By how many points the best configuration known is too good, of each cell."""
        return 100 * np.array([self.luck[dataset] for dataset, _ in self.cells])

    def default_regrets(self, defaults: dict[str, str]) -> NDArray[np.float64]:
        """Of the recipe's own values, in points, of each cell."""
        found = [self.best[dataset] - self.fresh[dataset, defaults[dataset]] for dataset, _ in self.cells]
        return 100 * np.array(found)


def luck_of_the_best(accuracies: NDArray[np.float64]) -> float:
    """By how much the highest mean of many configurations exceeds their best one's accuracy, on average.

    The configuration that is best on all splits but one is scored on that one, each split in turn; a search that always
    found the truly best configuration would have about this regret.

    Args:
        accuracies: configurations by splits.
    """
    found = [
        accuracies[np.delete(accuracies, split, axis=1).mean(1).argmax(), split] for split in range(accuracies.shape[1])
    ]
    return float(accuracies.mean(1).max() - np.mean(found))


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and its standard error."""
    return float(values.mean()), standard_error(values)


def table(results: Results, defaults: dict[str, str]) -> str:
    """Mean regrets at each budget, the differences in pairs, and what the recipe's own values give."""
    if len(results.cells) < 2:
        return "Not measured yet.\n"
    lines = [
        "| tsbench's time | regret | without luck | tsbench - peer | tsbench - peer / 2 | trials | confirmed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lucks = results.lucks()
    peers = results.regrets(PEER)

    def row(what: str, regrets: NDArray[np.float64], *remarks: str) -> str:
        means = [f"{np.mean(found):.2f}" for found in (regrets, regrets - lucks)]
        pairs = [
            f"{value:+.2f} ± {error:.2f}"
            for value, error in (mean_and_error(regrets - lucks - share * (peers - lucks)) for share in (1, 0.5))
        ]
        return f"| {' | '.join([what, *means, *pairs, *remarks])} |"

    for workers, cores in WORKERS.items():
        for budget, words in BUDGETS.items():
            found = results.of(TSBENCH, workers, budget)
            count = f"{np.mean([record['trials'] for record in found]):.0f}"
            confirmed = f"{sum(record['confirmed'] > 1 for record in found)} of {len(found)}"
            what = f"{words}, {cores}"
            lines.append(row(what, results.regrets(TSBENCH, workers, budget), count, confirmed))
    lines.append(row("none: the recipe's own values", results.default_regrets(defaults), "", ""))
    lines.append(f"| the peer | {np.mean(peers):.2f} | {np.mean(peers - lucks):.2f} | | | {TRIALS} | |")
    sets = sorted({dataset for dataset, _ in results.cells})
    seconds = [record["seconds"] for record in results.of(PEER)]
    two = max(WORKERS)
    lines += [
        "",
        f"Points of accuracy, means of {len(results.cells)} searches on {len(sets)} data sets ({', '.join(sets)}) with "
        f"standard errors of the differences in pairs; the peer's {TRIALS} trials took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s of one core. The best configuration known was found on the same splits that judge it, "
        f"which makes it {np.mean(lucks):.1f} points too good on average: a search that always chose the truly best "
        "one would have about that regret. *Without luck* it is subtracted, and so it is in the differences. "
        + " ".join(
            aim(words, results.regrets(TSBENCH, two, budget) - lucks - share * (peers - lucks))
            for words, budget, share in (
                ("in the same time on two cores at most half of the peer's regret", 1.0, 0.5),
                ("in a quarter of the time on two cores not more than the peer's", 0.25, 1.0),
            )
        ),
    ]
    return "\n".join(lines) + "\n"


def aim(words: str, excess: NDArray[np.float64]) -> str:
    """A sentence on whether an aim was reached, by what the regret of each cell exceeds it."""
    mean, error = mean_and_error(excess)
    verdict = "missed" if mean > 0 else "reached"
    beyond = "" if abs(mean) > 2 * error else ", which is within two standard errors of it"
    return f"The aim, {words}, was {verdict} by {abs(mean):.2f} ± {error:.2f} points{beyond}."


def draw(results: Results, path: Path) -> None:
    """Mean regret over time of both sides, with bands of one standard error, and the choices of shorter searches."""
    from tsbench.drawing import new_figure

    shares = np.linspace(0, 1, 201)
    figure = new_figure(7, 4)
    ax = figure.add_subplot()
    two = max(WORKERS)
    for side, workers, label, color in (
        (PEER, 1, "Optuna around a torch loop, one core", "#b5651d"),
        (TSBENCH, two, f"tsbench, {WORKERS[two]}", "#1f5fa8"),
    ):
        values = np.array([results.regrets(side, workers, 1.0, share) for share in shares])
        known = ~np.isnan(values).any(axis=1)  # from when every search has chosen something
        mean, error = np.array([mean_and_error(row) for row in values[known]]).T
        ax.step(shares[known], mean, where="post", color=color, label=label)
        ax.fill_between(shares[known], mean - error, mean + error, step="post", color=color, alpha=0.15, linewidth=0)
    for workers, marker, face in ((two, "o", "#1f5fa8"), (1, "s", "white")):
        found = (mean_and_error(results.regrets(TSBENCH, workers, budget)) for budget in BUDGETS)
        means, errors = zip(*found, strict=True)
        at = [budget + (0.006 if workers == 1 else 0) for budget in BUDGETS]  # side by side
        style = {"fmt": marker, "color": "#1f5fa8", "mfc": face, "capsize": 3, "clip_on": False}
        ax.errorbar(at, means, errors, label=f"tsbench's choice with this much time, {WORKERS[workers]}", **style)
    luck = float(np.mean(results.lucks()))
    ax.axhline(luck, color="#888888", linewidth=0.8, linestyle=":", label="a search that always finds the best")
    ax.set(xlabel="time, as a share of the peer's", ylabel="regret on fresh splits, points", xlim=(0, 1))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def default_configuration(dataset: str) -> str:
    """The recipe's own values."""
    values = dict(leaves(_recipe(dataset, 0).recipe.hyperparameters))
    return key_of({name: values[name] for name in SEARCHED})


def read() -> list[Record]:
    """The lines of the file that are of today's settings."""
    lines = map(json.loads, RECORDS.read_text().splitlines() if RECORDS.exists() else ())
    current = {dataset: settings_of(dataset) for dataset in EPOCHS}
    return [line for line in lines if line["settings"] == current.get(line["dataset"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    known = Results(read()).searches
    cells = [(dataset, seed) for seed in range(given.seeds) for dataset in EPOCHS]
    with tempfile.TemporaryDirectory() as folder:
        missing = [(*cell, folder) for cell in cells if (*cell, PEER, 1, 1.0) not in known]
        for result in run_in_processes(measure, missing, given.processes):
            with RECORDS.open("a") as file:
                file.writelines(json.dumps(record) + "\n" for record in result["records"])
            _write(Results(read()))
    _write(Results(read()))


def _write(results: Results) -> None:
    found = table(results, {dataset: default_configuration(dataset) for dataset in EPOCHS})
    if len(results.cells) > 1:
        draw(results, PICTURE)
        found += CAPTION
    fill(PAGE, "regret", found)
    print(found)


if __name__ == "__main__":
    main()
