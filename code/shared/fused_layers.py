"""Batch normalisation and Adam through the single TensorFlow kernels that TF1's own layers ran.

Keras 3 composes both from many element-wise operations, which on a CPU cost more memory traffic than the
convolutions between them leave room for. Same mathematics; tests/benchmarks holds the figures.
"""

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation as one kernel; for [batch, channels] and [batch, height, width, channels]."""

    def call(self, inputs, training=None, mask=None):
        training = training and self.trainable  # frozen, it only normalises, as Keras's does
        channels = self.moving_mean.shape
        gamma = self.gamma if self.scale else tf.ones(channels)
        beta = self.beta if self.center else tf.zeros(channels)
        is_vector = len(inputs.shape) == 2
        images = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]]) if is_vector else inputs
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=tf.convert_to_tensor(gamma),
            offset=tf.convert_to_tensor(beta),
            mean=[] if training else tf.convert_to_tensor(self.moving_mean),
            variance=[] if training else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=bool(training),
        )
        if training:
            count = tf.cast(tf.reduce_prod(tf.shape(images)[:3]), variance.dtype)
            # The kernel's is the unbiased one, as TF1 kept it of convolutions alone; Keras keeps the batch's own.
            variance *= (count - 1) / count
            self.moving_mean.assign(self.moving_mean + (1 - self.momentum) * (mean - self.moving_mean))
            self.moving_variance.assign(self.moving_variance + (1 - self.momentum) * (variance - self.moving_variance))
        return tf.reshape(outputs, [-1, inputs.shape[-1]]) if is_vector else outputs


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, one kernel a variable: the kernel, and so the formula, of TF1's AdamOptimizer."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
