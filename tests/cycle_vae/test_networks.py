"""The cycle-consistent VAE's networks against the originals' tables, worked out by hand."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cycle_vae.config import PRESETS, Config
from cycle_vae.networks import build_networks
from shared.flags import UserError
from shared.fused_layers import InstanceNormalization

TINY = Config(filters=(4, 6), style_dim=5, class_dim=3)  # images of 12 x 12


@pytest.fixture(scope="module")
def built():
    return {name: build_networks(config) for name, config in PRESETS.items()}


def random(*shape, seed=0):
    return tf.random.stateless_uniform(shape, [seed, 0])


def heights(network):
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    layers: list[Any] = [layer for layer in network.layers if isinstance(layer, kinds)]
    return [layer.output.shape[1] for layer in layers]


@pytest.mark.parametrize("name, down, up", [
    ("sprites", [29, 14, 6, 2], [6, 14, 30, 60]),
    ("mnist", [13, 6, 2], [6, 14, 28]),
])  # fmt: skip
def test_convolutions_have_the_originals_heights_and_codes_their_lengths(built, name, down, up):
    config, (encoder, decoder) = PRESETS[name], built[name]
    assert (heights(encoder), heights(decoder)) == (down, up)
    assert config.image_size == up[-1]
    images = random(2, config.image_size, config.image_size, config.num_channels)
    mean, log_variance, s = encoder(images)
    assert (mean.shape, log_variance.shape, s.shape) == ((2, config.style_dim),) * 2 + ((2, config.class_dim),)
    assert decoder([mean, s]).shape == images.shape


def test_parameters_are_as_many_as_the_tables_say(built):
    def dense(inputs, units):
        return (inputs + 1) * units

    def conv(size, inputs, filters):
        return (size * size * inputs + 1) * filters

    encoder, decoder = built["sprites"]
    trunk = conv(5, 3, 16) + conv(5, 16, 32) + conv(5, 32, 64) + conv(5, 64, 128)
    assert encoder.count_params() == trunk + 2 * dense(512, 512) + dense(512, 64)
    up = conv(4, 256, 64) + conv(4, 64, 32) + conv(4, 32, 16) + conv(4, 16, 3)
    assert decoder.count_params() == dense(512, 512) + dense(64, 512) + up
    encoder, decoder = built["mnist"]
    assert encoder.count_params() == conv(5, 1, 16) + conv(5, 16, 32) + conv(5, 32, 64) + 3 * dense(256, 16)
    assert decoder.count_params() == 2 * dense(16, 256) + conv(4, 128, 32) + conv(4, 32, 16) + conv(4, 16, 1)


def test_digits_stay_in_0_to_1_and_sprites_are_not_squashed(built):
    z, s = 100 * random(4, 16) - 50, 100 * random(4, 16, seed=1) - 50
    digits = built["mnist"].decoder([z, s])
    assert 0 <= float(tf.reduce_min(digits)) <= float(tf.reduce_max(digits)) <= 1
    frames = built["sprites"].decoder([100 * random(4, 512) - 50, random(4, 64)])
    assert float(tf.reduce_min(frames)) < 0


# Norms


def test_instance_norm_uses_an_images_own_statistics_in_training_and_in_evaluation_alike():
    encoder, _ = build_networks(TINY)
    images = random(4, 12, 12, 3)
    together, alone = encoder(images, training=False), encoder(images[:1], training=False)
    for a, b, in_training in zip(together, alone, encoder(images, training=True)):
        np.testing.assert_allclose(a[:1], b, atol=1e-5)
        np.testing.assert_array_equal(a, in_training)
    assert encoder.non_trainable_variables == []
    # 3 convolutions' worth of weights would be 4 a layer with gamma and beta.
    assert len(encoder.trainable_variables) == 2 * (2 + 3)


def test_instance_norm_forgets_an_images_brightness_and_contrast():
    encoder, _ = build_networks(TINY)
    first = next(layer for layer in encoder.layers if isinstance(layer, InstanceNormalization))
    x = random(2, 5, 5, 4)
    normed = first(x).numpy()
    np.testing.assert_allclose(normed.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normed.std(axis=(1, 2)), np.sqrt(1 / (1 + 1e-5 / x.numpy().var(axis=(1, 2)))), rtol=1e-4)
    np.testing.assert_allclose(first(x * 3 + 7), normed, atol=2e-3)


def test_batch_norm_has_weights_and_moves_its_statistics_in_training_only():
    encoder, decoder = build_networks(Config(**{**vars(TINY), "norm": "batch"}))
    norms = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [(n.momentum, n.epsilon, n.scale, n.center) for n in norms] == [(0.9, 1e-5, True, True)] * 2
    gammas = np.concatenate([norm.gamma.numpy() for norm in norms])
    assert 0.9 < gammas.min() < gammas.max() < 1.1 and gammas.std() > 0
    before = [v.numpy() for v in encoder.non_trainable_variables]
    encoder(random(4, 12, 12, 3), training=False)
    for variable, value in zip(encoder.non_trainable_variables, before):
        np.testing.assert_array_equal(variable, value)
    encoder(random(4, 12, 12, 3), training=True)
    assert all((v.numpy() != value).any() for v, value in zip(encoder.non_trainable_variables, before))
    assert decoder([random(2, 5), random(2, 3)]).shape == (2, 12, 12, 3)


# First weights


def test_kernels_start_normal_but_transposed_ones_uniform_as_pytorch_draws_them(built):
    encoder, decoder = built["sprites"]
    for layer in encoder.layers + decoder.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            bound = (16 * layer.filters) ** -0.5
            for values in (layer.kernel.numpy(), layer.bias.numpy()):
                assert np.abs(values).max() <= bound
            assert layer.kernel.numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
            assert layer.bias.numpy().any()
        elif layer.weights:
            assert layer.kernel.numpy().std() == pytest.approx(0.05, rel=0.1)
            assert not layer.bias.numpy().any()


def test_no_two_kernels_start_alike_and_the_seed_decides():
    def kernels(seed):
        networks = build_networks(Config(**{**vars(TINY), "seed": seed}))
        return [v.numpy().ravel()[:9].tobytes() for n in networks for v in n.variables if v.name == "kernel"]

    ours = kernels(1)
    assert len(set(ours)) == len(ours) == 5 + 4
    assert kernels(1) == ours
    assert not set(kernels(2)) & set(ours)


# Settings


def test_defaults_are_the_originals():
    sprites, mnist = PRESETS["sprites"], PRESETS["mnist"]
    assert (sprites.style_dim, sprites.class_dim, sprites.batch_size, sprites.max_epochs) == (512, 64, 16, 500)
    assert (mnist.style_dim, mnist.class_dim, mnist.batch_size, mnist.max_epochs) == (16, 16, 64, 100)
    assert (sprites.step_size, mnist.step_size) == (0, 80)
    for config in (sprites, mnist):
        config.check()
        assert (config.initial_learning_rate, config.beta_1, config.beta_2, config.norm) == (
            1e-4,
            0.9,
            0.999,
            "instance",
        )
        assert (config.reconstruction_coef, config.kl_divergence_coef, config.reverse_cycle_coef) == (2, 3, 10)


@pytest.mark.parametrize("changed, told", [
    ({"filters": (16,)}, "--filters: expected two numbers or more"),
    ({"filters": (16, 0)}, "--filters: expected 1 or more; got 0"),
    ({"beta_2": 1.0}, "--beta_2: expected 0 or more, below 1"),
    ({"step_size": -1}, "--step_size: expected 0 or more"),
    ({"style_dim": 0}, "--style_dim: expected 1 or more"),
])  # fmt: skip
def test_a_setting_out_of_range_is_named(changed, told):
    with pytest.raises(UserError, match=told):
        Config(**changed).check()
