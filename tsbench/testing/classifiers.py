"""The contract suite of classifiers; see `tsbench.classifiers.contract`."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tsbench.classifiers.contract import Budget, BudgetSpentError, Classifier, FittedClassifier, OutOfFold
from tsbench.classifiers.saved import load_classifier
from tsbench.data.collection import Collection

__all__ = ["check_classifier"]

SEED = 5
CLOSE = 1e-6  # how far a sum of probabilities may be from 1, as some libraries compute in single precision

ROUNDING = 1e-5
"""By which probabilities may differ in a fresh process.

aeon's ROCKET rounds its single-precision sums differently in the process that compiles it and in processes that load
the compiled code from numba's cache. State that is not saved shows far above that.
"""


def check_classifier(classifier: Classifier, train: Collection, test: Collection, fresh_process: bool = True) -> None:
    """Checks a classifier against the contract, on cases that it does not refuse.

    Args:
        classifier: unfitted.
        train: training cases of two classes or more.
        test: other cases.
        fresh_process: also load the saved classifier in its own process, which takes some seconds.

    Raises:
        AssertionError: a promise is broken; the message names it.
    """
    name = type(classifier).__name__
    refused = classifier.refuses(train, test)
    assert refused is None, f"{name} refuses the cases of the check: {refused}"
    fitted = _check_fit(classifier, train, test)
    probabilities = fitted.predict_proba(test)
    _check_distribution(probabilities, fitted, train, len(test))
    again = classifier.fit(train, SEED).predict_proba(test)
    assert np.array_equal(again, probabilities), "the same seed gives different probabilities"
    if fitted.out_of_fold is not None:
        _check_out_of_fold(fitted.out_of_fold, fitted, train)
    _check_one_class(classifier, train)
    _check_refusals(classifier, train, test)
    _check_budget(classifier, train)
    _check_saved(fitted, test, probabilities, fresh_process)


def _check_fit(classifier: Classifier, train: Collection, test: Collection) -> FittedClassifier:
    """Fits; neither the cases nor what the process shares with its other threads is changed."""
    digests = train.digest(), test.digest()
    shared = _shared_state()
    fitted = classifier.fit(train, SEED)
    fitted.predict_proba(test)
    assert (train.digest(), test.digest()) == digests, "fitting or predicting changes the cases"
    for (what, before), after in zip(shared.items(), _shared_state().values(), strict=True):
        assert np.array_equal(before, after), f"fitting changes {what}"
    return fitted


def _shared_state() -> dict[str, NDArray[np.generic]]:
    # The key changes only once in 624 draws; the position and a kept normal number are the rest of the state.
    _, key, position, has_normal, normal = np.random.get_state()
    return {
        "NumPy's global generator": np.array([*key, position, has_normal, normal]),
        "Python's global generator": np.array(random.getstate()[1]),
        "torch's global generator": torch.get_rng_state().numpy(),
        "torch's number of threads": np.array(torch.get_num_threads()),
    }


def _check_distribution(
    probabilities: NDArray[np.float64], fitted: FittedClassifier, train: Collection, cases: int
) -> None:
    """A row for each case, a column for each class in sorted order, and rows that sum to 1."""
    assert fitted.classes.tolist() == train.classes.tolist(), "the classes are not the sorted labels"
    expected = (cases, len(train.classes))
    assert probabilities.shape == expected, f"the probabilities have shape {probabilities.shape}, not {expected}"
    assert probabilities.dtype == np.float64, f"the probabilities are {probabilities.dtype}, not float64"
    assert (probabilities >= 0).all(), "a probability is negative or NaN"
    assert np.allclose(probabilities.sum(axis=1), 1, rtol=0, atol=CLOSE), "the probabilities of a case do not sum to 1"
    assert (fitted.channels, fitted.longest) == (train.channels, int(train.lengths.max())), (
        "it reports facts of other cases"
    )


def _check_out_of_fold(out_of_fold: OutOfFold, fitted: FittedClassifier, train: Collection) -> None:
    assert out_of_fold.labels.tolist() == train.labels.tolist(), "out of fold, the labels are not the training cases'"
    assert out_of_fold.folds.shape == (len(train),), "out of fold, there is not one fold for each case"
    held_out = out_of_fold.probabilities[out_of_fold.folds >= 0]
    _check_distribution(held_out, fitted, train, len(held_out))
    in_sample = fitted.predict_proba(train)[out_of_fold.folds >= 0]
    assert not np.array_equal(held_out, in_sample), "out of fold, the probabilities are those of the fit on all cases"


def _check_one_class(classifier: Classifier, train: Collection) -> None:
    """A fold of groups may have cases of only one class."""
    alone = train.subset(np.flatnonzero(train.labels == train.labels[0]))
    fitted = classifier.fit(alone, SEED)
    assert fitted.classes.tolist() == [train.labels[0]], "fitted on one class, it has other classes"
    assert np.allclose(fitted.predict_proba(train), 1), "fitted on one class, it is not certain of it"


def _check_refusals(classifier: Classifier, train: Collection, test: Collection) -> None:
    """Cases of unequal lengths and with missing values are refused in a sentence, or predicted."""
    unequal, missing = _shortened(train), _with_gaps(train)
    for what, cases in (("cases of unequal lengths", unequal), ("missing values", missing)):
        reason = classifier.refuses(cases, test)
        if reason is None:
            found = classifier.fit(cases, SEED).predict_proba(cases)
            assert np.isfinite(found).all(), f"{what} are not refused, and give probabilities that are not finite"
        else:
            assert reason.strip(), f"{what} are refused without a reason"


def _shortened(cases: Collection) -> Collection:
    """Every other case without its last step."""
    values, lengths = np.array(cases.values), np.array(cases.lengths)
    lengths[::2] = np.maximum(lengths[::2] - 1, 1)
    for case, length in enumerate(lengths):
        values[case, :, length:] = 0.0
    return Collection(values, lengths, cases.labels, cases.groups, cases.columns)


def _with_gaps(cases: Collection) -> Collection:
    """The first case without its second step."""
    values = np.array(cases.values)
    values[0, :, 1] = np.nan
    return Collection(values, cases.lengths, cases.labels, cases.groups, cases.columns)


def _check_budget(classifier: Classifier, train: Collection) -> None:
    try:
        classifier.fit(train, SEED, Budget(seconds=0))
    except BudgetSpentError:
        return
    raise AssertionError("a fit without any time left does not raise BudgetSpentError")


def _check_saved(
    fitted: FittedClassifier, test: Collection, probabilities: NDArray[np.float64], fresh_process: bool
) -> None:
    """Loaded again, here and in a fresh process, it gives the same bits and facts about its training cases."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        fitted.save(folder)
        loaded = load_classifier(folder)
        assert loaded.facts == fitted.facts, "after loading, it reports facts of other training cases"
        assert loaded.summary() == fitted.summary(), "after loading, its summary differs"
        assert np.array_equal(loaded.predict_proba(test), probabilities), "after loading, the probabilities differ"
        assert np.array_equal(fitted.predict_proba(test), probabilities), "saving changes the probabilities"
        if fresh_process:
            found = _predicted_elsewhere(folder, test)
            difference = float(np.abs(found - probabilities).max())
            assert difference <= ROUNDING, f"in a fresh process, a probability differs by {difference:g}"


def _predicted_elsewhere(folder: Path, cases: Collection) -> NDArray[np.float64]:
    given, answer = folder.parent / "cases.npz", folder.parent / "probabilities.npy"
    np.savez(given, values=cases.values, lengths=cases.lengths, labels=cases.labels)
    program = "import sys; from tsbench.testing.classifiers import _predict; _predict(*sys.argv[1:])"
    command = [sys.executable, "-c", program, str(folder), str(given), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"in a fresh process, it cannot be loaded and used: {done.stderr.strip()[-500:]}"
    found: NDArray[np.float64] = np.load(answer)
    return found


def _predict(folder: str, given: str, answer: str) -> None:
    """Runs in the fresh process."""
    torch.set_num_threads(1)
    with np.load(given) as kept:
        cases = Collection(kept["values"], kept["lengths"], kept["labels"])
    np.save(answer, load_classifier(Path(folder)).predict_proba(cases))
