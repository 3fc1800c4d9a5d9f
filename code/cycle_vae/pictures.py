"""The pictures of the cycle-consistent VAE: uint8 [height, width, channels], from networks in inference mode.

z is always its mean here, never sampled.
Source: train_512_64_in.py, style_transfer_grid.ipynb, interpolation.ipynb, spec_to_unspec_analysis.ipynb and
unspec_to_spec_analysis.ipynb of the sprites program.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cycle_vae import pairs
from cycle_vae.config import Config
from cycle_vae.networks import Networks
from cycle_vae.pairs import PairedImages
from shared import image_grids

COLUMNS = 8
GRID_IMAGES = 2 * COLUMNS
INTERPOLATION_STEPS = 8


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def encode(networks: Networks, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean and log variance of z, and s, of images [batch, height, width, channels] in [0, 1]."""
    return networks.encoder(images, training=False)


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def decode(networks: Networks, z: tf.Tensor, s: tf.Tensor) -> tf.Tensor:
    """Images [batch, height, width, channels] of codes [batch, style_dim] and [batch, class_dim]."""
    return networks.decoder([z, s], training=False)


def grids(networks: Networks, config: Config, data: PairedImages) -> dict[str, np.ndarray]:
    """The originals' four grids of 2 x 8 training images, the same images in every epoch.

    original: images; target: their z with the s of the other image of the pair, which ought to look the same;
    style: other images; style_target: the z of these with the s of the first.
    """
    size = min(GRID_IMAGES, data.number)
    first = pairs.batch(data, 0, size, config.seed)
    style = first.reverse_image_1
    _, _, s = encode(networks, tf.constant(first.image_2))
    pictures = {"original": first.image_1, "target": None, "style": style, "style_target": None}
    for name, images in (("target", first.image_1), ("style_target", style)):
        mean, _, _ = encode(networks, tf.constant(images))
        pictures[name] = decode(networks, mean, s).numpy()
    return {name: image_grids.tile(images, COLUMNS) for name, images in pictures.items()}


def loss_plot(curves: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Each loss's mean over an epoch, epoch by epoch, one plot above the other; curves: [epochs, losses].

    Source: the plot of livelossplot in the sprites program, whose figures are larger by the batch size.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # seconds to import, and wanted once an epoch
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), layout="constrained")
    axes = figure.subplots(len(names), sharex=True)
    for axis, values, name in zip(axes, curves.T, names):
        axis.plot(values, marker="." if len(values) == 1 else "")  # a line of one point would not be seen
        axis.set_title(f"{name}: {values[-1]:.4g}")
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("epoch")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


# The pictures of evaluate_model.py; images are float32 [number, height, width, channels], in [0, 1].


def style_transfer(networks: Networks, images: np.ndarray) -> np.ndarray:
    """A grid whose first row are the images that s is taken from, and its first column those that z is taken from.

    The first half of the images makes the row, the second the column; of 16 images the grid is 9 x 9.
    """
    row, column = np.split(images, 2)
    _, _, s = encode(networks, tf.constant(row))
    mean, _, _ = encode(networks, tf.constant(column))
    rows = [np.concatenate([np.zeros_like(row[:1]), row])]
    for image, z in zip(column, mean):
        transferred = decode(networks, tf.repeat(z[tf.newaxis], len(row), axis=0), s).numpy()
        rows.append(np.concatenate([image[np.newaxis], transferred]))
    return image_grids.tile(np.concatenate(rows), 1 + len(row))


def interpolation(networks: Networks, images: np.ndarray) -> np.ndarray:
    """8 x 8 images between two: s goes from the first's to the second's along each row, z down each column.

    The two corners where both codes are an image's own show that image itself.
    """
    mean, _, s = encode(networks, tf.constant(images))
    share = np.linspace(0, 1, INTERPOLATION_STEPS, dtype=np.float32)[:, np.newaxis]
    between = [(1 - share) * code[:1].numpy() + share * code[1:].numpy() for code in (mean, s)]
    z, s = np.repeat(between[0], INTERPOLATION_STEPS, axis=0), np.tile(between[1], [INTERPOLATION_STEPS, 1])
    cells = decode(networks, tf.constant(z), tf.constant(s)).numpy()
    cells[0], cells[-1] = images
    return image_grids.tile(cells, INTERPOLATION_STEPS)


def reconstructions(networks: Networks, images: np.ndarray) -> np.ndarray:
    """Rows of eight images, each row above the row of what is decoded from their own z and s."""
    mean, _, s = encode(networks, tf.constant(images))
    return above(images, decode(networks, mean, s).numpy())


def predictions(networks: Networks, s_from_z, z_from_s, images: np.ndarray) -> dict[str, np.ndarray]:
    """Eight images above what is decoded from one of their codes and the prediction of the other from it, 2 x 8."""
    mean, _, s = encode(networks, tf.constant(images))
    from_z = decode(networks, mean, s_from_z(mean, training=False)).numpy()
    from_s = decode(networks, z_from_s(s, training=False), s).numpy()
    return {"predicted_s_from_z": above(images, from_z), "predicted_z_from_s": above(images, from_s)}


def above(images: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Rows of eight images, each row above the row of the others."""
    parts = [(images[k : k + COLUMNS], decoded[k : k + COLUMNS]) for k in range(0, len(images), COLUMNS)]
    return image_grids.tile(np.concatenate([row for pair in parts for row in pair]), min(COLUMNS, len(images)))
