"""Published weights: what would be broken is that others get the network whose numbers were published."""

import keras
import numpy as np
import pytest

from shared import published_weights
from shared.flags import UserError


def network(seed, name="generator", units=16, outputs=3):
    """All kinds of weights: a convolution's, a matrix, biases, batch norm's; none at its initial value."""
    inputs = keras.Input([4, 4, 2])
    hidden = keras.layers.Conv2D(5, 3, padding="same")(inputs)
    hidden = keras.layers.Flatten()(keras.layers.BatchNormalization()(hidden))
    model = keras.Model(inputs, keras.layers.Dense(outputs)(keras.layers.Dense(units)(hidden)), name=name)
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(generator.normal(0, 0.1, weight.shape) ** 2 + 0.01)
    return model


def values(model):
    return [weight.numpy() for weight in model.weights]


def published(path, *models):
    published_weights.save(path, models)
    return path


@pytest.fixture
def eight_bits_from_100(monkeypatch):
    """So that a small network has both kinds: the second kernel, 80 x 16, and the first, 3 x 3 x 2 x 5, are no less."""
    monkeypatch.setattr(published_weights, "EIGHT_BITS_FROM", 90)


def test_weights_come_back_within_the_precision_of_float16(tmp_path):
    trained, fresh = network(1), network(2)
    published_weights.load(published(tmp_path / "new" / "weights.npz", trained), [fresh])
    for a, b in zip(values(trained), values(fresh)):
        np.testing.assert_allclose(b, a, rtol=2**-11)
        assert b.dtype == np.float32
    with np.load(tmp_path / "new" / "weights.npz") as file:
        assert {file[name].dtype for name in file} == {np.dtype(np.float16)}
        assert len(file.files) == len(trained.weights)


def test_large_kernels_come_back_within_half_a_step_of_their_units_scale(tmp_path, eight_bits_from_100):
    trained, fresh = network(1), network(2)
    kernels = [number for number, weight in enumerate(trained.weights) if np.prod(weight.shape) >= 90]
    large = trained.weights[kernels[1]]
    large.assign(large * np.logspace(-4, 4, 16))  # units of very different sizes, each with a scale of its own
    published_weights.load(published(tmp_path / "weights.npz", trained), [fresh])
    assert len(kernels) == 2
    for number, (a, b) in enumerate(zip(values(trained), values(fresh))):
        if number in kernels:
            largest = np.abs(a).max(axis=tuple(range(a.ndim - 1)))
            assert (np.abs(a - b) <= largest / 127 / 2 * 1.001).all()
            assert not np.array_equal(a, b)
        else:
            np.testing.assert_allclose(b, a, rtol=2**-11)
    with np.load(tmp_path / "weights.npz") as file:
        assert sum(file[name].dtype == np.int8 for name in file) == 2


def test_a_large_kernel_with_a_dead_unit_comes_back(tmp_path, eight_bits_from_100):
    trained, fresh = network(1), network(2)
    (large,) = [weight for weight in trained.weights if weight.shape == (80, 16)]
    dead = large.numpy() * np.where(np.arange(16) == 3, 0, -1)
    large.assign(dead)
    published_weights.load(published(tmp_path / "weights.npz", trained), [fresh])
    back = [weight for weight in fresh.weights if weight.shape == (80, 16)][0].numpy()
    assert (back[:, 3] == 0).all()
    assert (np.delete(back, 3, axis=1) <= 0).all() and back.min() < 0


def test_a_moving_variance_beyond_float16_is_not_published_as_infinity(tmp_path):
    trained, fresh = network(1), network(2)
    (variance,) = [weight for weight in trained.weights if weight.name == "moving_variance"]
    variance.assign([1.0, 2.0, 70_000.0, 1e9, 5.0])
    published_weights.load(published(tmp_path / "weights.npz", trained), [fresh])
    for a, b in zip(values(trained), values(fresh)):
        np.testing.assert_allclose(b, a, rtol=2**-11)


def test_the_published_network_gives_the_outputs_of_the_trained_one(tmp_path):
    trained, fresh = network(1), network(2)
    published_weights.load(published(tmp_path / "weights.npz", trained), [fresh])
    images = np.random.default_rng(0).normal(size=[6, 4, 4, 2]).astype(np.float32)
    expected = trained(images, training=False).numpy()
    np.testing.assert_allclose(fresh(images, training=False), expected, atol=1e-3 * np.abs(expected).max())
    assert not np.allclose(network(2)(images, training=False), expected, atol=1e-2 * np.abs(expected).max())


def test_several_networks_share_a_file_and_their_weights_are_not_mixed_up(tmp_path):
    trained = network(1, "generator"), network(2, "discriminator")
    fresh = network(3, "generator"), network(4, "discriminator")
    published_weights.load(published(tmp_path / "weights.npz", *trained), fresh)
    for one, other in zip(trained, fresh):
        for a, b in zip(values(one), values(other)):
            np.testing.assert_allclose(b, a, rtol=2**-11)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"<!DOCTYPE html><html>Please log in</html>",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    ],
    ids=["empty", "HTML", "cut in half", "cut by a byte", "flipped bit"],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = published(tmp_path / "weights.npz", network(1))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path} is damaged or of other networks: ."):
        published_weights.load(path, [network(2)])


def test_no_flipped_bit_passes_for_other_weights(tmp_path, eight_bits_from_100):
    path = published(tmp_path / "weights.npz", network(1))
    fresh = network(2)
    published_weights.load(path, [fresh])
    data, expected, refused = path.read_bytes(), values(fresh), 0
    for at in range(0, len(data), 29):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        try:
            published_weights.load(path, [fresh])
        except UserError:
            refused += 1
            continue
        for a, b in zip(expected, values(fresh)):  # a flip where a zip file keeps dates and the like
            np.testing.assert_array_equal(a, b)
    assert refused > len(data) / 29 / 2


def test_a_large_kernel_whose_scale_is_gone_is_refused(tmp_path, eight_bits_from_100):
    path = published(tmp_path / "weights.npz", network(1))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file if not name.endswith("|scale")}
    np.savez_compressed(path, **arrays)
    with pytest.raises(UserError, match=f"{path} is damaged or of other networks: .*scale"):
        published_weights.load(path, [network(2)])


@pytest.mark.parametrize("other", [{"name": "encoder"}, {"units": 17}, {"outputs": 4}], ids=str)
def test_weights_of_other_networks_are_refused(tmp_path, other):
    path = published(tmp_path / "weights.npz", network(1))
    with pytest.raises(UserError, match=f"{path} is damaged or of other networks: ."):
        published_weights.load(path, [network(2, **other)])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="weights.npz is damaged or of other networks: .*No such file"):
        published_weights.load(tmp_path / "weights.npz", [network(1)])


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = published(tmp_path / "weights.npz", network(1))
    with np.load(path) as file:
        arrays = {name: np.array([Trap()], object) for name in file}
    np.savez_compressed(path, **arrays)
    with pytest.raises(UserError, match="is damaged or of other networks"):
        published_weights.load(path, [network(2)])
    assert not (tmp_path / "sprung").exists()
