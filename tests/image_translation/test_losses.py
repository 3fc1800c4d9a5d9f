"""The losses of image generation and translation against numpy in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf

from image_translation import losses


def column(*values):
    return tf.constant([[value] for value in values], tf.float32)


def log(x):
    """The original's."""
    return np.log(x + 1e-8)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


REAL, FAKE = np.array([-1.7, 0.0, 0.3, 2.5]), np.array([0.4, -3.0, 1.1, 0.2])
LOGITS = np.array([[0.2, -1.0, 3.0], [1.0, 1.5, -0.5], [0.0, 4.0, -4.0], [-1.0, 0.3, 0.1]])


def test_discriminator_loss_is_the_originals_formula_on_probabilities():
    expected = -np.mean(log(sigmoid(REAL)) + log(1 - sigmoid(FAKE)))
    assert float(losses.adversarial_d_loss(column(*REAL), column(*FAKE))) == pytest.approx(expected, rel=1e-6)


def test_generator_and_encoder_want_the_opposite_labels_each_of_its_own_pairs():
    assert float(losses.adversarial_g_loss(column(*FAKE))) == pytest.approx(-np.mean(log(sigmoid(FAKE))), rel=1e-6)
    assert float(losses.adversarial_e_loss(column(*REAL))) == pytest.approx(-np.mean(log(1 - sigmoid(REAL))), rel=1e-6)


@pytest.mark.parametrize("extreme", [100.0, 1e30])
def test_extreme_logits_cost_what_they_say_and_keep_their_gradient(extreme):
    """Of the original's log(p + 1e-8) nothing would be left, from 17 on."""
    fake = tf.Variable(column(-extreme))
    with tf.GradientTape() as tape:
        loss = losses.adversarial_g_loss(fake)
    assert float(loss) == pytest.approx(extreme, rel=1e-6)
    assert np.squeeze(tape.gradient(loss, fake)) == -1


def test_categorical_loss_is_the_mean_cross_entropy_and_ln_n_where_the_code_is_ignored():
    one_hot = np.eye(3)[[2, 0, 0, 1]]
    expected = -np.mean(np.sum(one_hot * log_softmax(LOGITS), axis=1))
    found = losses.categorical_loss(tf.constant(LOGITS, tf.float32), tf.constant(one_hot, tf.float32))
    assert float(found) == pytest.approx(expected, rel=1e-6)
    ignored = losses.categorical_loss(tf.fill([10, 10], 0.7), tf.eye(10))
    assert float(ignored) == pytest.approx(math.log(10), rel=1e-6)


def test_continuous_loss_is_of_unit_variance_summed_over_codes_averaged_over_images_constant_included():
    mean = np.array([[0.1, -0.7], [0.5, 0.9], [0.0, 0.0]])
    codes = np.array([[0.4, -0.2], [-1.0, 1.0], [0.0, 0.6]])
    expected = np.mean(np.sum(0.5 * np.log(2 * np.pi) + 0.5 * (codes - mean) ** 2, axis=1))
    found = losses.continuous_loss(tf.constant(mean, tf.float32), tf.constant(codes, tf.float32))
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(losses.continuous_loss(tf.zeros([3, 0]), tf.zeros([3, 0]))) == 0


def test_reconstruction_loss_is_the_mean_over_pixels_too():
    images = tf.reshape(tf.constant([0.0, 1.0, 0.5, 0.25, 1, 1, 0, 0]), [2, 2, 2, 1])
    found = losses.reconstruction_loss(images, tf.fill([2, 2, 2, 1], 0.5))
    assert float(found) == pytest.approx((0.25 + 0.25 + 0 + 0.0625 + 4 * 0.25) / 8)


@pytest.mark.parametrize("labelled", [1, 3, 4])
def test_supervised_loss_is_the_mean_over_the_labelled_images_alone(labelled):
    labels = np.eye(3)[[2, 0, 0, 1]] * (np.arange(4) < labelled)[:, None]
    expected = -np.sum(labels * log_softmax(LOGITS)) / labelled
    found = losses.supervised_loss(tf.constant(LOGITS, tf.float32), tf.constant(labels, tf.float32))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_unlabelled_images_are_not_moved_by_the_supervised_loss_and_without_any_label_it_is_zero(scale):
    """softmax_cross_entropy_with_logits would give them the gradient of a label that they do not have."""
    logits = tf.Variable(scale * tf.constant(LOGITS, tf.float32))
    for labelled in (2, 0):
        labels = tf.one_hot([2, 0, 0, 1], 3) * tf.constant([[float(row < labelled)] for row in range(4)])
        with tf.GradientTape() as tape:
            loss = losses.supervised_loss(logits, labels)
        gradient = np.asarray(tape.gradient(loss, logits))
        assert not gradient[labelled:].any()
        assert np.isfinite(gradient).all()
    assert float(loss) == 0
