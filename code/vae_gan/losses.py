"""The losses of the VAE-GAN: tensors in, scalars out. Paper: arXiv 1512.09300. Source: util/layer.py and
model/vaegan.py of the original."""

import math

import tensorflow as tf

EPSILON = 1e-6  # what the original adds to a variance before it divides by it


def cross_entropy(logits: tf.Tensor, truth: float) -> tf.Tensor:
    """Mean cross-entropy of logits [batch, 1] where all are to say `truth`: 1 for real, 0 for generated."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=truth * tf.ones_like(logits), logits=logits))


def kl(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL divergence of N(mean, variance) from N(0, 1): sum over dimensions, mean over images; [batch, z_dim] each."""
    divergence = 0.5 * (tf.exp(log_variance) + tf.square(mean) - 1 - log_variance)
    return tf.reduce_mean(tf.reduce_sum(divergence, axis=1))


def feature_reconstruction(features: tf.Tensor, of_reconstruction: tf.Tensor) -> tf.Tensor:
    """-log density of an image's features under N(its reconstruction's, 1), the constant included.

    Sum over features, mean over images; [batch, number] each. Eq. 7 of the paper.
    """
    squares = tf.square(features - of_reconstruction) / (1 + EPSILON)
    return tf.reduce_mean(tf.reduce_sum(0.5 * (math.log(2 * math.pi) + squares), axis=1))
