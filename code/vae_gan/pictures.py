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
COEFFICIENTS = (0.25, 0.5, 1.0, 2.0, 3.0)  # of the result of an arithmetic
GAP, GREY = 4, 128  # between the panels of an arithmetic


@tf.function(reduce_retracing=True)  # the last of many images are fewer
def encode(networks: Networks, images: tf.Tensor) -> tf.Tensor:
    """The mean of z, [batch, z_dim], of images [batch, height, width, channels] in [-1, 1]."""
    return networks.encoder(images, training=False)[0]


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


def samples(networks: Networks, config: Config, columns: int = SAMPLES_A_SIDE) -> np.ndarray:
    """Images of z of the prior, `columns` squared."""
    return image_grids.tile(scale_to_unit(generate_all(networks, prior(config, columns**2))), columns)


def of_epoch(networks: Networks, config: Config, data: Data) -> dict[str, np.ndarray]:
    """The two pictures of an epoch, by the ending of their name: "" interpolations, "-dc" samples of the prior.

    Without an encoder only the latter.
    Differs: the images that are interpolated are held-out ones, the same in each epoch, so that epochs can be compared.
    """
    drawn = {"-dc": samples(networks, config)}
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
