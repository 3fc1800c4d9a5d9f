"""The networks of image generation and translation against the original's tables, worked out by hand."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from image_translation import networks as module
from image_translation.config import Config
from image_translation.networks import build_networks, code_sizes, encoding
from shared import latent_codes
from shared.keyed_noise import KeyedGaussianNoise

KEY, OTHER_KEY = tf.constant([1, 2]), tf.constant([1, 3])


@pytest.fixture(scope="module")
def built():
    return build_networks(Config(seed=1))


def random(*shape, seed=0):
    return tf.random.stateless_uniform(shape, [seed, 0])


def layers_of(network, *kinds) -> list[Any]:
    found = [layer for layer in network.layers if isinstance(layer, kinds)]
    if keras.layers.Conv2D in kinds:  # a chain, and so in order
        return found
    return sorted(found, key=lambda layer: (len(layer.name), layer.name))  # as made


IMAGES, CODE = random(4, 28, 28, 1), random(4, 28, seed=1)


# Shapes


def test_networks_fit_together(built):
    noise, logits, continuous = built.encoder(IMAGES, training=False)
    assert (noise.shape, logits.shape, continuous.shape) == ((4, 16), (4, 10), (4, 2))
    assert code_sizes(Config()).total == 28
    images = built.generator(CODE, training=False)
    assert images.shape == (4, 28, 28, 1)
    assert 0 <= float(tf.reduce_min(images)) <= float(tf.reduce_max(images)) <= 1
    assert built.discriminator([IMAGES, CODE, KEY], training=False).shape == (4, 1)


def test_networks_without_continuous_codes_fit_too():
    networks = build_networks(Config(num_z=3, num_continuous=0))
    codes = encoding(networks.encoder(IMAGES, training=True))
    assert (codes.noise.shape, codes.categorical[0].shape, codes.continuous.shape) == ((4, 3), (4, 10), (4, 0))
    code = latent_codes.concatenate(codes)
    assert networks.discriminator([networks.generator(code), code, KEY], training=True).shape == (4, 1)


def test_convolutions_have_the_originals_heights(built):
    def heights(network):
        return [
            layer.output.shape[1] for layer in layers_of(network, keras.layers.Conv2D, keras.layers.Conv2DTranspose)
        ]

    assert heights(built.encoder) == [26, 12, 5]
    assert heights(built.discriminator) == [13, 6]
    assert heights(built.generator) == [14, 14, 28]


def dense(inputs, units):
    return inputs * units + units


def conv(size, inputs, filters):
    return size * size * inputs * filters + filters


def test_parameters_are_as_many_as_the_table_says(built):
    def trainable(network):
        return sum(np.prod(v.shape) for v in network.trainable_variables)

    assert trainable(built.generator) == (
        dense(28, 3136) + conv(4, 64, 128) + conv(4, 128, 64) + conv(4, 64, 1) + 2 * (3136 + 128 + 64)
    )
    assert trainable(built.encoder) == (
        conv(3, 1, 32) + conv(3, 32, 64) + conv(3, 64, 128) + dense(3200, 1024) + 2 * (32 + 64 + 128 + 1024)
    ) + dense(1024, 28)
    image_branch = conv(3, 1, 64) + conv(3, 64, 128) + dense(6 * 6 * 128, 512)
    code_branch = dense(28, 64) + dense(64, 128) + dense(128, 512)
    batch_norms = 2 * (2 * (64 + 128 + 512) + 1024)
    assert trainable(built.discriminator) == image_branch + code_branch + batch_norms + dense(1024, 1024) + dense(
        1024, 1
    )


def test_batch_norm_has_the_originals_settings_behind_every_layer_but_the_last_ones(built):
    for network, number in zip(built, (3, 4, 7)):
        norms = layers_of(network, keras.layers.BatchNormalization)
        assert [(n.momentum, n.epsilon, n.scale, n.center) for n in norms] == [(0.999, 1e-3, True, True)] * number


# First weights


def deviation_over(expected, values):
    """How far from a normal sample of this size the deviation is, in its own standard errors."""
    return abs(np.std(values) / expected - 1) * np.sqrt(2 * values.size)


def test_first_kernels_keep_the_originals_slip_and_follow_the_height_of_a_convolution(built):
    """A port that corrects it to the inputs of a unit trains another model than the published one."""
    by_first_number = {3: 0.8165, 3200: 0.025, 4608: 0.02083, 1024: 0.04419, 128: 0.125}
    kernels = [v.numpy() for network in (built.encoder, built.discriminator) for v in network.variables]
    kernels = [v for v in kernels if v.ndim > 1]
    assert len(kernels) == 3 + 1 + 3 + 2 + 1 + 3 + 2
    for kernel in kernels:
        is_1x1 = kernel.shape in [(28, 64), (64, 128)]
        expected = 1.4142 if is_1x1 else by_first_number[kernel.shape[0]]
        assert deviation_over(expected, kernel) < 5, kernel.shape


def test_generator_starts_with_truncated_normal_kernels_and_every_bias_with_zero(built):
    kernels = [v.numpy() for v in built.generator.variables if v.name == "kernel"]
    assert len(kernels) == 4
    for kernel in kernels:
        assert np.abs(kernel).max() <= 0.04
        assert kernel.std() == pytest.approx(0.02 * 0.8796, rel=0.1)  # what cutting at two deviations leaves
    biases = [v.numpy() for network in built for v in network.variables if v.name == "bias"]
    assert not np.concatenate(biases).any()


def test_no_two_kernels_start_alike_and_the_seed_decides(built):
    def kernels(networks):
        return [
            v.numpy().ravel()[:9].tobytes() for network in networks for v in network.variables if v.name == "kernel"
        ]

    ours = kernels(built)
    assert len(set(ours)) == len(ours)
    assert kernels(build_networks(Config(seed=1))) == ours
    assert not set(kernels(build_networks(Config(seed=2)))) & set(ours)


# Activations


@pytest.mark.parametrize("name, expected", [("elu", np.exp(-2) - 1), ("relu", 0.0), ("lrelu", -0.4)])
def test_activations_are_the_originals(name, expected):
    x = tf.constant([-2.0, 3.0])
    np.testing.assert_allclose(module.activate(x, name), [expected, 3.0], rtol=1e-6)


def test_each_networks_activation_is_set_by_its_own_flag():
    config = Config(g_activation="elu", e_activation="relu", d_activation="lrelu")
    for network, name in zip(build_networks(config), ("Elu", "Relu", "LeakyRelu")):
        between = [type(operation).__name__.lower() for operation in network.operations]
        assert {kind for kind in between if kind.endswith("elu") or kind.endswith("relu")} == {name.lower()}


def test_z_is_bounded_by_tanh_and_continuous_codes_are_not(built):
    units = {layer.units: layer.activation.__name__ for layer in layers_of(built.encoder, keras.layers.Dense)}
    assert units == {1024: "linear", 16: "tanh", 10: "linear", 2: "linear"}
    codes = encoding(built.encoder(IMAGES, training=True))
    np.testing.assert_allclose(tf.reduce_sum(codes.categorical[0], axis=1), np.ones(4), rtol=1e-6)


# Noise


def test_noise_has_the_originals_deviations_and_a_number_of_its_own_in_each_layer(built):
    layers = layers_of(built.discriminator, KeyedGaussianNoise)
    assert sorted(layer.number for layer in layers) == [0, 1, 2, 3, 4, 5, 6]
    after = {layer.number: (layer.deviation, tuple(layer.output.shape[1:])) for layer in layers}
    assert [after[number] for number in range(7)] == [
        (0.3, (13, 13, 64)),
        (0.5, (6, 6, 128)),
        (0.5, (512,)),
        (0.3, (64,)),
        (0.5, (128,)),
        (0.5, (512,)),
        (0.5, (1024,)),
    ]
    for network in (built.generator, built.encoder):
        assert layers_of(network, KeyedGaussianNoise) == []


def test_the_discriminator_is_noisy_in_training_only_and_by_its_key(built):
    def logits(key, training):
        return built.discriminator([IMAGES, CODE, key], training=training).numpy()

    np.testing.assert_array_equal(logits(KEY, False), logits(OTHER_KEY, False))
    np.testing.assert_array_equal(logits(KEY, True), logits(KEY, True))
    assert np.abs(logits(KEY, True) - logits(OTHER_KEY, True)).min() > 1e-3


def test_noise_is_scaled_by_its_flag():
    without, half = module.discriminator(Config(noise=0.0)), module.discriminator(Config(noise=0.5))
    quiet = [without([IMAGES, CODE, key], training=True).numpy() for key in (KEY, OTHER_KEY)]
    np.testing.assert_array_equal(*quiet)
    deviations = {layer.deviation for layer in layers_of(half, KeyedGaussianNoise)}
    assert deviations == {0.15, 0.25}
