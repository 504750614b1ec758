"""Whether a search finds a better configuration than a loop of one's own in the same time: regret on fresh splits.

    TSBENCH_ARCHIVE=folder python -m tests.benchmarks.regret

The peer is Optuna's `study.optimize` around the plain torch loop of `loop.py`; tsbench gets the peer's time, half and
a quarter of it. Both are judged by the accuracy of what they chose on splits of the training cases that neither saw,
trained by tsbench for both sides. Regret is the difference to the best configuration known on that data set. Test cases
are never read.

Time is the CPU time of one process with one thread, from the first trial to the choice: it depends less on what else
the machine does than wall time. tsbench's side is its own queue of trials, its worker's `run_trial` with MLflow and
Optuna's journal on the disk, its `confirm_trial` and its `choose`; the time budget is kept as `TimeBudget` does,
without a refit. Messages between processes are left out. Which trials are run does not depend on the budget, so one run
is cut at each of the three.

Each search and each configuration's accuracy is a line of docs/regret.jsonl, and is not run again while it stands
there. The table in docs/search.md and the picture are written from them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from tests.benchmarks.loop import FOLDS, TRIALS
from tests.benchmarks.loop import search as search_by_loop
from tests.benchmarks.parallel import run_in_processes
from tests.benchmarks.searches import RECIPE, SEARCHED
from tests.benchmarks.studied import confirm, cross_validations, new_study
from tests.benchmarks.table import fill
from tsbench.classifiers.baselines import BASELINES
from tsbench.evaluation.metrics import standard_error
from tsbench.recipe.loading import LoadedRecipe, load_recipe
from tsbench.recipe.space import assign, leaves
from tsbench.studies.confirming import Confirmation, candidates, choose
from tsbench.studies.portfolio import portfolio_of
from tsbench.studies.sampling import STARTUP
from tsbench.studies.specification import fingerprint_of
from tsbench.studies.trial_runner import run_trial
from tsbench.studies.trials import BestTrial, Trials

DOCS = Path(__file__).parents[2] / "docs"
RECORDS, PAGE, PICTURE = DOCS / "regret.jsonl", DOCS / "search.md", DOCS / "images" / "regret.svg"
CAPTION = f"""
![Regret over time of tsbench and of Optuna around a torch loop](images/{PICTURE.name})

