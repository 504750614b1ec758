"""Registries that recipes name things from, each name beside where its code stands.

They stand here, free of torch, so that a recipe is checked without importing what it names.
"""

from __future__ import annotations

__all__ = ["FEATURES"]

FEATURES = {
    "minirocket": "tsbench.nn.features.minirocket:MiniRocket",
    "spectrum": "tsbench.nn.features.spectrum:Spectrum",
    "statistics": "tsbench.nn.features.statistics:Statistics",
}
"""Feature blocks (row N21): a new one is a file in `tsbench/nn/features` and a line here."""
