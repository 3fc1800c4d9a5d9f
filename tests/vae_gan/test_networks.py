"""The three networks: as the architecture describes them, and the original's settings of their layers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from vae_gan_tiny import CONFIG, architecture

from vae_gan.config import Config
from vae_gan.networks import build_networks


@pytest.fixture(scope="module")
def networks():
    return build_networks(CONFIG)


def of_kind(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_default_networks_have_the_originals_layers():
    networks = build_networks(Config())
    encoder, generator, features, discriminator = networks
    assert [tuple(output.shape) for output in encoder.outputs] == [(None, 100), (None, 100)]
    assert generator.output_shape == (None, 32, 32, 1)
    assert features.output_shape == (None, 4 * 4 * 256)
    assert [tuple(output.shape) for output in discriminator.outputs] == [(None, 1), (None, 4096)]
    assert [layer.filters for layer in of_kind(encoder, layers.Conv2D)] == [64, 128, 256, 512]
    assert [layer.filters for layer in of_kind(generator, layers.Conv2DTranspose)] == [256, 128, 64, 1]
    assert len(of_kind(encoder, layers.BatchNormalization)) == len(of_kind(generator, layers.BatchNormalization)) == 4
    assert len(of_kind(discriminator, layers.BatchNormalization)) == 3, "none on the input layer"
    for network in networks:
        for norm in of_kind(network, layers.BatchNormalization):
            assert (norm.momentum, norm.epsilon, norm.scale, norm.center) == (0.9, 1e-5, True, True)
        for layer in of_kind(network, layers.LeakyReLU):
            assert layer.negative_slope == pytest.approx(0.02)
        for layer in of_kind(network, (layers.Conv2D, layers.Dense)):
            assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
    with_bias = {layer.filters for layer in of_kind(discriminator, layers.Conv2D) if layer.use_bias}
    assert with_bias == {64}, "no bias where batch norm follows"
    assert not any(layer.use_bias for layer in of_kind(encoder, layers.Conv2D))


def test_features_are_the_discriminators_own_layers_up_to_the_feature_layer(networks):
    images = np.random.default_rng(0).uniform(-1, 1, [3, 8, 8, 1]).astype(np.float32)
    _, features = networks.discriminator(images, training=False)
    np.testing.assert_array_equal(networks.features(images, training=False), features)
    assert features.shape == (3, 2 * 2 * 4)
    own = {id(variable) for variable in networks.discriminator.variables}
    shared = [id(variable) for variable in networks.features.variables]
    assert set(shared) < own
    assert len(of_kind(networks.features, layers.Conv2D)) == 2


@pytest.mark.parametrize("layer, shape", [(1, (3, 4 * 4 * 4)), (3, (3, 1 * 1 * 4))])
def test_the_feature_layer_counts_convolutions_from_one(layer, shape):
    text = architecture()
    text = text.replace('"feature_layer": 2', f'"feature_layer": {layer}')
    features = build_networks(Config(architecture=text)).features
    assert features(tf.zeros([3, 8, 8, 1]), training=False).shape == shape


def test_images_of_colour_and_of_unequal_sides_can_be_described():
    text = architecture(channels=3).replace('"hwc": [8, 8, 3]', '"hwc": [8, 16, 3]').replace("[1, 1, 6]", "[1, 2, 6]")
    encoder, generator, _, discriminator = build_networks(Config(architecture=text))
    images = generator(tf.zeros([2, 5]), training=False)
    assert images.shape == (2, 8, 16, 3)
    assert encoder(images, training=False)[0].shape == (2, 5)
    assert discriminator(images, training=False)[0].shape == (2, 1)


def test_a_tanh_on_z_is_what_the_architecture_says(networks):
    squashed = build_networks(dataclasses.replace(CONFIG, architecture=architecture(latent_activation="tanh")))
    z = tf.constant([[0.3, -1.0, 2.0, 0.0, 9.0]])
    expected = networks.generator(tf.tanh(z), training=False)  # of the same seed
    np.testing.assert_allclose(squashed.generator(z, training=False), expected, atol=1e-6)
    assert np.abs(networks.generator(z, training=False) - expected).max() > 1e-4


def test_weights_are_a_function_of_the_seed(networks):
    again, other = build_networks(CONFIG), build_networks(dataclasses.replace(CONFIG, seed=1))
    for ours, same, different in zip(networks, again, other):
        kernels = [i for i, variable in enumerate(ours.variables) if variable.name == "kernel"]
        for i in kernels:
            np.testing.assert_array_equal(ours.variables[i], same.variables[i])
            assert (ours.variables[i].numpy() != different.variables[i].numpy()).any()


def test_penalties_are_half_the_squares_of_the_kernels_times_their_weight(networks):
    for network in (networks.encoder, networks.discriminator):
        kernels = [variable for variable in network.trainable_variables if variable.name == "kernel"]
        expected = 0.01 / 2 * sum(np.sum(np.square(kernel)) for kernel in kernels)
        assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)
    assert len(networks.generator.losses) == 3, "the original penalises its convolutions, not its dense layer"


def test_mixed_precision_gives_float32_outputs():
    networks = build_networks(dataclasses.replace(CONFIG, precision="mixed_bfloat16"))
    images = networks.generator(tf.zeros([2, 5]), training=False)
    outputs = [images, *networks.encoder(images), networks.features(images), *networks.discriminator(images)]
    assert {output.dtype for output in outputs} == {tf.float32}
    assert {variable.dtype for network in networks for variable in network.variables} == {"float32"}
