"""Noise inside networks: what would be broken is resuming, or the noise itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared import latent_codes
from shared.keyed_noise import KeyedDropout, KeyedGaussianNoise, key_input

MANY = tf.constant(np.random.default_rng(0).uniform(1, 2, [100, 200]), tf.float32)


def key(seed=0, step=0):
    return latent_codes.key(seed, step)


def dropped(rate=0.25, number=0, at=None, values=MANY):
    return KeyedDropout(rate, number)([values, key() if at is None else at], training=True).numpy()


def added(deviation=0.5, number=0, at=None, values=MANY):
    return KeyedGaussianNoise(deviation, number)([values, key() if at is None else at], training=True).numpy() - values


def test_dropout_drops_the_rate_and_scales_the_rest_so_that_the_mean_stays():
    values = dropped(rate=0.25)
    zero = values == 0
    assert zero.mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / MANY.numpy().size))
    np.testing.assert_allclose(values[~zero], MANY.numpy()[~zero] / 0.75, rtol=1e-6)


def test_noise_is_normal_with_the_deviation():
    noise = added(deviation=0.5).numpy()
    assert noise.mean() == pytest.approx(0, abs=5 * 0.5 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(0.5, rel=5 / np.sqrt(2 * noise.size))
    within_one_deviation = (np.abs(noise) < 0.5).mean()
    assert within_one_deviation == pytest.approx(0.6827, abs=0.02)


LAYERS = [lambda number=0: KeyedDropout(0.5, number), lambda number=0: KeyedGaussianNoise(0.5, number)]


@pytest.mark.parametrize("layer", LAYERS)
def test_equal_keys_give_equal_noise_whatever_was_drawn_before(layer):
    first = layer()([MANY, key(1, 2)], training=True)
    keras.utils.set_random_seed(5)
    layer()([MANY, key(1, 3)], training=True)
    np.testing.assert_array_equal(layer()([MANY, key(1, 2)], training=True), first)


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_seeds_and_layers_each_have_noise_of_their_own(layer):
    drawn = [layer(number)([MANY, at], training=True).numpy().tobytes() for number in (0, 1) for at in (key(0, 0), key(0, 1), key(1, 0))]  # fmt: skip # noqa: E501
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("layer", [*LAYERS, lambda: KeyedDropout(0, 0), lambda: KeyedGaussianNoise(0, 0)])
def test_outside_training_nothing_is_changed(layer):
    np.testing.assert_array_equal(layer()([MANY, key()], training=False), MANY)
    np.testing.assert_array_equal(layer()([MANY, key()]), MANY)


@pytest.mark.parametrize("layer", [KeyedDropout(0, 0), KeyedGaussianNoise(0, 0)])
def test_no_noise_is_none_in_training_too(layer):
    np.testing.assert_array_equal(layer([MANY, key()], training=True), MANY)


def test_a_functional_model_takes_the_key_and_passes_training_on_and_keeps_no_state():
    values, at = keras.Input([200]), key_input()
    hidden = KeyedGaussianNoise(0.1, 0)([KeyedDropout(0.5, 1)([values, at]), at])
    model = keras.Model([values, at], hidden)
    assert model.variables == []

    @tf.function
    def call(at):
        return model([MANY, at], training=True)

    expected = KeyedGaussianNoise(0.1, 0)(
        [KeyedDropout(0.5, 1)([MANY, key(4, 5)], training=True), key(4, 5)], training=True
    )
    np.testing.assert_array_equal(call(key(4, 5)), expected)
    assert (call(key(4, 6)).numpy() != call(key(4, 5)).numpy()).any(), "a traced function must not freeze the noise"
    np.testing.assert_array_equal(model([MANY, key(4, 5)], training=False), MANY)


def test_the_gradient_flows_where_nothing_was_dropped():
    values = tf.Variable(tf.ones([50]))
    with tf.GradientTape() as tape:
        kept = KeyedDropout(0.5, 0)([values, key()], training=True)
    np.testing.assert_array_equal(tape.gradient(kept, values), kept)
