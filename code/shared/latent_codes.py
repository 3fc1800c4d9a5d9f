"""What a latent code is: noise, categorical codes and continuous codes; sampling them and walking along them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class CodeSizes(NamedTuple):
    """How many values each part of a latent code has."""

    noise: int
    categorical: tuple[int, ...]  # classes of each categorical code
    continuous: int

    @property
    def total(self) -> int:
        """Length of the vector that `concatenate` gives."""
        return self.noise + sum(self.categorical) + self.continuous


class Codes(NamedTuple):
    """A batch of latent codes, float32."""

    noise: tf.Tensor  # [batch, noise], in [-1, 1]
    categorical: tuple[tf.Tensor, ...]  # one-hot, [batch, classes] each
    continuous: tf.Tensor  # [batch, continuous], in [-1, 1]


def key(seed: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
    """The int32 [2] from which every random number of a step is drawn; no random state is kept."""
    return tf.stack([tf.cast(seed, tf.int32), tf.cast(step, tf.int32)])


@tf.function
def sample(sizes: CodeSizes, number: int, random_key: tf.Tensor) -> Codes:
    """Draws codes: noise and continuous ~ U(-1, 1), each categorical uniform over its classes.

    Args:
        sizes: what to draw.
        number: of codes.
        random_key: int32 [2], from `key`; equal keys give equal codes.
    """

    def fold(number: int):
        return tf.random.fold_in(random_key, number)

    noise = tf.random.stateless_uniform([number, sizes.noise], fold(0), minval=-1.0)
    continuous = tf.random.stateless_uniform([number, sizes.continuous], fold(1), minval=-1.0)
    categorical = tuple(
        tf.one_hot(tf.random.stateless_uniform([number], fold(2 + i), maxval=classes, dtype=tf.int32), classes)
        for i, classes in enumerate(sizes.categorical)
    )
    return Codes(noise, categorical, continuous)


def concatenate(codes: Codes) -> tf.Tensor:
    """The generator's input, float32 [batch, total]: noise, categorical one-hots, continuous."""
    return tf.concat([codes.noise, *codes.categorical, codes.continuous], axis=1)


def take(codes: Codes, rows: Sequence[int] | np.ndarray) -> Codes:
    """The codes of the given rows, repeated where a row is."""
    return Codes(
        tf.gather(codes.noise, rows),
        tuple(tf.gather(code, rows) for code in codes.categorical),
        tf.gather(codes.continuous, rows),
    )


def with_categories(codes: Codes, which: int, categories: Sequence[int] | np.ndarray) -> Codes:
    """The codes with categorical code number `which` set to the given classes, one a row."""
    one_hot = tf.one_hot(categories, codes.categorical[which].shape[1])
    return codes._replace(categorical=(*codes.categorical[:which], one_hot, *codes.categorical[which + 1 :]))


def with_continuous(codes: Codes, which: int, values: Sequence[float] | np.ndarray) -> Codes:
    """The codes with continuous code number `which` set to the given values, one a row."""
    column = tf.reshape(tf.cast(values, tf.float32), [-1, 1])
    left, right = codes.continuous[:, :which], codes.continuous[:, which + 1 :]
    return codes._replace(continuous=tf.concat([left, column, right], axis=1))
