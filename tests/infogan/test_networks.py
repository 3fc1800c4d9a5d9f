"""InfoGAN's networks against the tables of the original and of the paper, worked out by hand."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from infogan.config import PRESETS, Config
from infogan.networks import build_networks, code_sizes, paper_generator
from infogan.networks import generator as default_generator

DEFAULT, PAPER = PRESETS["default"], PRESETS["paper"]
FACES = Config(categorical_sizes=(), num_continuous=5, image_size=32, channels=3, clip_norm=0.0)
CONFIGS = {"default": DEFAULT, "paper": PAPER, "faces": FACES}
KEY = tf.constant([1, 2])


@pytest.fixture(scope="module")
def built():
    return {name: build_networks(config) for name, config in CONFIGS.items()}


@pytest.fixture(scope="module", autouse=True)
def fresh(built):
    """Every variable's path, name and value as drawn, of each network of each config."""
    return {
        name: [(v.path, v.name, v.numpy()) for network in networks for v in network.variables]
        for name, networks in built.items()
    }


def random(*shape, seed=0):
    return tf.random.stateless_uniform(shape, [seed, 0], minval=-1.0)


def layers_of(network, kind) -> list[Any]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


def batch_norms(network):
    return layers_of(network, keras.layers.BatchNormalization)


def trainable_size(network):
    return sum(np.prod(v.shape) for v in network.trainable_variables)


# Shapes


@pytest.mark.parametrize("name, code, size, channels, features", [
    ("default", 100 + 10 + 4, 28, 1, 2 * 2 * 512),
    ("paper", 62 + 10 + 2, 28, 1, 1024),
    ("faces", 100 + 5, 32, 3, 2 * 2 * 512),
])  # fmt: skip
def test_networks_fit_together_and_have_the_outputs_of_their_config(built, name, code, size, channels, features):
    networks = built[name]
    images = networks.generator([random(3, code), KEY], training=False)
    logit, trunk = networks.discriminator(images, training=False)
    logits, mean, deviation = networks.recognition(trunk, training=False)
    config = CONFIGS[name]
    assert code_sizes(config).total == code
    assert images.shape == (3, size, size, channels)
    assert (logit.shape, trunk.shape) == ((3, 1), (3, features))
    assert [q.shape for q in logits] == [(3, n) for n in config.categorical_sizes]
    assert mean.shape == deviation.shape == (3, config.num_continuous)
    assert -1 <= float(tf.reduce_min(images)) <= float(tf.reduce_max(images)) <= 1


@pytest.mark.parametrize("name, heights", [
    ("default", [4, 7, 14, 28]),
    ("paper", [7, 14, 28]),
    ("faces", [4, 8, 16, 32]),
])  # fmt: skip
def test_generator_grows_through_the_originals_heights(built, name, heights):
    generator = built[name].generator
    transposed = layers_of(generator, keras.layers.Conv2DTranspose)
    assert [transposed[0].input.shape[1], *(layer.output.shape[1] for layer in transposed)] == heights
    assert [transposed[0].input.shape[2], *(layer.output.shape[2] for layer in transposed)] == heights


def test_an_odd_height_is_padded_as_tensorflow_1_did_and_not_cropped(built):
    """4 -> 7: output pixel 2i + k - 1 takes kernel row k of input i; a cropped 8 is shifted by one."""
    layer = layers_of(built["default"].generator, keras.layers.Conv2DTranspose)[0]
    kernel = random(*layer.kernel.shape, seed=3)
    x = np.zeros([1, 4, 4, 256], np.float32)
    x[0, 1, 1, 0] = 1
    expected = tf.nn.conv2d_transpose(x, kernel, [1, 7, 7, 128], strides=2, padding="SAME").numpy()
    before = layer.kernel.numpy()
    layer.kernel.assign(kernel)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-6)
    layer.kernel.assign(before)
    assert np.abs(expected).max() > 0.1