The lines are what a search of the full time would choose if it ended then, by its CV scores; tsbench's last step is the
confirmation. The dots are searches with less time, which end with a confirmation of their own if there is time for one.
Bands and bars are one standard error of the mean, which includes the differences between data sets; the table's are of
pairs and smaller.
"""
EPOCHS = {"CBF": 20, "GunPoint": 15, "JapaneseVowels": 6, "Libras": 9, "NATOPS": 9, "Plane": 14}
"""Of a trial, by data set."""

SEEDS = 5
SPLITS = 3  # fresh ones, of FOLDS folds each
FIRST_FRESH = 1000  # seed of the first; the searches have small ones
BUDGETS = {1.0: "the same time", 0.5: "half of it", 0.25: "a quarter"}
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


def settings_of(dataset: str) -> str:
    """A digest of what the searches on a data set and their judgement depend on."""
    loaded = _recipe(dataset, 0)
    search, base = loaded.recipe.search, loaded.recipe.hyperparameters
    parts = [RECIPE, EPOCHS[dataset], TRIALS, FOLDS, SPLITS, search.model_dump(mode="json")]
    return fingerprint_of(parts=parts, portfolio=portfolio_of(loaded.space, base, search), startup=STARTUP)[:12]


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
    """Runs trials for so many seconds, and chooses by those of each budget."""
    loaded = _recipe(dataset, seed, folder)
    wanted = loaded.recipe.search.confirm
    began = time.process_time()
    study = new_study(loaded, dataset, Path(folder))
    ended: list[float] = []
    while not ended or ended[-1] < seconds:
        run_trial(study.folder, study.queue.refill()[0], "cpu")
        ended.append(time.process_time() - began)
    trials = study.trials()
    complete = [trial.state.name == "COMPLETE" for trial in trials[: len(ended)]]
    known: dict[int, tuple[float, Confirmation]] = {}
    records = []
    for budget in BUDGETS:
        count, spent = trials_in_time(ended, complete, budget * seconds, wanted)
        seen = Trials(trials[: max(count, 1)], study.spec)
        confirmed: dict[int, Confirmation] = {}
        for trial in candidates(seen, wanted):
            if spent >= budget * seconds:
                break
            if trial.number not in known:
                known[trial.number] = confirm(study, trial.number)
            took, confirmation = known[trial.number]
            spent += took
            if spent <= budget * seconds:
                confirmed[trial.number] = confirmation
        choice = choose(seen, wanted, confirmed, whatever_is_known=True)
        assert choice is not None, f"no trial of {dataset} in {budget:g} of {seconds:.1f} s"
        last = max(spent if confirmed else budget * seconds, ended[0])
        records.append(
            {
                "side": TSBENCH,
                "budget": budget,
                "trials": count,
                "confirmed": len(confirmed),
                "sentence": choice.sentence,
                "incumbents": _shares([*_incumbents(seen, ended), (last, _configuration(choice.trial))], seconds),
            }
        )
    return records


def _incumbents(trials: Trials, ended: Sequence[float]) -> Incumbents:
    """The best trial so far by its CV score, whenever it is another one."""
    found: Incumbents = []
    for count in range(1, len(trials) + 1):
        best = Trials(trials[:count], trials.spec).best()
        if best is not None and (not found or _configuration(best) != found[-1][1]):
            found.append((ended[count - 1], _configuration(best)))
    return found


def trials_in_time(ended: Sequence[float], complete: Sequence[bool], budget: float, confirm: int) -> tuple[int, float]:
    """How many trials of a search end in its time budget, and when the last one is stopped for the confirmation.

    As in `TimeBudget` with one worker and without a refit: time is kept for scoring the default and `confirm` trials
    again, as much as if each took as long as the longest complete trial; none if that were more than a quarter.

    Args:
        ended: when each trial ended, in seconds, one after another.
        complete: whether each was trained to its end.
        budget: seconds.
        confirm: trials that are scored again, beside the default.
    """
    longest = began = 0.0
    limit, count = budget, 0
    for end, whole in zip(ended, complete, strict=True):
        if end > limit:
            break
        count += 1
        longest = max(longest, end - began) if whole else longest
        began = end
        share = longest * (confirm + 1) if confirm else 0.0
        limit = budget - share if share <= budget / 4 else budget
    return count, max(began, limit)


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
        self.searches: dict[tuple[str, int, str, float], Record] = {}
        self.fresh: dict[tuple[str, str], float] = {}
        splits: dict[str, list[list[float]]] = {}
        for record in records:
            if "fresh" in record:
                accuracy = float(np.mean(record["fresh"]))
                self.fresh[record["dataset"], key_of(record["configuration"])] = accuracy
                splits.setdefault(record["dataset"], []).append(record["fresh"])
            else:
                self.searches[record["dataset"], record["seed"], record["side"], record["budget"]] = record
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
        wanted = [(dataset, seed, PEER, 1.0), *((dataset, seed, TSBENCH, budget) for budget in BUDGETS)]
        found = [self.searches[key] for key in wanted if key in self.searches]
        return len(found) == len(wanted) and all(
            (dataset, key_of(configuration)) in self.fresh
            for record in found
            for _, configuration in record["incumbents"]
        )

    def regrets(self, side: str, budget: float, share: float | None = None) -> NDArray[np.float64]:
        """In points, of each cell; after a share of the peer's time, if it is another than the budget.

        NaN where nothing was chosen yet.
        """
        found = []
        for dataset, seed in self.cells:
            key = chosen(self.searches[dataset, seed, side, budget], budget if share is None else share)
            found.append(np.nan if key is None else 100 * (self.best[dataset] - self.fresh[dataset, key]))
        return np.array(found)

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
        "| tsbench's time | tsbench | peer | ratio | tsbench - peer | tsbench - peer / 2 | confirmed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    peers = results.regrets(PEER, 1.0)

    def row(what: str, ours: NDArray[np.float64], remark: str) -> str:
        mean, by_peer = np.mean(ours), np.mean(peers)
        pairs = [f"{value:+.2f} ± {error:.2f}" for value, error in (mean_and_error(ours - s * peers) for s in (1, 0.5))]
        ratio = f"{mean / by_peer:.2f}" if by_peer else ""
        return f"| {what} | {mean:.2f} | {by_peer:.2f} | {ratio} | {' | '.join(pairs)} | {remark} |"

    for budget, words in BUDGETS.items():
        found = [results.searches[*cell, TSBENCH, budget] for cell in results.cells]
        confirmed = sum(record["confirmed"] > 1 for record in found)
        lines.append(row(words, results.regrets(TSBENCH, budget), f"{confirmed} of {len(found)}"))
    lines.append(row("none: the recipe's own values", results.default_regrets(defaults), ""))
    sets = sorted({dataset for dataset, _ in results.cells})
    seconds = [results.searches[*cell, PEER, 1.0]["seconds"] for cell in results.cells]
    lines += [
        "",
        f"Points of accuracy, means of {len(results.cells)} searches on {len(sets)} data sets ({', '.join(sets)}) with "
        f"standard errors of the differences in pairs; the peer's {TRIALS} trials took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s of one core. The best configuration known was found on the same splits that judge it, "
        f"which makes it {100 * np.mean([results.luck[dataset] for dataset in sets]):.1f} points too good on average: "
        "a search that always chose the truly best one would have about that regret. "
        + " ".join(
            aim(words, results.regrets(TSBENCH, budget) - share * peers)
            for words, budget, share in (
                ("in the same time at most half of the peer's regret", 1.0, 0.5),
                ("in a quarter of the time not more than the peer's", 0.25, 1.0),
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
    for side, label, color in ((PEER, "Optuna around a torch loop", "#b5651d"), (TSBENCH, "tsbench", "#1f5fa8")):
        values = np.array([results.regrets(side, 1.0, share) for share in shares])
        known = ~np.isnan(values).any(axis=1)  # from when every search has chosen something
        mean, error = np.array([mean_and_error(row) for row in values[known]]).T
        ax.step(shares[known], mean, where="post", color=color, label=label)
        ax.fill_between(shares[known], mean - error, mean + error, step="post", color=color, alpha=0.15, linewidth=0)
    means, errors = zip(*(mean_and_error(results.regrets(TSBENCH, budget)) for budget in BUDGETS), strict=True)
    label = "tsbench's choice with this much time"
    ax.errorbar(list(BUDGETS), means, errors, fmt="o", color="#1f5fa8", capsize=3, label=label, clip_on=False)
    ax.set(xlabel="time, as a share of the peer's", ylabel="regret on fresh splits, points", xlim=(0, 1))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
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
        missing = [(*cell, folder) for cell in cells if (*cell, PEER, 1.0) not in known]
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
