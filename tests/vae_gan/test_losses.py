"""The losses of the VAE-GAN, worked by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_gan import losses


@pytest.mark.parametrize("truth, expected", [
    (1.0, (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(3))) / 2),
    (0.0, (math.log(1 + math.exp(2)) + math.log(1 + math.exp(-3))) / 2),
])  # fmt: skip
def test_cross_entropy_is_the_mean_over_images(truth, expected):
    assert float(losses.cross_entropy(tf.constant([[2.0], [-3.0]]), truth)) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_of_a_saturated_discriminator_still_teaches():
    logits = tf.constant([[-200.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.cross_entropy(logits, 1.0)
    assert float(loss) == pytest.approx(200)
    assert float(tf.reduce_sum(tape.gradient(loss, logits))) == pytest.approx(-1)


def test_kl_is_summed_over_dimensions_and_averaged_over_images():
    mean, log_variance = tf.constant([[0.0, 2.0], [0.0, 0.0]]), tf.math.log(tf.constant([[1.0, 1.0], [4.0, 1.0]]))
    expected = (0.5 * 4 + 0.5 * (4 - 1 - math.log(4))) / 2
    assert float(losses.kl(mean, log_variance)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.kl(tf.zeros([3, 7]), tf.zeros([3, 7]))) == 0


def test_feature_reconstruction_is_a_log_density_constant_and_all():
    features, made = tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), tf.constant([[1.0, 0.0, 3.0], [0.0, 0.0, 1.0]])
    constant = 3 * 0.5 * math.log(2 * math.pi)
    expected = constant + (0.5 * 4 + 0.5 * 1) / 2 / (1 + 1e-6)
    assert float(losses.feature_reconstruction(features, made)) == pytest.approx(expected, rel=1e-6)


def test_losses_have_gradients_to_both_of_what_they_compare():
    for loss in (losses.kl, losses.feature_reconstruction):
        a, b = tf.constant([[1.0, 2.0]]), tf.constant([[0.5, -1.0]])
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = loss(a, b)
        assert all(np.abs(gradient).min() > 0 for gradient in tape.gradient(value, [a, b]))
