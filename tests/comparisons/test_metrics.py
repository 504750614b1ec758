"""Comparisons by another metric than accuracy: tables, ranks and statistics, and numbers that round to zero."""

import json

import numpy as np
import pytest

from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.formatting import fixed, signed
from tsbench.comparisons.page import as_html
from tsbench.comparisons.plots import PICTURES, render
from tsbench.comparisons.report import FORMATS
from tsbench.comparisons.results import Result, Results
from tsbench.comparisons.wording import sentences
from tsbench.recipe.messages import count_of


def results(metric, rows, resamples=1):
    return Results(
        "few",
        tuple(
            Result(dataset, name, resample, "complete", {f"test_{metric}": value, "fit_seconds": 1.0}, "", "run")
            for dataset, name, value in rows
            for resample in range(resamples)
        ),
    )


@pytest.fixture(scope="module")
def losses():
    """Ten data sets, on each of which the network's log loss is less than the other's by 0.1."""
    rows = [(f"D{n}", name, 0.2 + n / 50 + 0.1 * k) for n in range(10) for k, name in enumerate(("network", "dummy"))]
    return Comparison(results("log_loss", rows, resamples=3), metric="log_loss", with_nemenyi=True)


def test_less_log_loss_is_better_in_ranks_wins_tests_and_sentences(losses):
    np.testing.assert_array_equal(losses.statistics.ranks, [1, 2])
    assert losses.statistics.wins_against(losses.control_column) == [None, (0, 0, 10)]
    assert losses.standings[0].classifier == "network"
    assert losses.standings[1].difference == pytest.approx(0.1)
    assert losses.bayesian[1].argmax() == 0  # worse
    (sentence,) = sentences(losses)
    assert sentence.startswith("network is better than dummy on 10 of 10 data sets (ties: 0), by 0.1000 in log loss on")
    assert losses.lead_over("dummy").advantage == pytest.approx(0.1)
    assert losses.best(np.array([0.3, 0.2, np.nan])) == 0.2
    negated = Comparison(
        results(
            "accuracy", [(row.dataset, row.classifier, 1 - row.metrics["test_log_loss"]) for row in losses.results.rows]
        )
    )
    np.testing.assert_allclose(losses.statistics.pairs.p_holm, negated.statistics.pairs.p_holm)


def test_every_output_names_the_metric(losses):
    tree = json.loads(FORMATS["json"](losses))
    assert tree["metric"] == "log_loss"
    assert tree["log_loss"]["D0"]["network"] == pytest.approx(0.2)
    assert tree["statistics"]["mean_log_loss"]["network"] == pytest.approx(0.29)
    assert "mean log loss" in FORMATS["markdown"](losses)
    assert "\\textbf{0.2000} & 0.3000" in FORMATS["latex"](losses)
    page = as_html(losses)
    assert "Mean log loss over 3 resamples of each data set." in page
    assert "accuracy" not in page.replace("accuracy_against_time", "")  # a file's name
    for picture in PICTURES.values():
        figure = picture.draw(losses)
        assert render(figure, "png")
        assert not any(
            "accuracy" in text.get_text() for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label)
        )


def test_a_metric_that_was_not_defined_is_missing_for_that_reason():
    rows = [Result("A", "network", 0, "complete", {"test_accuracy": 1.0}, "", "run")]
    comparison = Comparison(Results("few", tuple(rows)), metric="roc_auc")
    assert comparison.missing()[0]["reason"] == "complete, but without a test ROC AUC"


def test_what_rounds_to_zero_has_no_sign_anywhere():
    rows = [
        (f"D{n}", name, 0.5 + (-1) ** n * k * 1e-9) for n in range(6) for k, name in enumerate(("network", "dummy"))
    ]
    rows += [("perfect", "network", -0.0), ("perfect", "dummy", -0.0)]
    for metric in ("accuracy", "log_loss"):
        comparison = Comparison(results(metric, rows), metric=metric)
        outputs = [form(comparison) for form in FORMATS.values()] + [as_html(comparison)]
        assert not any("-0.0000" in text or "+0.0000" in text or ": -0.0," in text for text in outputs)
        assert not any("-0.0000" in sentence for sentence in sentences(comparison))


def test_numbers_and_counts_are_written_by_one_rule():
    assert [fixed(value) for value in (-0.00004, -0.0, 0.00004, -0.00006)] == ["0.0000", "0.0000", "0.0000", "-0.0001"]
    assert [signed(value) for value in (-0.00004, 0.0, 0.00006)] == ["0.0000", "0.0000", "+0.0001"]
    assert [count_of(n, "data set") for n in (0, 1, 2)] == ["0 data sets", "1 data set", "2 data sets"]
