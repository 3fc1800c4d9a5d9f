"""InfoGAN's losses against numpy in float64: a wrong sign, sum, mean or clipping would show here."""

import math

import numpy as np
import pytest
import tensorflow as tf

from infogan import losses, training
from infogan.config import Config


def column(*values):
    return tf.constant([[value] for value in values], tf.float32)


def softplus(x):
    """ln(1 + e^x): the cross-entropy of calling logit -x real, or x fake."""
    return np.logaddexp(0, np.asarray(x, float))


def log_softmax(logits):
    logits = np.asarray(logits, float)
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


ORDINARY = np.array([-1.7, 0.0, 0.3, 2.5])


def test_discriminator_loss_is_the_mean_over_real_images_plus_the_mean_over_generated_ones():
    real, fake = ORDINARY, np.array([0.4, -3.0])  # of different numbers: a mean over both would differ
    expected = softplus(-real).mean() + softplus(fake).mean()
    assert float(losses.adversarial_d_loss(column(*real), column(*fake))) == pytest.approx(expected, rel=1e-6)
    assert float(losses.adversarial_d_loss(column(0), column(0))) == pytest.approx(2 * math.log(2), rel=1e-6)


def test_discriminator_loss_takes_real_and_generated_in_this_order():
    right = float(losses.adversarial_d_loss(column(5), column(-5)))
    wrong = float(losses.adversarial_d_loss(column(-5), column(5)))
    assert (right, wrong) == (pytest.approx(2 * softplus(-5), rel=1e-5), pytest.approx(2 * softplus(5), rel=1e-5))


def test_generator_loss_is_the_non_saturating_one():
    assert float(losses.adversarial_g_loss(column(*ORDINARY))) == pytest.approx(softplus(-ORDINARY).mean(), rel=1e-6)
    # ln(1 - D) would give -softplus: nearly 0 and without a gradient where the discriminator is sure.
    fake = tf.Variable(column(-20))
    with tf.GradientTape() as tape:
        loss = losses.adversarial_g_loss(fake)
    assert float(loss) == pytest.approx(20, rel=1e-6)
    assert np.asarray(tape.gradient(loss, fake)) == pytest.approx(np.array([[-1]]), rel=1e-6)


@pytest.mark.parametrize("extreme", [100.0, 1e4, 1e30])
def test_extreme_logits_cost_what_they_say_and_not_infinity(extreme):
    high, low = column(extreme), column(-extreme)
    assert float(losses.adversarial_d_loss(high, low)) == 0
    assert float(losses.adversarial_d_loss(low, high)) == pytest.approx(2 * extreme, rel=1e-6)
    assert float(losses.adversarial_g_loss(high)) == 0
    assert float(losses.adversarial_g_loss(low)) == pytest.approx(extreme, rel=1e-6)


def test_categorical_loss_is_the_mean_cross_entropy_of_each_code_in_its_order():
    logits = [np.array([[0.2, -1.0, 3.0], [1.0, 1.5, -0.5]]), np.array([[0.0, 2.0], [-4.0, 1.0]])]
    classes = [[2, 0], [0, 1]]
    one_hots = [tf.one_hot(code, q.shape[1]) for code, q in zip(classes, logits)]
    expected = [-log_softmax(q)[[0, 1], code].mean() for code, q in zip(classes, logits)]
    found = losses.categorical_losses([tf.constant(q, tf.float32) for q in logits], one_hots)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_categorical_loss_at_extreme_logits_is_finite():
    logits = tf.constant([[1000.0, 0.0, -1000.0]])
    cost = [float(losses.categorical_losses([logits], [tf.one_hot([k], 3)])[0]) for k in range(3)]
    assert cost == pytest.approx([0, 1000, 2000], rel=1e-6)


def test_logits_and_codes_of_different_numbers_are_not_paired_up_silently():
    with pytest.raises(ValueError):
        losses.categorical_losses([tf.zeros([2, 3])], [])


@pytest.mark.parametrize("classes", [2, 10, 31])
def test_a_code_that_is_ignored_costs_ln_n_and_bounds_no_information(classes):
    one_hot = tf.one_hot(np.arange(3 * classes) % classes, classes)
    loss = losses.categorical_losses([tf.fill([3 * classes, classes], 0.7)], [one_hot])
    assert float(loss[0]) == pytest.approx(math.log(classes), rel=1e-6)
    config = Config(categorical_sizes=(classes,), num_continuous=0)
    assert float(training.mutual_information_bound(loss, tf.constant(0.0), config)) == pytest.approx(0, abs=1e-6)


def test_continuous_loss_is_the_gaussian_cross_entropy_summed_over_codes_and_averaged_over_images():
    mean = np.array([[0.1, -0.7], [0.5, 0.9], [0.0, 0.0]])
    deviation = np.array([[1.0, 0.3], [2.0, 0.8], [0.5, 1.5]])
    codes = np.array([[0.4, -0.2], [-1.0, 1.0], [0.0, 0.6]])
    each = 0.5 * math.log(2 * math.pi) + np.log(deviation) + 0.5 * ((codes - mean) / deviation) ** 2
    found = losses.continuous_loss(*(tf.constant(part, tf.float32) for part in (mean, deviation, codes)))
    assert found.shape == ()
    assert float(found) == pytest.approx(each.sum(axis=1).mean(), rel=1e-6)


@pytest.mark.parametrize("deviation", [1e-3, 1e3])
def test_continuous_loss_takes_a_standard_deviation_and_not_a_variance_or_its_logarithm(deviation):
    expected = 0.5 * math.log(2 * math.pi) + math.log(deviation) + 0.5 * (0.5 / deviation) ** 2
    found = losses.continuous_loss(tf.constant([[0.25]]), tf.constant([[deviation]]), tf.constant([[0.75]]))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "sizes, continuous, expected",
    [
        ((10,), 0, 2.302585),
        ((10, 2), 0, 2.995732),
        ((), 1, 1.418939),  # of a unit Gaussian: (1 + ln 2 pi) / 2
        ((10,), 4, 7.978339),
        ((), 5, 7.094693),
        ((), 0, 0),
    ],
)
def test_entropy_of_the_codes_is_ln_n_each_and_that_of_a_unit_gaussian_each(sizes, continuous, expected):
    assert losses.code_entropy(sizes, continuous) == pytest.approx(expected, abs=1e-6)


def test_the_bound_is_the_entropy_less_the_weighted_q_loss():
    config = Config(categorical_sizes=(10, 2), num_continuous=2, continuous_weight=0.1)
    categorical = [tf.constant(1.5), tf.constant(0.25)]
    expected = math.log(20) + 1 + math.log(2 * math.pi) - 1.75 - 0.1 * 3
    found = training.mutual_information_bound(categorical, tf.constant(3.0), config)
    assert float(found) == pytest.approx(expected, rel=1e-6)
