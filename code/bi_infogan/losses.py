"""The losses of Bidirectional InfoGAN: tensors in, scalars out. Paper: arXiv 1803.02627. Source: its train_mnist.py.

Differs: the original takes log(p + 1e-8) of the probabilities; these are the same logarithms of the logits, which do
not flatten out, and so go on teaching, where a probability is below 1e-8 or rounds to one.
"""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def adversarial_d_loss(real_logit: tf.Tensor, fake_logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of calling real pairs real plus that of calling generated ones fake; logits [batch, 1]."""
    real = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.ones_like(real_logit), logits=real_logit)
    fake = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.zeros_like(fake_logit), logits=fake_logit)
    return tf.reduce_mean(real) + tf.reduce_mean(fake)


def adversarial_g_loss(real_logit: tf.Tensor, fake_logit: tf.Tensor) -> tf.Tensor:
    """The opposite labels: the generator's pairs are to be called real, and the encoder's fake; logits [batch, 1]."""
    return adversarial_d_loss(real_logit=fake_logit, fake_logit=real_logit)


def categorical_losses(logits: Sequence[tf.Tensor], one_hots: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """-E[log E(c|x)] of each categorical code in nats; [batch, classes] each. ln(classes) where it is ignored."""
    return [-tf.reduce_mean(tfd.OneHotCategorical(logits=q).log_prob(c)) for q, c in zip(logits, one_hots, strict=True)]


def continuous_loss(mean: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """-E[log N(c; mean, 1)] of the continuous codes together, in nats; [batch, codes] each."""
    return -tf.reduce_mean(tfd.Independent(tfd.Normal(mean, 1.0), 1).log_prob(codes))
