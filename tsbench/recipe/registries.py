"""Registries that recipes name things from, each name beside where its code stands.

They stand here, free of torch, so that a recipe is checked without importing what it names.
"""

from __future__ import annotations

__all__ = ["AUTO_PRESETS", "COLLECTIONS", "FEATURES"]

FEATURES = {
    "minirocket": "tsbench.nn.features.minirocket:MiniRocket",
    "spectrum": "tsbench.nn.features.spectrum:Spectrum",
    "statistics": "tsbench.nn.features.statistics:Statistics",
}
"""Feature blocks (row N21): a new one is a file in `tsbench/nn/features` and a line here."""

COLLECTIONS: dict[str, dict[str, str | bool]] = {
    "ucr": {"archive": "ucr"},
    "ucr-128": {"archive": "ucr"},
    "ucr-112": {"archive": "ucr", "regular": True},
    "ucr-85": {"archive": "ucr", "ucr_2015": True},
    "uea": {"archive": "uea"},
    "uea-30": {"archive": "uea"},
    "uea-26": {"archive": "uea", "regular": True},
}
"""Collections of data sets, as the literature counts them; regular ones have equal lengths and no missing values."""

_QUICK = ("quant", "minirocket", "multirocket-hydra", "rdst")

AUTO_PRESETS: dict[str, tuple[str, ...]] = {
    "quick": _QUICK,
    "good": (*_QUICK, "network"),
    "best": (*_QUICK, "network", "rist", "weasel2", "drcif", "rocket"),
}
"""Members of `auto` by preset, in the order in which they are tried; see docs/auto.md."""
