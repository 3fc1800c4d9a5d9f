"""Bidirectional InfoGAN's losses against numpy in float64: a wrong sign, sum, mean or label would show here."""

import math

import numpy as np
import pytest
import tensorflow as tf

from bi_infogan import losses


def column(*values):
    return tf.constant([[value] for value in values], tf.float32)


def log(x):
    """The original's."""
    return np.log(x + 1e-8)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


REAL, FAKE = np.array([-1.7, 0.0, 0.3, 2.5]), np.array([0.4, -3.0, 1.1, 0.2])


def test_discriminator_loss_is_the_originals_formula_on_probabilities():
    expected = -np.mean(log(sigmoid(REAL)) + log(1 - sigmoid(FAKE)))
    assert float(losses.adversarial_d_loss(column(*REAL), column(*FAKE))) == pytest.approx(expected, rel=1e-6)
    assert float(losses.adversarial_d_loss(column(0), column(0))) == pytest.approx(2 * math.log(2), rel=1e-6)


def test_generator_and_encoder_are_trained_to_the_opposite_labels_of_both_kinds_of_pair():
    expected = -np.mean(log(sigmoid(FAKE)) + log(1 - sigmoid(REAL)))
    assert float(losses.adversarial_g_loss(column(*REAL), column(*FAKE))) == pytest.approx(expected, rel=1e-6)


def test_each_loss_takes_real_and_generated_in_this_order():
    sure_and_right = column(5), column(-5)
    cheap, dear = (2 * np.logaddexp(0, x) for x in (-5, 5))
    assert float(losses.adversarial_d_loss(*sure_and_right)) == pytest.approx(cheap, rel=1e-5)
    assert float(losses.adversarial_g_loss(*sure_and_right)) == pytest.approx(dear, rel=1e-5)


@pytest.mark.parametrize("extreme", [100.0, 1e4, 1e30])
def test_extreme_logits_cost_what_they_say_and_keep_their_gradient(extreme):
    """Of the original's log(p + 1e-8) nothing would be left of either, from 17 on."""
    real, fake = tf.Variable(column(extreme)), tf.Variable(column(-extreme))
    with tf.GradientTape() as tape:
        loss = losses.adversarial_g_loss(real, fake)
    assert float(loss) == pytest.approx(2 * extreme, rel=1e-6)
    assert np.squeeze(tape.gradient(loss, [real, fake])).tolist() == [1, -1]
    assert float(losses.adversarial_d_loss(real, fake)) == 0


def test_categorical_loss_is_the_mean_cross_entropy_of_each_code_in_its_order():
    logits = [np.array([[0.2, -1.0, 3.0], [1.0, 1.5, -0.5]]), np.array([[0.0, 2.0], [-4.0, 1.0]])]
    classes = [[2, 0], [0, 1]]
    one_hots = [tf.one_hot(code, q.shape[1]) for code, q in zip(classes, logits)]
    softmaxes = [np.exp(q) / np.exp(q).sum(axis=1, keepdims=True) for q in logits]
    expected = [-np.mean(np.sum(c.numpy() * log(p), axis=1)) for c, p in zip(one_hots, softmaxes)]
    found = losses.categorical_losses([tf.constant(q, tf.float32) for q in logits], one_hots)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_logits_and_codes_of_different_numbers_are_not_paired_up_silently():
    with pytest.raises(ValueError):
        losses.categorical_losses([tf.zeros([2, 3])], [])


@pytest.mark.parametrize("classes", [2, 10, 31])
def test_a_code_that_is_ignored_costs_ln_n(classes):
    one_hot = tf.one_hot(np.arange(3 * classes) % classes, classes)
    loss = losses.categorical_losses([tf.fill([3 * classes, classes], 0.7)], [one_hot])
    assert float(loss[0]) == pytest.approx(math.log(classes), rel=1e-6)


def test_continuous_loss_is_of_unit_variance_summed_over_codes_averaged_over_images_constant_included():
    mean = np.array([[0.1, -0.7], [0.5, 0.9], [0.0, 0.0]])
    codes = np.array([[0.4, -0.2], [-1.0, 1.0], [0.0, 0.6]])
    expected = np.mean(np.sum(0.5 * np.log(2 * np.pi) + 0.5 * (codes - mean) ** 2, axis=1))
    found = losses.continuous_loss(tf.constant(mean, tf.float32), tf.constant(codes, tf.float32))
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_no_continuous_codes_cost_nothing():
    assert float(losses.continuous_loss(tf.zeros([3, 0]), tf.zeros([3, 0]))) == 0
