import struct

import numpy as np
import pytest
import torch

from tsbench.classifiers.ensemble import NetworkEnsemble
from tsbench.classifiers.explanation import Explanation, draw, explain
from tsbench.data.collection import Collection
from tsbench.nn.attribution import explain as explain_network
from tsbench.recipe.schema import HyperparameterConfig
from tsbench.training.jobs import Series

LENGTHS = [15, 1, 6, 11, 15]


def cases(channels=2, lengths=LENGTHS, steps=15, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths)
    labels = np.array(["up", "down"])[np.arange(len(lengths)) % 2]
    values = rng.normal(size=(len(lengths), channels, steps)) + (labels == "up")[:, None, None]
    return Collection(values * (np.arange(steps) < lengths[:, None])[:, None], lengths, labels)


def ensemble_of(collection, seeds=(1, 2), **model):
    model = {
        "stem": {"type": "none"},
        "convolution": {"kernels": [3, 5], "channels": 3, "blocks": 1},
        "encoder": {"type": "lstm", "layers": 1, "hidden_size": 4},
        "features": {"blocks": []},
        "attention": {"type": "multi", "heads": 2},
        "head": {"hidden_sizes": [6]},
    } | model
    config = HyperparameterConfig.model_validate(
        {"model": model, "training": {"epochs": 2, "batch_size": 8, "min_steps": 0}}
    )
    return NetworkEnsemble.fit(collection, config, seeds)


def of_members(ensemble, collection):
    series = Series(ensemble.preprocessing.apply(collection), collection.lengths)
    values, lengths = series.tensors(torch.device("cpu"))
    return [explain_network(member, values, lengths) for member in ensemble.members]


STRIDED = {
    "stem": {"type": "average", "stride": 2},
    "encoder": {"type": "lstm", "layers": 1, "hidden_size": 4, "stride": 2},
}


