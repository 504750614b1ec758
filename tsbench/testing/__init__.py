"""Contracts that every registered block, encoder, scheduler and augmentation keeps, for new ones to be held against.

Each is a plain function that raises AssertionError and says what was broken. A new feature block is checked by

    from tsbench.recipe.names import FEATURES
    from tsbench.testing import check_feature_block, check_onnx

    FEATURES["mine"] = "my_package.my_module:MyBlock"
    check_feature_block("mine")

and exported by `check_onnx`, which alone needs the extra `onnx`.
"""

from tsbench.testing.blocks import (
    check_attention,
    check_convolution,
    check_encoder,
    check_feature_block,
    check_network,
    check_stem,
)
from tsbench.testing.exporting import check_onnx
from tsbench.testing.learning import check_augmentation, check_scheduler

__all__ = [
    "check_attention",
    "check_augmentation",
    "check_convolution",
    "check_encoder",
    "check_feature_block",
    "check_network",
    "check_onnx",
    "check_scheduler",
    "check_stem",
]
