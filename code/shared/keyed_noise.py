"""Noise inside networks as a function of a key, so that a resumed training draws what an unbroken one draws.

Keras's GaussianNoise and Dropout keep random state that no checkpoint saves. These layers keep none: they take
the key, an int32 pair such as (seed, step), as a second input. Each layer of a network folds its own number in.
"""

import keras
import tensorflow as tf


def key_input():
    """The input of a functional model that brings the key, int32 [2]."""
    return keras.Input(batch_shape=(2,), dtype="int32", name="key")


class KeyedDropout(keras.layers.Layer):
    """Sets a fraction `rate` of the values to zero and scales the rest by 1 / (1 - rate), in training only."""

    def __init__(self, rate: float, number: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.number = rate, number

    def call(self, inputs, training=None):
        values, key = inputs
        if not training or self.rate == 0:
            return values
        key = tf.random.fold_in(key, self.number)
        return tf.nn.experimental.stateless_dropout(values, self.rate, seed=key)


class KeyedGaussianNoise(keras.layers.Layer):
    """Adds noise ~ N(0, deviation) to the values, in training only."""

    def __init__(self, deviation: float, number: int, **kwargs):
        super().__init__(**kwargs)
        self.deviation, self.number = deviation, number

    def call(self, inputs, training=None):
        values, key = inputs
        if not training or self.deviation == 0:
            return values
        key = tf.random.fold_in(key, self.number)
        return values + self.deviation * tf.random.stateless_normal(tf.shape(values), key, dtype=values.dtype)