def test_several_categorical_codes_have_a_head_each_and_no_two_layers_start_alike():
    """Keras gives every layer of one initializer object the same draw."""
    networks = build_networks(dataclasses.replace(DEFAULT, categorical_sizes=(10, 10, 3)))
    logits, _, _ = networks.recognition(random(2, 2048), training=False)
    assert [q.shape for q in logits] == [(2, 10), (2, 10), (2, 3)]
    assert len(batch_norms(networks.recognition)) == 3  # the original's: 128 units of its own for each code
    beginnings = [v.numpy().ravel()[:10].tolist() for n in networks for v in n.variables if v.name == "kernel"]
    assert len({tuple(beginning) for beginning in beginnings}) == len(beginnings) == 5 + 5 + 2 * 3 + 1


# Parameter counts: weights + biases, by hand


def dense(inputs, units):
    return inputs * units + units


def conv(size, inputs, filters):
    return size * size * inputs * filters + filters


# of trainable parameters and of moving statistics, in the order generator, discriminator, recognition
PARAMETERS = {
    # fmt: off
    "default": [
        (
            dense(114, 1024)
            + 1024
            + dense(1024, 4096)
            + 4096
            + conv(5, 256, 128)
            + 128
            + conv(5, 128, 64)
            + 64
            + conv(5, 64, 1),
            2 * (1024 + 4096 + 128 + 64),
        ),
        (
            conv(5, 1, 64)
            + conv(5, 64, 128)
            + 128
            + conv(5, 128, 256)
            + 256
            + conv(5, 256, 512)
            + 512
            + dense(2048, 1),
            2 * (128 + 256 + 512),
        ),
        (dense(2048, 128) + 128 + dense(128, 10) + dense(2048, 8), 2 * 128),
    ],
    "paper": [
        (
            dense(74, 1024) + 2 * 1024 + dense(1024, 6272) + 2 * 6272 + conv(4, 128, 64) + 2 * 64 + conv(4, 64, 1),
            2 * (1024 + 6272 + 64),
        ),
        (conv(4, 1, 64) + conv(4, 64, 128) + 2 * 128 + dense(6272, 1024) + 2 * 1024 + dense(1024, 1), 2 * (128 + 1024)),
        (dense(1024, 128) + 2 * 128 + dense(128, 10) + dense(128, 2), 2 * 128),
    ],
    "faces": [
        (
            dense(105, 1024)
            + 1024
            + dense(1024, 4096)
            + 4096
            + conv(5, 256, 128)
            + 128
            + conv(5, 128, 64)
            + 64
            + conv(5, 64, 3),
            2 * (1024 + 4096 + 128 + 64),
        ),
        (
            conv(5, 3, 64)
            + conv(5, 64, 128)
            + 128
            + conv(5, 128, 256)
            + 256
            + conv(5, 256, 512)
            + 512
            + dense(2048, 1),
            2 * (128 + 256 + 512),
        ),
        (dense(2048, 10), 0),
    ],
    # fmt: on
}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_as_many_as_in_the_originals_tables(built, name):
    found = [(trainable_size(n), sum(np.prod(v.shape) for v in n.non_trainable_variables)) for n in built[name]]
    assert found == PARAMETERS[name]


# Layers


@pytest.mark.parametrize("name, size, filters", [
    ("default", 5, [64, 128, 256, 512]),
    ("paper", 4, [64, 128]),
    ("faces", 5, [64, 128, 256, 512]),
])  # fmt: skip
def test_discriminators_convolutions_have_the_papers_sizes_and_strides(built, name, size, filters):
    found = layers_of(built[name].discriminator, keras.layers.Conv2D)
    assert [layer.filters for layer in found] == filters
    for layer in found:
        assert (layer.kernel_size, layer.strides, layer.padding) == ((size, size), (2, 2), "same")


