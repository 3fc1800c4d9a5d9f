"""The pictures of the VAE-GAN: uint8 [height, width, channels], from networks in inference mode.

Source: train.py and validate.py of the original.
"""

import math

import numpy as np
import tensorflow as tf

from shared import image_grids, latent_codes
from vae_gan.config import Config, architecture_of
from vae_gan.data import Data, scale_to_symmetric, scale_to_unit
from vae_gan.networks import Networks

BATCH = 500
PAIRS, BETWEEN = 8, 10  # interpolations: rows, and images between the two real ones
SAMPLES_A_SIDE = 8
RECONSTRUCTIONS, RECONSTRUCTION_COLUMNS = 80, 20
FITTED_TO = 5000  # images, to whose codes a Gaussian is fitted
COEFFICIENTS = (0.25, 0.5, 1.0, 2.0, 3.0)  # of the result of an arithmetic
GAP, GREY = 4, 128  # between the panels of an arithmetic


@tf.function(reduce_retracing=True)  # the last of many images are fewer
def code_distributions(networks: Networks, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and log variance of z, [batch, z_dim], of images [batch, height, width, channels] in [-1, 1]."""
    return networks.encoder(images, training=False)


def encode(networks: Networks, images: tf.Tensor) -> tf.Tensor:
    """The mean of z alone."""
    return code_distributions(networks, images)[0]


@tf.function(reduce_retracing=True)  # the last of many images are fewer
def generate(networks: Networks, z: tf.Tensor) -> tf.Tensor:
    """Images of z [batch, z_dim]: [batch, height, width, channels], in [-1, 1]."""
    return networks.generator(z, training=False)


def encode_all(networks: Networks, images: np.ndarray) -> np.ndarray:
    """The mean of z of any number of images, uint8."""
    starts = range(0, len(images), BATCH)
    batches = [tf.constant(scale_to_symmetric(images[start : start + BATCH])) for start in starts]
    return np.concatenate([encode(networks, batch).numpy() for batch in batches])


def generate_all(networks: Networks, z: np.ndarray | tf.Tensor) -> np.ndarray:
    """The images, in [-1, 1], of any number of z."""
    return np.concatenate(
        [generate(networks, tf.constant(z[start : start + BATCH])).numpy() for start in range(0, len(z), BATCH)]
    )


def code_moments(networks: Networks, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [z_dim] and covariance [z_dim, z_dim] of the codes that the encoder samples for images, uint8.

    Of FITTED_TO of them, spread over all, where there are more.
    """
    chosen = images[np.linspace(0, len(images) - 1, min(FITTED_TO, len(images))).astype(int)]
    starts = range(0, len(chosen), BATCH)
    batches = [tf.constant(scale_to_symmetric(chosen[start : start + BATCH])) for start in starts]
    means, log_variances = zip(*(code_distributions(networks, batch) for batch in batches))
    mean = np.concatenate(means).astype(np.float64)
    noise = np.exp(np.concatenate(log_variances).astype(np.float64)).mean(axis=0)
    return mean.mean(axis=0), np.atleast_2d(np.cov(mean, rowvar=False)) + np.diag(noise)


def fitted(config: Config, mean: np.ndarray, covariance: np.ndarray, number: int) -> np.ndarray:
    """z of a Gaussian, float32 [number, z_dim], that no training step draws.

    Fitted to the codes of real images it leaves out what the prior has and no image's code: where a direction of z is
    hardly used by the encoder, the generator has never been shown what to make of it.
    """
    values, vectors = np.linalg.eigh(covariance)
    noise = tf.random.stateless_normal([number, len(mean)], latent_codes.key(config.seed, -1)).numpy()
    return (mean + noise * np.sqrt(np.maximum(values, 0)) @ vectors.T).astype(np.float32)


def prior(config: Config, number: int) -> tf.Tensor:
    """z of the prior of the config's mode, [number, z_dim], that no training step draws: steps count from 0."""
    architecture, key = architecture_of(config), latent_codes.key(config.seed, -1)
    if architecture.mode == "DC-GAN":
        return tf.random.stateless_uniform([number, architecture.z_dim], key, minval=-1.0)
    return tf.random.stateless_normal([number, architecture.z_dim], key)


def slerp(a: np.ndarray, b: np.ndarray, number: int) -> np.ndarray:
    """Vectors [number, size] on the way from vector a to vector b, both ends included.

    sin((1 - t) c) / sin(c) a + sin(t c) / sin(c) b, for t from 0 to 1, c being the cosine of the angle between them.
    Spherical interpolation has the angle there, which the original means and does not take; its pictures were made so,
    and at right angles it is a straight line.
    Differs: where c is 0, or a vector is, the original gives NaN; here it is that straight line.
    """
    t = np.linspace(0, 1, number, dtype=np.float32)[:, np.newaxis]
    c = float(np.dot(a, b)) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30)
    if abs(c) < 1e-6:
        return (1 - t) * a + t * b
    return ((np.sin((1 - t) * c) * a + np.sin(t * c) * b) / np.sin(c)).astype(np.float32)


