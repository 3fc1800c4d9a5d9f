"""Batch normalisation and Adam through the single TensorFlow kernels that TF1's own layers ran, and instance norm.

Keras 3 composes all three from many element-wise operations, which on a CPU cost more memory traffic than the
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


class InstanceNormalization(keras.layers.Layer):
    """Instance norm without weights, of images [batch, height, width, channels]: mean 0, variance 1 in each channel.

    Keras has it as GroupNormalization(groups=-1, center=False, scale=False), whose gradient takes twice the operations.
    No kernel of TensorFlow's does it; statistics are float32, as Keras's are.
    """

    def __init__(self, epsilon: float = 1e-3, **options) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def call(self, inputs):
        return tf.cast(_instance_norm(tf.cast(inputs, tf.float32), self.epsilon), self.compute_dtype)


def _instance_norm(images, epsilon: float):
    def mean_of_channel(values):
        return tf.reduce_mean(values, axis=[1, 2], keepdims=True)

    @tf.custom_gradient
    def normalise(images):
        centred = images - mean_of_channel(images)
        scale = tf.math.rsqrt(mean_of_channel(tf.square(centred)) + epsilon)
        outputs = centred * scale

        def gradient(upstream):
            along = outputs * mean_of_channel(upstream * outputs)
            return scale * (upstream - mean_of_channel(upstream) - along)

        return outputs, gradient

    return normalise(images)


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
