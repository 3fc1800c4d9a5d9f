"""The pictures of Bidirectional InfoGAN: uint8 [height, width, 1], from networks in inference mode.

Codes are drawn from the run's seed alone, so the same cells can be compared across steps.
Source: visualization.py and evaluate_model.py of the original.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from bi_infogan.config import Config
from bi_infogan.networks import Networks, code_sizes, encoding
from shared import code_mapping, image_grids, latent_codes
from shared.datasets import mnist
from shared.latent_codes import Codes

BATCH = 1000
ROWS_OF_CODES = 10
ROWS_OF_CONTINUOUS = 5
COLUMNS, LIMIT = 10, 2.0  # of a continuous code's values: how many, and from -2 to 2
RECONSTRUCTIONS = 50
SAMPLES_OF_CATEGORY = 10  # in samples_disc
DIGITS = 10
SAMPLE_COLUMNS = 30
CONFIDENT = 0.996  # probability of its category above which an image shows what a continuous code does
RECONSTRUCTIONS_OF_DIGIT = 20
WRONG_COLUMNS = 20
LABEL_WIDTH = 12  # pixels beside an image
EMPTY = -1  # in a list of images: a cell that stays black


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def generate(networks: Networks, codes: Codes) -> tf.Tensor:
    """Images of the codes, float32 [batch, 28, 28, 1], in [0, 1]."""
    return networks.generator(latent_codes.concatenate(codes), training=False)


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def encode(networks: Networks, images: tf.Tensor) -> Codes:
    """Codes of images [batch, 28, 28, 1] in [0, 1]; categorical ones as probabilities."""
    return encoding(networks.encoder(images, training=False))


def encode_all(networks: Networks, images: np.ndarray) -> Codes:
    """The same of any number of images, uint8 [number, 28, 28], as numpy arrays."""
    parts = [
        encode(networks, tf.constant(mnist.scale_to_unit(images[start : start + BATCH])))
        for start in range(0, len(images), BATCH)
    ]
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def fixed_codes(config: Config, number: int) -> Codes:
    """Codes that no training step draws: steps count from 0."""
    return latent_codes.sample(code_sizes(config), number, latent_codes.key(config.seed, -1))


def grid(networks: Networks, codes: Codes, columns: int) -> np.ndarray:
    """The images of the codes, row by row."""
    return image_grids.tile(generate(networks, codes).numpy(), columns)


def vary_discrete(networks: Networks, config: Config, which: int) -> np.ndarray:
    """A column for each class of categorical code `which`; the ten rows differ in all other codes."""
    classes = config.categorical_sizes[which]
    codes = latent_codes.take(fixed_codes(config, ROWS_OF_CODES), np.repeat(range(ROWS_OF_CODES), classes))
    return grid(networks, latent_codes.with_categories(codes, which, np.tile(range(classes), ROWS_OF_CODES)), classes)


def vary_continuous(networks: Networks, config: Config, which: int) -> np.ndarray:
    """Continuous code `which` from -2 to 2 along each of five rows.

    A row is a class of the first categorical code, and has other codes of its own.
    """
    rows = np.repeat(range(ROWS_OF_CONTINUOUS), COLUMNS)
    codes = latent_codes.take(fixed_codes(config, ROWS_OF_CONTINUOUS), rows)
    if config.categorical_sizes:
        codes = latent_codes.with_categories(codes, 0, rows % config.categorical_sizes[0])
    values = np.tile(np.linspace(-LIMIT, LIMIT, COLUMNS), ROWS_OF_CONTINUOUS)
    return grid(networks, latent_codes.with_continuous(codes, which, values), COLUMNS)


def reconstructions(networks: Networks, images: np.ndarray | tf.Tensor, columns: int = 20) -> np.ndarray:
    """Images [number, 28, 28, 1] in [0, 1] and their G(E(x)) in alternate columns; a black image stays black."""
    images = np.asarray(images)
    decoded = generate(networks, encode(networks, tf.constant(images))).numpy()
    decoded = decoded * images.any(axis=(1, 2, 3), keepdims=True)
    return image_grids.tile(np.stack([images, decoded], axis=1).reshape([-1, *images.shape[1:]]), columns)


def of_step(networks: Networks, config: Config, batch: tf.Tensor) -> dict[str, np.ndarray]:
    """The pictures that the original shows in TensorBoard, by its names."""
    discrete = {
        f"image_categorical_{k}": vary_discrete(networks, config, k) for k in range(len(config.categorical_sizes))
    }
    continuous = {f"image_continuous_{k}": vary_continuous(networks, config, k) for k in range(config.num_continuous)}
    return discrete | continuous | {"image_reconstruction": reconstructions(networks, batch[:RECONSTRUCTIONS])}


def samples(networks: Networks, config: Config, images: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """The real images that show what a code stands for, by path: one picture each code; none without images.

    samples_disc: row k holds the images that activate category k most. samples_cont: a column for each category of the
    first categorical code; above the image with the largest value of the continuous code, below that with the smallest.
    """
    if len(images) == 0:
        return {}
    codes = encode_all(networks, images)
    drawn = {}
    for k, probabilities in enumerate(codes.categorical):
        most = np.argsort(-probabilities, axis=0, kind="stable")[:SAMPLES_OF_CATEGORY]
        cells = [row_of(column, SAMPLES_OF_CATEGORY) for column in most.T]
        drawn[f"samples_disc/{step}_d{k + 1}"] = real(images, cells, SAMPLES_OF_CATEGORY)
    for k, values in enumerate(codes.continuous.T):
        ordered = [members[np.argsort(values[members])] for members in members_of_categories(codes)]
        largest, smallest = ([row_of(order[end:][:1], 1) for order in ordered] for end in (-1, 0))
        drawn[f"samples_cont/{step}_c{k + 1}"] = real(images, [*largest, *smallest], len(ordered))
    return drawn


def members_of_categories(codes: Codes) -> list[np.ndarray]:
    """Which rows of the codes are of each category of the first categorical code; without one, all are of one."""
    if not codes.categorical:
        return [np.arange(len(codes.noise))]
    categories = codes.categorical[0].argmax(axis=1)
    return [np.flatnonzero(categories == category) for category in range(codes.categorical[0].shape[1])]


# The pictures of evaluate_model.py: real test images, chosen by what the encoder makes of them.


def sample_categorical(images: np.ndarray, digits: np.ndarray, seed: int) -> np.ndarray:
    """20 x 30 cells: two rows a digit of random images that are called this digit.

    Args:
        images: uint8 [number, 28, 28].
        digits: int [number], what each image is called.
        seed: of the choice.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    cells = [row_of(order[digits[order] == digit], 2 * SAMPLE_COLUMNS) for digit in range(DIGITS)]
    return real(images, cells, SAMPLE_COLUMNS)


