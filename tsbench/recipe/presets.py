"""Published forms of the network, by name: `model: {preset: classic}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

__all__ = ["PRESETS", "Preset"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The documents' network: short kernels, two bidirectional LSTM layers, self-attention, both pools of its output.
    "classic": {
        "stem": {"type": "none"},
        "convolution": {"kernels": [3, 5, 7], "channels": 32, "blocks": 1, "dilation": 1},
        "encoder": {
            "type": "lstm",
            "layers": 2,
            "hidden_size": 64,
            "bidirectional": True,
            "stride": 1,
            "gated": False,
        },
        "attention": {"type": "single", "gated": False},
        "pooling": "both",
        "skip": False,
        "features": {"blocks": []},
        "head": {"hidden_sizes": [128], "normalise": "none"},
    },
    # After Ismail Fawaz et al. 2020 (InceptionTime): kernels of 10, 20 and 40, here odd, in six blocks.
    "inception": {
        "stem": {"type": "none"},
        "convolution": {"kernels": [9, 19, 39], "channels": 32, "blocks": 6, "dilation": 1},
        "encoder": {"type": "none"},
        "attention": {"type": "none"},
        "pooling": "average",
        "features": {"blocks": []},
        "head": {"hidden_sizes": [], "normalise": "none"},
        "dropout": 0.0,
    },
    # After Ismail-Fawaz et al. 2023 (LITE): hand-crafted filters, then separable and dilated convolutions.
    "lite": {
        "stem": {"type": "none"},
        "convolution": {
            "kernels": [9, 19, 39],
            "channels": 32,
            "blocks": 3,
            "dilation": 2,
            "separable": True,
            "fixed_filters": True,
        },
        "encoder": {"type": "none"},
        "attention": {"type": "none"},
        "pooling": "average",
        "features": {"blocks": []},
        "head": {"hidden_sizes": [], "normalise": "none"},
        "dropout": 0.0,
    },
    # The documents' second future direction: a Transformer encoder over convolved, position-encoded steps.
    "transformer": {
        "convolution": {"kernels": [3, 5, 7], "channels": 32, "blocks": 1, "dilation": 1},
        "encoder": {"type": "transformer", "layers": 2, "hidden_size": 64, "heads": 4, "max_steps": 256},
        "attention": {"type": "none"},
        "pooling": "both",
        "skip": False,
        "features": {"blocks": []},
        "head": {"hidden_sizes": [128], "normalise": "none"},
    },
}
"""The values of each preset in the tree `model`; all others are the schema's defaults."""

if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[tuple(PRESETS)]
