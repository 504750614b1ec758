"""The self-contained HTML report: sortable tables, plots, protocol, versions and data digests."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np

from tsbench import __version__
from tsbench.comparisons.comparison import Comparison
from tsbench.comparisons.formatting import fixed, format_p, signed
from tsbench.comparisons.plots import PICTURES, render
from tsbench.comparisons.report import as_csv, pairs_of
from tsbench.comparisons.versions import Provenance
from tsbench.comparisons.wording import capitalise, cautions, first_split_note, notes, protocol, sentences
from tsbench.recipe.messages import count_of

__all__ = ["as_html"]


def as_html(comparison: Comparison, provenance: Provenance | None = None) -> str:
    """The page; it loads nothing, and without JavaScript everything is shown but not sortable."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = (files("tsbench.comparisons") / "templates" / "report.html").read_text(encoding="utf-8")
    environment.filters |= {"breakable": _breakable, "fixed": fixed, "signed": signed, "count_of": count_of}
    return environment.from_string(template).render(
        title=f"{comparison.results.name}: comparison of {count_of(len(comparison.classifiers), 'classifier')}",
        comparison=comparison,
        protocol=f"{capitalise(protocol(comparison))}.",
        first_split=first_split_note(comparison) if comparison.datasets else "",
        sentences=sentences(comparison),
        notes=cautions(comparison) + notes(comparison)[1:],
        scores=_scores(comparison),
        standings=_standings(comparison),
        pairs=pairs_of(comparison, np.argsort(comparison.statistics.ranks, kind="stable").tolist())
        if comparison.standings
        else [],
        nemenyi=_nemenyi(comparison),
        tests=_tests(comparison),
        pictures=list(_pictures(comparison)),
        missing=comparison.missing(),
        provenance=provenance or Provenance(),
        csv=_data("text/csv", as_csv(comparison).encode()),
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _breakable(name: str) -> Any:
    """A name that a browser may break after a dot, `_`, `@` or hyphen: import paths are longer than columns."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._@\-])", r"\1<wbr>", str(escape(name))))


def _scores(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each data set: its name, whether it is complete, and the cells."""
    table = []
    for dataset, row, complete in zip(comparison.datasets, comparison.scores, comparison.complete, strict=True):
        best = comparison.best(row)
        cells = [
            {"text": "" if np.isnan(value) else fixed(value), "key": "" if np.isnan(value) else repr(float(value))}
            | {"best": bool(value == best)}
            for value in row
        ]
        table.append({"dataset": dataset, "complete": bool(complete), "cells": cells})
    return table


def _standings(comparison: Comparison) -> list[dict[str, Any]]:
    if not comparison.standings:
        return []
    bayesian = dict(zip(comparison.classifiers, comparison.bayesian, strict=True))
    seconds = dict(zip(comparison.classifiers, comparison.fit_seconds, strict=True))
    return [
        {
            "one": standing,
            "published": standing.classifier in comparison.published,
            "seconds": "" if np.isnan(seconds[standing.classifier]) else f"{seconds[standing.classifier]:.3g}",
            "p": format_p(standing.p).removeprefix("= "),
            "significant": standing.p <= comparison.alpha,
            "bayesian": [f"{share:.3f}" for share in bayesian[standing.classifier]],
        }
        for standing in comparison.standings
    ]


def _nemenyi(comparison: Comparison) -> str:
    if not comparison.with_nemenyi or len(comparison.standings) < 2:
        return ""
    from tsbench.comparisons.statistics import critical_difference

    difference = critical_difference(len(comparison.classifiers), comparison.statistics.pairs.count, comparison.alpha)
    return f"Nemenyi's critical difference of average ranks at {comparison.alpha:g}: {difference:.3f}."


def _tests(comparison: Comparison) -> str:
    """Describes the test of all classifiers at once."""
    found = comparison.statistics.friedman
    if found is None:
        return "Friedman's test needs three classifiers and two data sets."
    first, second = found.degrees
    sets = count_of(comparison.statistics.pairs.count, "data set")
    f = "infinite" if np.isinf(found.f) else f"{found.f:.2f}"
    return (
        f"Friedman's test over {sets}: chi-square {found.statistic:.2f} with {first} "
        f"degrees of freedom, p {format_p(found.p)}; Iman and Davenport's F {f} with {first} and {second}, "
        f"p {format_p(found.p_f)}."
    )


def _pictures(comparison: Comparison) -> Iterator[dict[str, str]]:
    for name, picture in PICTURES.items():
        lacks = picture.lacks(comparison)
        found = {"name": name, "title": picture.title, "lacks": lacks}
        if not lacks:
            figure = picture.draw(comparison)
            found |= {form: _data(kind, render(figure, form, dpi=100)) for form, kind in _KINDS.items()}
        yield found


_KINDS = {"svg": "image/svg+xml", "png": "image/png"}


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
