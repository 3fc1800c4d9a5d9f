"""The losses of image generation and translation: tensors in, scalars out. Paper: arXiv 1803.10567.

Source: train_mnist.py of the original. Differs: the original takes log(p + 1e-8) of the probabilities; these are the
same logarithms of the logits, which do not flatten out, and so go on teaching, where a probability is below 1e-8 or
rounds to one.
"""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def called_real(logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of calling these pairs real; logit [batch, 1]."""
    labels = tf.ones_like(logit)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logit))


def called_fake(logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of calling these pairs generated; logit [batch, 1]."""
    labels = tf.zeros_like(logit)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logit))


def adversarial_d_loss(real_logit: tf.Tensor, fake_logit: tf.Tensor) -> tf.Tensor:
    """The discriminator is to call real pairs real and generated ones fake; logits [batch, 1]."""
    return called_real(real_logit) + called_fake(fake_logit)


def adversarial_g_loss(fake_logit: tf.Tensor) -> tf.Tensor:
    """The generator's pairs are to be called real; logits [batch, 1]."""
    return called_real(fake_logit)


def adversarial_e_loss(real_logit: tf.Tensor) -> tf.Tensor:
    """The encoder's pairs are to be called fake; logits [batch, 1]."""
    return called_fake(real_logit)


def categorical_loss(logits: tf.Tensor, one_hot: tf.Tensor) -> tf.Tensor:
    """-E[log E(c|x)] of the categorical code in nats; [batch, classes] each. ln(classes) where it is ignored."""
    return -tf.reduce_mean(tfd.OneHotCategorical(logits=logits).log_prob(one_hot))


def continuous_loss(mean: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """-E[log N(c; mean, 1)] of the continuous codes together, in nats; [batch, codes] each."""
    return -tf.reduce_mean(tfd.Independent(tfd.Normal(mean, 1.0), 1).log_prob(codes))


def reconstruction_loss(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Mean squared error over pixels and images; [batch, height, width, channels] each."""
    return tf.reduce_mean(tf.square(images - reconstructions))


def supervised_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of the images that have a label, in nats; 0 where none has.

    Args:
        logits: [batch, classes].
        labels: [batch, classes], one-hot; a row of zeros where the image has no label.
    """
    # Not softmax_cross_entropy_with_logits: its gradient takes every row of labels to add up to one, and would push
    # the images without a label as well.
    cross_entropy = -tf.reduce_sum(labels * tf.nn.log_softmax(logits))
    return cross_entropy / tf.maximum(tf.reduce_sum(labels), 1.0)
