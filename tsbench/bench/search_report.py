"""Writes a search's page in MLflow: the parent run's description, tables and plots.

The search's part is written when the search has ended, while the final network is trained; the rest at the end.
"""

from __future__ import annotations

import csv
import io
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tsbench.bench.payloads import Records
from tsbench.evaluation import prediction_plots
from tsbench.evaluation.metrics import error_name, format_score
from tsbench.recipe.space import label, leaves
from tsbench.recipe.writing import to_yaml
from tsbench.spreadsheet import as_cell
from tsbench.studies.specification import is_held_out
from tsbench.studies.study import Study
from tsbench.studies.study_plots import draw_study
from tsbench.studies.trials import BestTrial
from tsbench.tracking import names
from tsbench.tracking.store import RunRecord, Store

__all__ = ["write_report", "write_search_report"]

COLUMNS = {
    "cross-validated {metric}": "cv_{metric}",
    "its standard error": "cv_{metric}_se",
    "test accuracy": "test_accuracy",
    "test balanced accuracy": "test_balanced_accuracy",
    "test log loss": "test_log_loss",
    "fit seconds": "fit_seconds",
}
"""The leaderboard's columns, and the metrics in them."""

FILES = {
    "leaderboard.csv": "every classifier with its scores",
    "best_configuration.yaml": "the settings of the chosen trial, in the form of a recipe",
    "recipe.yaml": "the recipe with every value that was used",
    "pareto_front.csv": "the Pareto front: trials that no other trial surpasses in all metrics, with their settings",
    "accuracy.png": "test accuracy of the network and the baselines",
    "optimisation_history.png": "score by trial",
    "hyperparameter_importances.png": "importance of each setting for the score",
    "parallel_coordinates.png": "settings and score of every complete trial",
    "learning_curves.png": "the chosen trial's folds by epoch",
    "confusion_matrix.png": "true and predicted labels of the test cases",
    "reliability_diagram.png": "calibration of the predicted probabilities",
    "misclassified_cases.png": "the most confident errors, with the time steps behind them",
    "versions.json": "packages and machine",
}
"""The parent run's artifacts, each with its description."""


def write_search_report(records: Records, folder: Path) -> None:
    """Adds the best configuration and the search's plots to a cell's parent run.

    Args:
        records: of the cell's runs.
        folder: of its study.
    """
    store, study = Store(records.uri), Study.open(folder)
    trials = study.trials()
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        draw_study(study, target)
        if front := study.pareto_front():
            (target / "pareto_front.csv").write_text(_csv(_front(study, front)), encoding="utf-8")
            tagged = {trials.run_of(trial.number) for trial in front}
            was = {names.STUDY: study.spec.identity, names.PARETO: "true"}
            for run in list(store.runs_in(study.spec.experiment, names.where(was))):
                if run.run_id not in tagged:  # a later trial surpasses it
                    store.log(run.run_id, tags={names.PARETO: "false"})
            for run_id in sorted(tagged):
                store.log(run_id, tags={names.PARETO: "true"})
        best = trials.chosen(study.notes.chosen)
        if best is not None:
            settings = best.hyperparameters.model_dump(mode="json")
            (target / "best_configuration.yaml").write_text(to_yaml(settings), encoding="utf-8")
            title = f"trial {best.number}, chosen of {len(trials)}"
            curves = trials.fold_curves(best.number)
            if curves:
                folds = [prediction_plots.FoldCurves(*fold) for fold in curves]
                drawn = prediction_plots.learning_curves(folds, study.spec.search.metric, title)
                drawn.savefig(target / "learning_curves.png")
        store.artifacts.add(records.parent, target)


def write_report(records: Records, folder: Path) -> None:
    """Adds the leaderboard, the plot of accuracies and a description to a cell's parent run.

    Args:
        records: of the cell's runs.
        folder: of its study.
    """
    store, study = Store(records.uri), Study.open(folder)
    classifiers = _scored(store, records)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        rows = _with_preprocessing(_leaderboard(classifiers, study.spec.search.metric), classifiers)
        leaderboard = _csv(rows)
        (target / "leaderboard.csv").write_text(leaderboard, encoding="utf-8")
        test = {_title(run): run.metrics.get(names.test("accuracy")) for run in classifiers}
        drawn = {name: value for name, value in test.items() if value is not None}
        if drawn:
            key = names.cv("accuracy")
            cv = {
                _title(run): (run.metrics[key], run.metrics.get(error_name(key), 0.0))
                for run in classifiers
                if key in run.metrics
            }
            prediction_plots.accuracies(cv, drawn, names.NETWORK).savefig(target / "accuracy.png")
        store.artifacts.add(records.parent, target)
    files = store.artifacts.names(records.parent)
    store.log(records.parent, tags={names.DESCRIPTION: _description(records, study, classifiers, files)})