def sample_continuous(images: np.ndarray, digits: np.ndarray, confidence: np.ndarray, values: np.ndarray) -> np.ndarray:
    """20 x 30 cells: for each digit a row of the smallest values of a continuous code, then one of the largest.

    Args:
        images, digits: as for sample_categorical.
        confidence: [number], the probability of each image's category.
        values: [number], the continuous code of each image.
    """
    order = np.argsort(values, kind="stable")
    order = order[confidence[order] > CONFIDENT]
    cells = []
    for digit in range(DIGITS):
        members = order[digits[order] == digit]
        cells += [row_of(members, SAMPLE_COLUMNS), row_of(members[::-1], SAMPLE_COLUMNS)]
    return real(images, cells, SAMPLE_COLUMNS)


def sample_reconstructions(networks: Networks, images: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """20 x 20 cells: two rows of each class of images, uint8 [number, 28, 28], each beside its G(E(x))."""
    order = np.random.default_rng(seed).permutation(len(images))
    cells = [row_of(order[labels[order] == label], RECONSTRUCTIONS_OF_DIGIT) for label in range(DIGITS)]
    return reconstructions(networks, chosen(images, cells))


def wrongly_classified(images: np.ndarray, digits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The images that are called another digit than their label; what each was called is written beside it.

    Rows begin with the label, written dark on light; a label with many wrong images has several.
    """
    pixels = mnist.scale_to_unit(images)
    blank = np.zeros([28, 28 + LABEL_WIDTH, 1], np.float32)
    cells = []
    for label in range(DIGITS):
        wrong = np.flatnonzero((labels == label) & (digits != label))
        for start in range(0, max(1, len(wrong)), WRONG_COLUMNS):
            row = [1 - written(str(label), blank.shape[1], size=20)]
            for index in wrong[start : start + WRONG_COLUMNS]:
                called = "-" if digits[index] == code_mapping.UNMATCHED else str(digits[index])
                row.append(np.concatenate([pixels[index], written(called, LABEL_WIDTH, size=14)], axis=1))
            cells += row + [blank] * (1 + WRONG_COLUMNS - len(row))
    return image_grids.tile(np.stack(cells), columns=1 + WRONG_COLUMNS)


def written(text: str, width: int, size: int) -> np.ndarray:
    """Text in the middle of a black cell, float32 [28, width, 1]."""
    cell = Image.new("L", (width, 28))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(cell).text((width / 2, 14), text, fill=255, font=font, anchor="mm")
    return np.asarray(cell, np.float32)[..., np.newaxis] / 255


def row_of(indices: Sequence[int] | np.ndarray, columns: int) -> np.ndarray:
    """The first `columns` of the indices, filled up with EMPTY."""
    row = np.full(columns, EMPTY)
    row[: len(indices)] = indices[:columns]
    return row


def chosen(images: np.ndarray, rows: Iterable[np.ndarray]) -> np.ndarray:
    """The images, uint8 [number, 28, 28], of rows of indices: float32 [cells, 28, 28, 1]; EMPTY gives black."""
    indices = np.concatenate(list(rows))
    return mnist.scale_to_unit(images[indices]) * (indices != EMPTY).astype(np.float32)[:, None, None, None]


def real(images: np.ndarray, rows: Iterable[np.ndarray], columns: int) -> np.ndarray:
    """The images of rows of indices as one picture."""
    return image_grids.tile(chosen(images, rows), columns)