@pytest.mark.parametrize("model", [{}, STRIDED])
def test_n22_attention_is_the_mean_over_asking_steps_heads_and_members_spread_over_time_steps(model):
    collection = cases()
    ensemble = ensemble_of(collection, **model)
    found = explain(ensemble, collection)
    stride = 4 if model else 1
    expected = np.zeros((5, 15))
    for member in of_members(ensemble, collection):
        for case, length in enumerate(LENGTHS):
            steps = -(-length // stride)
            received = member.attention[case, :, :steps].double().numpy().mean(axis=(0, 1))
            for step in range(steps):
                window = slice(step * stride, min((step + 1) * stride, length))
                expected[case, window] += received[step] / (window.stop - window.start) / 2
    np.testing.assert_allclose(found.attention, expected, rtol=0, atol=1e-6)
    for given, member in zip(found.attention_weights, of_members(ensemble, collection), strict=True):
        np.testing.assert_allclose(given, member.attention.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", [{}, STRIDED, {"encoder": {"type": "transformer", "hidden_size": 4, "heads": 2}}])
@pytest.mark.parametrize("lengths", [LENGTHS, [15] * 5])
def test_n22_attention_and_saliency_sum_to_one_over_a_cases_own_steps(model, lengths):
    collection = cases(lengths=lengths)
    found = explain(ensemble_of(collection, **model), collection)
    valid = np.arange(15) < np.array(lengths)[:, None]
    for shares in (found.attention, found.saliency):
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-6)
        assert (shares[~valid] == 0).all()
        assert (shares >= 0).all()
    assert (found.max_positions < np.array(lengths)[:, None]).all()


@pytest.mark.parametrize(("model", "strides"), [({}, (1, 1)), (STRIDED, (4, 2))])
def test_n22_positions_are_the_middle_of_the_steps_that_a_maximum_stands_for(model, strides):
    collection = cases()
    ensemble = ensemble_of(collection, **model)
    expected = []
    for member in of_members(ensemble, collection):
        for maxima, stride in zip((member.maxima, member.skip_maxima), strides, strict=True):
            rows = [
                [
                    -1 if position < 0 else (position * stride + min((position + 1) * stride, length) - 1) // 2
                    for position in case
                ]
                for case, length in zip(maxima.tolist(), LENGTHS, strict=True)
            ]
            expected.append(rows)
    found = explain(ensemble, collection)
    np.testing.assert_array_equal(found.max_positions, np.concatenate(expected, axis=1))


def test_n22_saliency_is_the_share_of_channels_with_their_maximum_at_a_step():
    collection = cases()
    found = explain(ensemble_of(collection), collection)
    for case in range(5):
        named = found.max_positions[case][found.max_positions[case] >= 0]
        expected = np.bincount(named, minlength=15) / len(named)
        np.testing.assert_allclose(found.saliency[case], expected, rtol=0, atol=1e-12)


def test_n22_saliency_of_a_strided_maximum_is_spread_over_its_time_steps():
    collection = cases(lengths=[15, 6])
    found = explain(ensemble_of(collection, skip=False, **STRIDED), collection)
    for case, length in enumerate([15, 6]):
        expected = np.zeros(15)
        for position in found.max_positions[case]:
            window = np.arange(position // 4 * 4, min(position // 4 * 4 + 4, length))
            expected[window] += 1 / len(window) / len(found.max_positions[case])
        np.testing.assert_allclose(found.saliency[case], expected, rtol=0, atol=1e-12)


def test_n22_many_cases_are_explained_as_a_few_are():
    collection = cases(lengths=[15, 6, 9] * 30)
    ensemble = ensemble_of(collection)
    together = explain(ensemble, collection)
    some = np.array([0, 63, 64, 89])
    alone = explain(ensemble, collection.subset(some))
    np.testing.assert_allclose(together.attention[some], alone.attention, rtol=0, atol=1e-6)
    np.testing.assert_allclose(together.saliency.sum(axis=1), 1, rtol=0, atol=1e-9)
    assert together.attention_weights[0].shape == (90, 2, 15, 15)


def test_n22_predictions_are_the_ensembles():
    collection = cases()
    ensemble = ensemble_of(collection)
    found = ensemble.explain(collection)
    assert found.predictions.tolist() == ensemble.predict(collection).tolist()
    np.testing.assert_array_equal(found.probabilities, ensemble.predict_proba(collection).max(axis=1))


def test_n22_what_no_member_has_is_none():
    collection = cases()
    found = explain(ensemble_of(collection, attention={"type": "none"}, pooling="average"), collection)
    assert found.attention is None
    assert found.attention_weights == [None, None]
    assert found.max_positions is None
    assert found.saliency is None


def test_n22_cases_with_other_channels_are_refused():
    with pytest.raises(ValueError, match="the model was trained on 2 channels, these cases have 3"):
        explain(ensemble_of(cases(), seeds=[1]), cases(channels=3))


def size_of_png(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("model", [{}, {"attention": {"type": "none"}}, {"pooling": "average"}])
def test_n22_the_picture_is_a_png_of_a_legible_size(tmp_path, channels, model):
    collection = cases(channels)
    found = explain(ensemble_of(collection, seeds=[1], **model), collection)
    for case in (0, 1):  # the second has one step
        draw(found, collection, case, tmp_path / "picture.png")
        width, height = size_of_png(tmp_path / "picture.png")
        assert 1000 < width < 1500
        assert 400 < height < 1500


def test_n22_the_picture_shows_the_cases_own_steps_and_says_what_was_predicted():
    from matplotlib.figure import Figure

    collection = cases(1)
    found = explain(ensemble_of(collection), collection)
    ax = Figure().add_subplot()
    draw(found, collection, 2, ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), collection.values[2, 0, :6])
    assert ax.get_xlim() == (-0.5, 5.5)
    probability = f"{found.probabilities[2]:.2f}"
    assert ax.get_title(loc="left") == f"case 2: label up, predicted {found.predictions[2]} (probability {probability})"
    shade = ax.collections[0].get_array()
    np.testing.assert_allclose(shade.ravel(), found.attention[2, :6] * 6)


def test_n22_missing_values_are_gaps_in_the_picture(tmp_path):
    values = np.ones((1, 2, 6))
    values[0, 0, 2], values[0, 1] = np.nan, np.nan
    even = np.full((1, 6), 1 / 6)
    found = Explanation(even, [None], None, even, np.array(["up"]), np.array([1.0]))
    draw(found, Collection(values, np.array([6]), np.array([""])), 0, tmp_path / "picture.png")
    assert size_of_png(tmp_path / "picture.png")[0] > 1000


def test_n22_drawing_needs_no_display_and_opens_no_window(tmp_path):
    import matplotlib.pyplot as plt

    collection = cases()
    draw(explain(ensemble_of(collection, seeds=[1]), collection), collection, 0, tmp_path / "picture.png")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("length", [7, 15, 40])
def test_what_resampled_cases_show_is_reported_on_their_own_steps(length, tmp_path):
    collection = cases()
    settings = ensemble_of(collection).hyperparameters
    preprocessing = settings.preprocessing.model_copy(update={"length": length})
    settings = settings.model_copy(update={"preprocessing": preprocessing})
    ensemble = NetworkEnsemble.fit(collection, settings, (1, 2))
    assert ensemble.preprocessing.steps(collection) == length
    found = explain(ensemble, collection)
    for shares in (found.attention, found.saliency):
        assert shares.shape == (5, 15)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        assert not shares[np.arange(15) >= collection.lengths[:, None]].any()
    assert (found.max_positions < collection.lengths[:, None]).all()
    assert found.max_positions.max() == 14 or length == 7
    ensemble.save(tmp_path)
    loaded = NetworkEnsemble.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(collection), ensemble.predict_proba(collection))
