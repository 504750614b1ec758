"""Results that no classifier gave, for what only looks at results."""

import numpy as np

from tsbench.comparisons.results import Result, Results
from tsbench.comparisons.study_data import StudyData
from tsbench.tracking.split import ARCHIVE

DATASETS = ("ArrowHead", "BME", "Beef", "CBF", "Car", "Chinatown", "Coffee", "ECG200", "FaceFour", "GunPoint")


def made_up(classifiers=("network", "minirocket", "dummy"), datasets=DATASETS, resamples=1, seed=0):
    """Seeded accuracies: each classifier a little worse than the one before."""
    generator = np.random.default_rng(seed)
    rows = [
        Result(
            dataset,
            classifier,
            resample,
            "complete",
            {
                "test_accuracy": float(np.clip(level - 0.02 * place + generator.normal(0, 0.02), 0, 1)),
                "fit_seconds": float(10.0 ** (1 - place) * generator.uniform(0.5, 2)),
            },
            "",
            "run",
            StudyData(ARCHIVE),
        )
        for dataset, level in zip(datasets, generator.uniform(0.7, 0.95, len(datasets)), strict=True)
        for place, classifier in enumerate(classifiers)
        for resample in range(resamples)
    ]
    return Results("made up", tuple(rows))
