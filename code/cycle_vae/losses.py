"""The losses of the cycle-consistent VAE, without their weights: tensors in, scalars out. Paper: arXiv 1804.10469."""

import tensorflow as tf


def reconstruction_error(decoded: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of two batches of images [batch, height, width, channels]."""
    return tf.reduce_mean(tf.square(decoded - images))


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor, values_in_image: int) -> tf.Tensor:
    """KL of N(mean, variance) from N(0, 1) in nats, for each value of an image; mean over the batch.

    Args:
        mean, log_variance: [batch, style_dim].
        values_in_image: height * width * channels, for the same scale as the reconstruction error, which is a mean.
    """
    total = -0.5 * tf.reduce_sum(1 + log_variance - tf.square(mean) - tf.exp(log_variance), axis=1)
    return tf.reduce_mean(total) / values_in_image


def reverse_cycle_loss(mean_1: tf.Tensor, mean_2: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of the z's that are read off two images made of one z; [batch, style_dim] each."""
    return tf.reduce_mean(tf.abs(mean_1 - mean_2))