@pytest.mark.parametrize("name, size, filters", [
    ("default", 5, [128, 64, 1]),
    ("paper", 4, [64, 1]),
    ("faces", 5, [128, 64, 3]),
])  # fmt: skip
def test_generators_transposed_convolutions_have_the_papers_sizes_and_strides(built, name, size, filters):
    found = layers_of(built[name].generator, keras.layers.Conv2DTranspose)
    assert [layer.filters for layer in found] == filters
    for layer in found:
        assert (layer.kernel_size, layer.strides, layer.padding) == ((size, size), (2, 2), "same")


@pytest.mark.parametrize("name", CONFIGS)
def test_batch_norm_has_the_originals_momentum_and_epsilon_and_scales_in_the_papers_networks_only(built, name):
    norms = [norm for network in built[name] for norm in batch_norms(network)]
    assert len(norms) == {"default": 4 + 3 + 1, "paper": 3 + 2 + 1, "faces": 4 + 3}[name]
    for norm in norms:
        assert (norm.momentum, norm.epsilon, norm.center, norm.scale) == (0.9, 1e-5, True, name == "paper")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_first_convolution_and_the_outputs_have_no_batch_norm(built, name):
    normed = {id(norm.input) for network in built[name] for norm in batch_norms(network)}
    bare = [
        layer
        for network in built[name]
        for layer in layers_of(network, (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense))
        if id(layer.output) not in normed
    ]
    outputs = {"default": [1, 64, 1, 10, 8], "paper": [1, 64, 1, 10, 2], "faces": [3, 64, 1, 10]}[name]
    assert sorted(layer.output.shape[-1] for layer in bare) == sorted(outputs)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_batch_norm_and_the_first_convolution_is_followed_by_the_originals_slope(built, name):
    networks = built[name]
    code = [10 * random(4, code_sizes(CONFIGS[name]).total), KEY]
    image, features = (10 * random(4, *network.input.shape[1:]) for network in networks[1:])
    for network, inputs in zip(networks, [code, image, features]):
        slope = 0.0 if network is networks.generator else {"paper": 0.1}.get(name, 0.2)
        first = layers_of(network, keras.layers.Conv2D)[:1] if network is networks.discriminator else []
        activations = [o for o in network.operations if type(o).__name__.lower().endswith("relu")]
        assert {id(a.input) for a in activations} == {id(layer.output) for layer in [*batch_norms(network), *first]}
        for activation in activations:
            x, y = keras.Model(network.input, [activation.input, activation.output])(inputs, training=False)
            x, y = np.ravel(x), np.ravel(y)
            assert (x < 0).any() and (x > 0).any()
            np.testing.assert_allclose(y, np.where(x > 0, x, slope * x), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_images_come_out_of_a_tanh(built, name):
    generator = built[name].generator
    last = layers_of(generator, keras.layers.Conv2DTranspose)[-1]
    code = 100 * random(2, code_sizes(CONFIGS[name]).total)
    before, image = keras.Model(generator.input, [last.output, generator.output])([code, KEY], training=False)
    np.testing.assert_allclose(image, np.tanh(before), atol=1e-6)
    assert np.abs(before).max() > 0.1


# Weights


@pytest.mark.parametrize("name", CONFIGS)
def test_kernels_are_drawn_with_deviation_0_02_and_the_rest_starts_neutral(fresh, name):
    for path, kind, value in fresh[name]:
        if kind == "kernel":
            tolerance = 5 / np.sqrt(value.size)
            assert value.std() == pytest.approx(0.02, rel=tolerance), path
            assert abs(value.mean()) < 0.02 * tolerance, path
        else:
            neutral = 1.0 if kind in ("gamma", "moving_variance") else 0.0
            assert (value == neutral).all(), path


@pytest.mark.parametrize("name", ["default", "paper"])
def test_weights_are_a_function_of_the_seed_alone(fresh, name):
    kernels = [value for _, kind, value in fresh[name] if kind == "kernel"]
    np.random.rand()  # what was drawn before must not matter
    again, other = (
        [v.numpy() for network in build_networks(config) for v in network.variables if v.name == "kernel"]
        for config in (CONFIGS[name], dataclasses.replace(CONFIGS[name], seed=1))
    )
    assert all((a == b).all() for a, b in zip(kernels, again, strict=True))
    assert all((a == b).mean() < 0.01 for a, b in zip(kernels, other, strict=True))


# Precision


@pytest.mark.parametrize("config", [DEFAULT, PAPER], ids=["default", "paper"])
def test_mixed_bfloat16_computes_layers_so_but_keeps_variables_and_outputs_in_float32(config):
    networks = build_networks(dataclasses.replace(config, precision="mixed_bfloat16"))
    assert {v.dtype for network in networks for v in network.variables} == {"float32"}
    assert {layer.compute_dtype for layer in layers_of(networks.discriminator, keras.layers.Conv2D)} == {"bfloat16"}
    for is_training in (False, True):
        images = networks.generator([random(3, code_sizes(config).total), KEY], training=is_training)
        logit, features = networks.discriminator(images, training=is_training)
        logits, mean, deviation = networks.recognition(features, training=is_training)
        for output in (images, logit, *logits, mean, deviation):
            assert output.dtype == tf.float32
            assert np.isfinite(output).all()


def test_the_precision_of_one_run_does_not_leak_into_the_next():
    keras.config.set_dtype_policy("mixed_bfloat16")
    networks = build_networks(PAPER)
    assert {layer.compute_dtype for network in networks for layer in network.layers} == {"float32"}


# Dropout


@pytest.mark.parametrize("build, config, number", [
    (default_generator, DEFAULT, 2),
    (paper_generator, PAPER, 1),
], ids=["default", "paper"])  # fmt: skip
def test_dropout_acts_in_training_only_and_is_a_function_of_the_key(build, config, number):
    generator = build(dataclasses.replace(config, keep_prob=0.75))
    code = random(4, code_sizes(config).total)

    def images(key, is_training):
        return generator([code, tf.constant(key)], training=is_training).numpy()

    first = images([0, 1], True)
    assert (first == images([0, 1], True)).all()
    assert not np.allclose(first, images([0, 2], True), atol=1e-6)
    assert not np.allclose(first, images([1, 1], True), atol=1e-6)
    assert (images([0, 1], False) == images([0, 2], False)).all()
    dropouts = [layer for layer in generator.layers if "dropout" in layer.name]
    assert [layer.rate for layer in dropouts] == [0.25] * number
    assert len({layer.number for layer in dropouts}) == number  # or two layers would drop alike


def test_without_dropout_the_key_does_not_matter(built):
    generator = built["default"].generator
    code = random(4, 114)
    first, second = (generator([code, tf.constant(key)], training=True).numpy() for key in ([0, 1], [0, 2]))
    assert (first == second).all()


# Sigma


@pytest.mark.parametrize("name", ["default", "faces"])
def test_the_originals_deviation_is_the_softplus_of_its_own_outputs(built, name):
    recognition = built[name].recognition
    features = 30 * random(64, 2048)
    _, mean, deviation = recognition(features, training=False)
    head = [layer for layer in layers_of(recognition, keras.layers.Dense) if layer.units == 2 * mean.shape[1]][0]
    raw = head(features).numpy()
    np.testing.assert_allclose(mean, raw[:, : mean.shape[1]], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(deviation, np.logaddexp(0, raw[:, mean.shape[1] :]), rtol=1e-4, atol=1e-5)
    assert (np.asarray(deviation) > 0).all()
    assert np.std(deviation) > 0.1


def test_the_papers_deviation_is_exactly_one(built):
    _, mean, deviation = built["paper"].recognition(30 * random(8, 1024), training=False)
    assert (np.asarray(deviation) == 1).all()
    assert np.std(mean) > 0