def _scored(store: Store, records: Records) -> list[RunRecord]:
    """The newest complete run of each classifier of the cell, the most accurate on the test cases first.

    A classifier that was skipped later, because preprocessing was switched off, is left out.
    """
    tags = {names.STUDY: records.tags[names.STUDY]}
    newest: dict[str, RunRecord] = {}
    for run in store.runs_in(records.experiment, names.where(tags, unlike={names.ROLE: "trial"})):
        match run.tags.get(names.STATE):
            case "complete":
                newest[run.tags[names.CLASSIFIER]] = run
            case "skipped":
                newest.pop(run.tags[names.CLASSIFIER], None)
    return sorted(newest.values(), key=lambda run: -run.metrics.get(names.test("accuracy"), -1.0))


def _leaderboard(classifiers: Sequence[RunRecord], metric: str) -> list[list[str]]:
    rows = [["classifier", *(title.format(metric=metric.replace("_", " ")) for title in COLUMNS)]]
    for run in classifiers:
        values = [run.metrics.get(name.format(metric=metric)) for name in COLUMNS.values()]
        scores = ["" if value is None else f"{value:.4f}" for value in values]
        rows.append([run.tags[names.CLASSIFIER], *scores])
    return rows


def _with_preprocessing(rows: list[list[str]], classifiers: Sequence[RunRecord]) -> list[list[str]]:
    """The leaderboard with a last column on preprocessing; empty if the cases were used unchanged."""
    column = ["preprocessing", *(run.tags.get(names.PREPROCESSING, "") for run in classifiers)]
    return [[*row, text] for row, text in zip(rows, column, strict=True)]


def _preprocessing_notes(classifiers: Sequence[RunRecord]) -> list[str]:
    """Markdown items on the classifiers that could not take the cases as they are."""
    return [
        f"- {run.tags[names.CLASSIFIER]} was given preprocessed cases: {run.tags[names.PREPROCESSING]}"
        for run in classifiers
        if names.PREPROCESSING in run.tags
    ]


def _title(run: RunRecord) -> str:
    """A classifier's name in a plot, which has no footnotes."""
    return run.tags[names.CLASSIFIER] + (" (preprocessed cases)" if names.PREPROCESSING in run.tags else "")


def _front(study: Study, front: Sequence[BestTrial]) -> list[list[str]]:
    known = front[0].scores
    scores = [[names.cv(metric), error_name(names.cv(metric))] for metric in study.spec.metrics]
    metrics = [name for pair in scores for name in pair if name in known]
    rows = [["trial", *metrics, *study.spec.space]]
    for trial in front:
        settings = dict(leaves(trial.hyperparameters))
        rows.append(
            [
                str(trial.number),
                *(str(trial.scores.get(metric, "")) for metric in metrics),
                *(str(label(settings[name])) for name in study.spec.space),
            ]
        )
    return rows


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([as_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    header, *others = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *others)]


def _description(records: Records, study: Study, classifiers: Sequence[RunRecord], files: Sequence[str]) -> str:
    """Markdown for MLflow's overview of the run."""
    spec, trials = study.spec, study.trials()
    counts, best = trials.counts(), trials.chosen(study.notes.chosen)
    metric = spec.search.metric.replace("_", " ")
    title = names.title(records.tags)
    ended = f"{counts['complete']} trials completed, {counts['pruned']} pruned, {counts['fail']} failed"
    if len(trials):
        is_one = is_held_out(study.training, spec.search, spec.seed)
        by = f"{metric} on a held-out part" if is_one else f"cross-validated {metric} on {spec.search.folds} folds"
        search = f"tsbench searched a network for **{title}** (recipe `{spec.recipe}`) by {by} of the training cases"
        lines = [f"{search}: {ended}."]
    else:
        lines = [f"tsbench fitted classifiers to **{title}** (recipe `{spec.recipe}`)."]
    lines.append("")
    if remark := study.notes.remark:
        default = trials.default()
        scored = [number for number, found in study.notes.confirmed.items() if found.scores]
        compared = (
            " The best trials and the default were scored again on other folds to choose between them."
            if default is not None and default.number in scored and len(scored) > 1
            else ""
        )
        lines += [f"{remark[:1].upper()}{remark[1:]}.{compared}", ""]
    if best is not None:
        error = best.scores.get(error_name(names.cv(spec.search.metric)))
        score = "" if math.isnan(best.value) else f", with {metric} {format_score(best.value, error)}"
        origin = " of the portfolio" if trials.origin_of(best.number) == "portfolio" else ""
        lines += [f"Trial {best.number}{origin} was refitted{score}:", ""]
        chosen = trials[best.number].params
        lines += [f"- `{name}`: {value}" for name, value in sorted(chosen.items())] or ["- nothing was searched"]
        lines += [""]
    if classifiers:
        lines += [
            "The test cases were scored once by each classifier:",
            "",
            *_markdown(_leaderboard(classifiers, spec.search.metric)),
            "",
        ]
    if notes := _preprocessing_notes(classifiers):
        lines += [*notes, ""]
    lines += ["Among the artifacts:", "", *(f"- `{file}`: {what}" for file, what in FILES.items() if file in files)]
    lines += ["", f"All runs of this recipe: `tags.\"{names.RECIPE}\" = '{spec.recipe}'`."]
    return "\n".join(lines)
