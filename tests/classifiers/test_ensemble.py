import json
import pickletools
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from tsbench.classifiers.ensemble import NetworkEnsemble, encode
from tsbench.data.archive import Archive
from tsbench.data.collection import Collection
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.training.inference import predict_probabilities
from tsbench.training.jobs import Series

HYPERPARAMETERS = {
    "model": {
        "convolution": {"kernels": (3, 5), "channels": 3},
        "encoder": {"layers": 1, "hidden_size": 4},
        "head": {"hidden_sizes": (6,)},
    },
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01},
}


def settings(**changes):
    return HyperparameterConfig.model_validate(HYPERPARAMETERS | changes)


def cases(count=12, channels=2, steps=15, unequal=False, seed=0):
    """Level high for `up`, low for `down`, zero between for `mid`, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.array(["up", "down", "mid"])[np.arange(count) % 3]
    level = np.array([2.0, -2.0, 0.0])[np.arange(count) % 3][:, None, None]
    lengths = rng.integers(5, steps + 1, count) if unequal else np.full(count, steps)
    lengths[0] = steps
    values = (level + rng.normal(size=(count, channels, steps))) * 3 + 7
    return Collection(values * (np.arange(steps) < lengths[:, None])[:, None], lengths, labels)


def state(network):
    return network.state_dict()


def same_bits(first, second):
    return all(torch.equal(first[name], second[name]) for name in first | second)


@pytest.fixture(scope="module")
def fitted():
    return NetworkEnsemble.fit(cases(), settings(), seeds=[1, 2, 3])


def test_labels_are_encoded_by_their_place_among_the_sorted_classes(fitted):
    assert fitted.classes.tolist() == ["down", "mid", "up"]
    assert encode(np.array(["up", "down", "mid", "up"]), fitted.classes).tolist() == [2, 0, 1, 2]


def test_probabilities_are_the_mean_of_the_members(fitted):
    held_out = cases(7, seed=1)
    series = Series(fitted.preprocessing.apply(held_out), held_out.lengths)
    members = [predict_probabilities(member, series).astype(np.float64) for member in fitted.members]
    probabilities = fitted.predict_proba(held_out)
    assert len(members) == 3
    assert not np.allclose(members[0], members[1], atol=1e-3)
    np.testing.assert_allclose(probabilities, sum(members) / 3, rtol=0, atol=1e-12)
    assert probabilities.shape == (7, 3)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)


def test_the_predicted_label_is_the_most_probable(fitted):
    held_out = cases(9, seed=1)
    expected = [fitted.classes[row.argmax()] for row in fitted.predict_proba(held_out)]
    assert fitted.predict(held_out).tolist() == expected


@pytest.mark.parametrize("unequal", [False, True])
def test_fitting_is_deterministic_to_the_bit(unequal):
    first, second, other = (
        NetworkEnsemble.fit(cases(unequal=unequal), settings(), seeds) for seeds in ([1, 2], [1, 2], [1, 3])
    )
    for member, again in zip(first.members, second.members, strict=True):
        assert same_bits(state(member), state(again))
    held_out = cases(5, seed=1, unequal=unequal)
    np.testing.assert_array_equal(first.predict_proba(held_out), second.predict_proba(held_out))
    assert same_bits(state(first.members[0]), state(other.members[0]))
    assert not same_bits(state(first.members[1]), state(other.members[1]))


def test_a_member_is_what_its_seed_gives_alone(fitted):
    alone = NetworkEnsemble.fit(cases(), settings(), seeds=[2])
    assert same_bits(state(fitted.members[1]), state(alone.members[0]))


def test_the_history_of_every_member_is_returned():
    seen = []
    ensemble, jobs = NetworkEnsemble.fit_with_history(cases(), settings(), seeds=[4, 5], on_epoch=seen.append)
    assert seen == [1, 2, 3]
    assert [job.seed for job in jobs] == [4, 5]
    assert [len(job.history) for job in jobs] == [3, 3]
    assert all(job.network is member for job, member in zip(jobs, ensemble.members, strict=True))
    assert not any(member.training for member in ensemble.members)


def test_easy_classes_are_learned():
    easy = settings(training={"epochs": 20, "batch_size": 8, "learning_rate": 0.02})
    ensemble = NetworkEnsemble.fit(cases(24), easy, seeds=[1, 2])
    held_out = cases(30, seed=1)
    assert (ensemble.predict(held_out) == held_out.labels).mean() > 0.9


def test_a_data_set_of_the_archive_is_learned_far_better_than_by_guessing():
    dataset = Archive().load("ItalyPowerDemand")
    longer = settings(training={"epochs": 30, "batch_size": 8, "learning_rate": 0.01})
    ensemble = NetworkEnsemble.fit(dataset.train, longer, seeds=[3, 4])
    assert (ensemble.predict(dataset.test) == dataset.test.labels).mean() > 0.85


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("normalise", ["channel", "case", "none"])
def test_a_saved_ensemble_predicts_the_same_probabilities_once_loaded(tmp_path, normalise, unequal):
    ensemble = NetworkEnsemble.fit(
        cases(unequal=unequal), settings(preprocessing={"normalise": normalise}), seeds=[1, 2]
    )
    ensemble.save(tmp_path / "new" / "folder")
    loaded = NetworkEnsemble.load(tmp_path / "new" / "folder")
    held_out = cases(9, steps=20, unequal=unequal, seed=1)
    np.testing.assert_array_equal(loaded.predict_proba(held_out), ensemble.predict_proba(held_out))
    assert loaded.predict(held_out).tolist() == ensemble.predict(held_out).tolist()
    assert loaded.hyperparameters == ensemble.hyperparameters
    assert (loaded.channels, loaded.length) == (2, 15)
    assert not any(member.training for member in loaded.members)


def test_an_automatic_stride_is_that_of_training_once_loaded(tmp_path):
    quick = settings(training={"epochs": 1})
    ensemble = NetworkEnsemble.fit(cases(6, steps=300), quick, seeds=[1])
    ensemble.save(tmp_path)
    loaded = NetworkEnsemble.load(tmp_path)
    assert ensemble.members[0].stride == loaded.members[0].stride == 10
    short = cases(3, steps=100)
    np.testing.assert_array_equal(loaded.predict_proba(short), ensemble.predict_proba(short))


def test_saving_over_a_larger_ensemble_leaves_the_smaller_one(tmp_path, fitted):
    fitted.save(tmp_path)
    smaller = NetworkEnsemble.fit(cases(), settings(), seeds=[9])
    smaller.save(tmp_path)
    held_out = cases(4, seed=1)
    np.testing.assert_array_equal(
        NetworkEnsemble.load(tmp_path).predict_proba(held_out), smaller.predict_proba(held_out)
    )


def test_files_hold_tensors_and_text_and_no_pickled_code(tmp_path, fitted):
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checksums.json",
        "model.json",
        *(f"weights-{i}.pt" for i in range(3)),
    ]
    assert json.loads((tmp_path / "model.json").read_text())["classes"] == ["down", "mid", "up"]
    for number, member in enumerate(fitted.members):
        file = tmp_path / f"weights-{number}.pt"
        weights = torch.load(file, weights_only=True)
        assert same_bits(weights, state(member))
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            imports = {text for code, text, _ in pickletools.genops(archive.read(pickled)) if code.name == "GLOBAL"}
            codes = {code.name for code, _, _ in pickletools.genops(archive.read(pickled))}
        assert "STACK_GLOBAL" not in codes
        assert imports <= {
            "collections OrderedDict",
            "torch FloatStorage",
            "torch LongStorage",
            "torch._utils _rebuild_tensor_v2",
        }


def test_files_of_a_newer_format_are_refused_with_both_versions(tmp_path, fitted):
    fitted.save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(about | {"format": about["format"] + 1, "tsbench": "99.1"}))
    with pytest.raises(ValueError, match=r"was written by tsbench 99\.1, whose files this version \(\d") as raised:
        NetworkEnsemble.load(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_another_number_of_channels_is_refused(fitted, channels):
    with pytest.raises(ValueError, match=f"trained on 2 channels, these cases have {channels}"):
        fitted.predict_proba(cases(3, channels=channels))


def test_cases_longer_than_those_of_training_are_predicted(fitted):
    probabilities = fitted.predict_proba(cases(6, steps=40, unequal=True, seed=1))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)


def test_padding_the_cases_further_changes_no_prediction(fitted):
    held_out = cases(6, unequal=True, seed=1)
    padded = Collection(np.pad(held_out.values, ((0, 0), (0, 0), (0, 9))), held_out.lengths, held_out.labels)
    np.testing.assert_allclose(fitted.predict_proba(padded), fitted.predict_proba(held_out), rtol=0, atol=1e-6)


def test_seeds_may_be_numpys(fitted):
    same = NetworkEnsemble.fit(cases(), settings(), np.array([1, 2, 3]))
    np.testing.assert_array_equal(same.predict_proba(cases(7, seed=1)), fitted.predict_proba(cases(7, seed=1)))


@pytest.mark.parametrize(
    ("shortest", "longest", "allowed", "trained"),
    [(15, 15, 8, "15 time steps"), (4, 9, 2, "4 to 9 time steps"), (1, 1, 1, "1 time step"), (1, 4, 1, "1 to 4 time")],
)
def test_cases_of_less_than_half_the_shortest_training_case_are_too_short(fitted, shortest, longest, allowed, trained):
    ensemble = replace(fitted, shortest=shortest, longest=longest)
    assert ensemble.shortest_allowed == allowed
    given = cases(3, unequal=True)
    given = replace(given, lengths=np.array([15, allowed, max(1, allowed - 1)]))
    assert ensemble.unfit_lengths(given).tolist() == ([2] if allowed > 1 else [])
    assert f"has 1 time step, which is too short; the model was trained on {trained}" in ensemble.describe_length(1)
    assert ensemble.describe_length(1).endswith(f"takes {allowed} or more")
