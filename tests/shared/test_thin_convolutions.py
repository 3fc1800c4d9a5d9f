"""Thin convolutions give what Keras's give: outputs, and gradients to the input, the kernel and the bias."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.thin_convolutions import ThinConv2D, ThinConv2DTranspose

RNG = np.random.default_rng(0)


def numbers(*shape):
    return tf.constant(RNG.standard_normal(shape).astype(np.float32))


def outputs_and_gradients(layer, inputs, weights):
    """Of a sum whose terms all weigh differently."""
    layer.build(inputs.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        loss = tf.reduce_sum(outputs * tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), outputs.shape) / 1e3)
    return [outputs, *tape.gradient(loss, [inputs, *layer.trainable_variables])]


def assert_alike(ours, keras_layer, inputs, weights):
    expected = outputs_and_gradients(keras_layer, inputs, weights)
    for a, b in zip(outputs_and_gradients(ours, inputs, weights), expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(tf.reduce_max(tf.abs(b))))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("side", [1, 3, 4, 5])
@pytest.mark.parametrize("size", [7, 8])
def test_a_convolution_of_a_thin_image_is_keras_s(size, side, strides, padding):
    options = {"filters": 6, "kernel_size": side, "strides": strides, "padding": padding}
    weights = [numbers(side, side, 1, 6), numbers(6)]
    images = numbers(2, size, size + 1, 1)
    assert_alike(ThinConv2D(**options), keras.layers.Conv2D(**options), images, weights)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "side, strides, padding, output_padding",
    [(3, 1, "same", None), (4, 1, "same", None), (4, 2, "same", None), (5, 2, "same", 0), (5, 2, "same", 1),
     (4, 2, "valid", None), (3, 3, "valid", None)],
)  # fmt: skip
def test_a_transposed_convolution_to_a_thin_image_is_keras_s(side, strides, padding, output_padding, channels):
    options = {"kernel_size": side, "strides": strides, "padding": padding, "output_padding": output_padding}
    options = {"filters": channels, "activation": "tanh"} | options
    weights = [numbers(side, side, channels, 6) / 10, numbers(channels)]
    features = numbers(2, 4, 5, 6)
    assert_alike(ThinConv2DTranspose(**options), keras.layers.Conv2DTranspose(**options), features, weights)


def test_an_image_of_three_channels_is_keras_s_too():
    weights = [numbers(4, 4, 3, 6), numbers(6)]
    options = {"filters": 6, "kernel_size": 4, "strides": 2, "padding": "same"}
    assert_alike(ThinConv2D(**options), keras.layers.Conv2D(**options), numbers(2, 8, 8, 3), weights)


def test_any_batch_size_goes_through_a_model():
    image = keras.Input([8, 8, 1])
    features = ThinConv2D(6, 4, 2, "same")(image)
    model = keras.Model(image, ThinConv2DTranspose(1, 4, 2, "same")(features))
    run = tf.function(model, input_signature=[tf.TensorSpec([None, 8, 8, 1])])
    assert run(numbers(3, 8, 8, 1)).shape == (3, 8, 8, 1)
    assert run(numbers(5, 8, 8, 1)).shape == (5, 8, 8, 1)