def interpolation(networks: Networks, images: np.ndarray) -> np.ndarray:
    """A row for each pair of neighbours in images, uint8: the first, BETWEEN images between their codes, the second."""
    rows = [interpolated(networks, *pair) for pair in scale_to_symmetric(images).reshape([-1, 2, *images.shape[1:]])]
    return image_grids.tile(scale_to_unit(np.concatenate(rows)), BETWEEN + 2)


def interpolated(networks: Networks, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same of one pair, in [-1, 1]: [BETWEEN + 2, height, width, channels]."""
    a, b = encode(networks, tf.stack([first, second])).numpy()
    between = generate(networks, tf.constant(slerp(a, b, BETWEEN))).numpy()
    return np.concatenate([first[np.newaxis], between, second[np.newaxis]])


def samples(networks: Networks, z: np.ndarray | tf.Tensor) -> np.ndarray:
    """The images of z, in a square."""
    return image_grids.tile(scale_to_unit(generate_all(networks, z)), math.isqrt(len(z)))


def of_epoch(networks: Networks, config: Config, data: Data) -> dict[str, np.ndarray]:
    """The two pictures of an epoch, by the ending of their name: "" interpolations, "-dc" samples of the prior.

    Without an encoder only the latter.
    Differs: the images that are interpolated are held-out ones, the same in each epoch, so that epochs can be compared.
    """
    drawn = {"-dc": samples(networks, prior(config, SAMPLES_A_SIDE**2))}
    if architecture_of(config).mode == "VAE-GAN":
        drawn[""] = interpolation(networks, shown(data, 2 * PAIRS))
    return drawn


def shown(data: Data, number: int) -> np.ndarray:
    """`number` held-out images, evenly spread, or as many pairs as there are; training ones where none is held out."""
    images = data.held_out_images if len(data.held_out_images) > 1 else data.train_images
    return images[np.linspace(0, len(images) - 1, min(number, len(images) // 2 * 2)).astype(int)]


# The pictures of evaluate_model.py.


def reconstructions(networks: Networks, images: np.ndarray) -> np.ndarray:
    """Images, uint8, and what the generator makes of their codes, in alternate columns."""
    made = generate_all(networks, encode_all(networks, images))
    cells = np.stack([scale_to_symmetric(images), made], axis=1).reshape([-1, *images.shape[1:]])
    return image_grids.tile(scale_to_unit(cells), RECONSTRUCTION_COLUMNS)


def arithmetic(networks: Networks, images: np.ndarray) -> np.ndarray:
    """The four panels of A - B + C, one below another and apart, each in the middle.

    A, B and C; their reconstructions; G(a (z_A - z_B + z_C)) for each of COEFFICIENTS; A - B + C on pixels.

    Args:
        images: uint8 [3, height, width, channels].
    """
    a, b, c = scale_to_symmetric(images)
    result, z = arithmetic_codes(networks, images)
    panels = [
        np.stack([a, b, c]),
        generate_all(networks, z),
        generate_all(networks, np.outer(COEFFICIENTS, result).astype(np.float32)),
        np.clip(a - b + c, -1, 1)[np.newaxis],
    ]
    height, width, channels = images.shape[1:]
    picture = np.full([len(panels) * (height + GAP) - GAP, len(COEFFICIENTS) * width, channels], GREY, np.uint8)
    for row, panel in enumerate(panels):
        top, left = row * (height + GAP), (picture.shape[1] - len(panel) * width) // 2
        tiled = image_grids.tile(scale_to_unit(panel), len(panel))
        picture[top : top + height, left : left + tiled.shape[1]] = tiled
    return picture


def arithmetic_codes(networks: Networks, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z_A - z_B + z_C, [z_dim], of images, uint8 [3, height, width, channels]; and the three codes, [3, z_dim]."""
    z = encode_all(networks, images)
    return z[0] - z[1] + z[2], z


def sprites(images: np.ndarray) -> np.ndarray:
    """The images, uint8, as the sprite sheet of TensorBoard's projector: as square as it can be."""
    return image_grids.tile(images / np.float32(255), math.ceil(math.sqrt(len(images))))
