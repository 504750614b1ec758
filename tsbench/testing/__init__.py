"""Checks of the contracts that every block, encoder, scheduler, augmentation and classifier keeps.

Each is a plain function that raises AssertionError with the broken contract. A new feature block is checked by

    from tsbench.testing import check_feature_block, check_onnx

    check_feature_block("my_package.my_module.MyBlock")

and exported by `check_onnx`, which needs the extra `onnx`. A classifier of sktime or aeon is checked by

    from tsbench.classifiers.baselines import find_baseline
    from tsbench.testing import check_classifier

    check_classifier(find_baseline("my_package.MyClassifier"), dataset.train, dataset.test)
"""

from tsbench.testing.blocks import (
    check_attention,
    check_convolution,
    check_encoder,
    check_feature_block,
    check_network,
    check_stem,
)
from tsbench.testing.classifiers import check_classifier
from tsbench.testing.exporting import check_onnx
from tsbench.testing.learning import check_augmentation, check_scheduler

__all__ = [
    "check_attention",
    "check_augmentation",
    "check_classifier",
    "check_convolution",
    "check_encoder",
    "check_feature_block",
    "check_network",
    "check_onnx",
    "check_scheduler",
    "check_stem",
]
