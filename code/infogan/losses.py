"""The losses of InfoGAN: tensors in, scalars out. Paper: arXiv 1606.03657. Source: src/nets/infogan.py of tf-gans."""

import math
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def adversarial_d_loss(real_logit: tf.Tensor, fake_logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of calling real images real plus that of calling generated ones fake; logits [batch, 1]."""
    real = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.ones_like(real_logit), logits=real_logit)
    fake = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.zeros_like(fake_logit), logits=fake_logit)
    return tf.reduce_mean(real) + tf.reduce_mean(fake)


def adversarial_g_loss(fake_logit: tf.Tensor) -> tf.Tensor:
    """The non-saturating loss of the generator: cross-entropy of calling its images real; logits [batch, 1]."""
    labels = tf.ones_like(fake_logit)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=fake_logit))


def categorical_losses(logits: Sequence[tf.Tensor], one_hots: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """-E[log Q(c|x)] of each categorical code in nats; [batch, classes] each. ln(classes) where it is ignored."""
    return [-tf.reduce_mean(tfd.OneHotCategorical(logits=q).log_prob(c)) for q, c in zip(logits, one_hots, strict=True)]


def continuous_loss(mean: tf.Tensor, deviation: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """-E[log Q(c|x)] of the continuous codes in nats, under a diagonal Gaussian; [batch, codes] each."""
    q = tfd.MultivariateNormalDiag(mean, deviation)
    return -tf.reduce_mean(q.log_prob(codes))


def code_entropy(categorical_sizes: Sequence[int], num_continuous: int) -> float:
    """H(c) in nats, a constant: ln n a categorical code; a continuous one counts as a unit Gaussian, as there."""
    return sum(math.log(n) for n in categorical_sizes) + 0.5 * num_continuous * (1 + math.log(2 * math.pi))
