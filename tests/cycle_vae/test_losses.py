"""The cycle-consistent VAE's losses, worked out by hand."""

import math

import pytest
import tensorflow as tf

from cycle_vae import losses


def test_reconstruction_error_is_a_mean_over_all_values():
    images = tf.zeros([2, 1, 1, 2])
    decoded = tf.constant([[[[1.0, 0.0]]], [[[3.0, 2.0]]]])
    assert float(losses.reconstruction_error(decoded, images)) == pytest.approx((1 + 9 + 4) / 4)


def test_kl_divergence_is_summed_over_z_and_shared_out_over_an_images_values():
    mean, log_variance = tf.constant([[1.0, 0.0], [0.0, 0.0]]), tf.constant([[0.0, math.log(4)], [0.0, 0.0]])
    in_nats = 0.5 * 1 + 0.5 * (4 - 1 - math.log(4))
    assert float(losses.kl_divergence(mean, log_variance, 10)) == pytest.approx(in_nats / 2 / 10)


def test_kl_divergence_of_the_prior_is_nothing():
    assert float(losses.kl_divergence(tf.zeros([3, 4]), tf.zeros([3, 4]), 7)) == 0


def test_reverse_cycle_loss_is_the_mean_distance_whatever_its_sign():
    mean_1, mean_2 = tf.constant([[1.0, 2.0], [0.0, -1.0]]), tf.constant([[3.0, 2.0], [-1.0, 0.0]])
    assert float(losses.reverse_cycle_loss(mean_1, mean_2)) == pytest.approx((2 + 0 + 1 + 1) / 4)
