"""The pictures of image generation and translation: uint8 [height, width, 1], from networks in inference mode.

Codes and test images are drawn from the run's seed alone, so the same cells can be compared across steps.
Source: visualization.py and evaluate_model.py of the original.
"""

import numpy as np
import tensorflow as tf

from image_translation.config import DIGITS, Config
from image_translation.networks import Networks, code_sizes, encoding
from shared import image_grids, latent_codes
from shared.datasets import mnist
from shared.flags import require
from shared.latent_codes import Codes

COLUMNS, LIMIT = 10, 2.0  # of a continuous code's values: how many, and from -2 to 2
ROWS_OF_CONTINUOUS = 5  # while it trains
RECONSTRUCTIONS = 50
TRANSLATED_TO = (-1.0, 0.0, 1.0)  # values of a continuous code
INTERPOLATIONS = 10
SHARES = np.arange(1, 10) / 10  # of the end in each step between


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def generate(networks: Networks, codes: Codes) -> tf.Tensor:
    """Images of the codes, float32 [batch, 28, 28, 1], in [0, 1]."""
    return networks.generator(latent_codes.concatenate(codes), training=False)


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def encode(networks: Networks, images: tf.Tensor) -> Codes:
    """Codes of images [batch, 28, 28, 1] in [0, 1]; the categorical one as probabilities."""
    return encoding(networks.encoder(images, training=False))


def fixed_codes(config: Config, number: int) -> Codes:
    """Codes that no training step draws: steps count from 0."""
    return latent_codes.sample(code_sizes(config), number, latent_codes.key(config.seed, -1))


def grid(networks: Networks, codes: Codes, columns: int) -> np.ndarray:
    """The images of the codes, row by row."""
    return image_grids.tile(generate(networks, codes).numpy(), columns)


def vary_discrete(networks: Networks, config: Config) -> np.ndarray:
    """10 x 10 cells: a column for each digit; the rows differ in all other codes."""
    codes = latent_codes.take(fixed_codes(config, 10), np.repeat(range(10), DIGITS))
    return grid(networks, latent_codes.with_categories(codes, 0, np.tile(range(DIGITS), 10)), DIGITS)


def vary_continuous(networks: Networks, config: Config, which: int, rows: int) -> np.ndarray:
    """Ten columns: continuous code `which` from -2 to 2; a row is a digit, and has other codes of its own."""
    digits = np.repeat(range(rows), COLUMNS)
    codes = latent_codes.with_categories(latent_codes.take(fixed_codes(config, rows), digits), 0, digits)
    values = np.tile(np.linspace(-LIMIT, LIMIT, COLUMNS), rows)
    return grid(networks, latent_codes.with_continuous(codes, which, values), COLUMNS)


def of_step(networks: Networks, config: Config, batch: tf.Tensor) -> dict[str, np.ndarray]:
    """The pictures that the original shows in TensorBoard, by its names; reconstructions in alternate columns."""
    images = batch[:RECONSTRUCTIONS]
    pairs = tf.stack([images, generate(networks, encode(networks, images))], axis=1)
    drawn = {
        f"image_continuous_{k}": vary_continuous(networks, config, k, ROWS_OF_CONTINUOUS)
        for k in range(config.num_continuous)
    }
    return drawn | {
        "image_categorical": vary_discrete(networks, config),
        "image_reconstruction": image_grids.tile(tf.reshape(pairs, [-1, *images.shape[1:]]).numpy(), columns=20),
    }


# The pictures of evaluate_model.py.


def generated(networks: Networks, config: Config) -> dict[str, np.ndarray]:
    """The pictures of --generate, by name."""
    drawn = {
        f"generated_imgs_cont_{k}": vary_continuous(networks, config, k, DIGITS) for k in range(config.num_continuous)
    }
    return {"generated_imgs_categorical": vary_discrete(networks, config)} | drawn


def translations(networks: Networks, config: Config, data: mnist.Mnist) -> dict[str, np.ndarray]:
    """The pictures of --translate, by name: a row begins with a test image, one of each digit.

    categorical_translations: then this image as each of the ten digits, the rest of its code kept, 10 x 11 cells.
    continuous_translations: then with a continuous code set to -1, 0 and 1, the first one and the next, 10 x 7 cells.
    """
    images = tf.constant(one_of_each(data, config.seed))
    codes = encode(networks, images)
    as_digits = [latent_codes.with_categories(codes, 0, [digit] * DIGITS) for digit in range(DIGITS)]
    as_values = [
        latent_codes.with_continuous(codes, k, [value] * DIGITS)
        for k in range(config.num_continuous)
        for value in TRANSLATED_TO
    ]
    return {
        "categorical_translations": columns_of([images, *(generate(networks, codes) for codes in as_digits)]),
        "continuous_translations": columns_of([images, *(generate(networks, codes) for codes in as_values)]),
    }


def interpolation(networks: Networks, config: Config, data: mnist.Mnist, start: int, end: int) -> np.ndarray:
    """10 x 11 cells: a row goes from a test image of digit `start` to one of digit `end`.

    Between the two images stand nine of codes mixed linearly, from 0.1 to 0.9 of the end's: noise and continuous codes
    are those that the encoder gives the images, the category is `start` and `end`, whatever it takes them for.
    """
    of_start = images_of(data, start, INTERPOLATIONS, config.seed)
    of_end = images_of(data, end, INTERPOLATIONS, config.seed + 1)  # another choice, where both are the same digit
    a, b = (
        latent_codes.with_categories(encode(networks, tf.constant(images)), 0, [digit] * INTERPOLATIONS)
        for images, digit in ((of_start, start), (of_end, end))
    )
    between = [
        generate(networks, tf.nest.map_structure(lambda a, b, share=share: (1 - share) * a + share * b, a, b))
        for share in SHARES
    ]
    return columns_of([of_start, *between, of_end])


def reconstructions(networks: Networks, config: Config, data: mnist.Mnist) -> np.ndarray:
    """2 x 10 cells: a test image of each digit above its G(E(x))."""
    images = one_of_each(data, config.seed)
    decoded = generate(networks, encode(networks, tf.constant(images))).numpy()
    return image_grids.tile(np.concatenate([images, decoded]), DIGITS)


def images_of(data: mnist.Mnist, digit: int, number: int, seed: int) -> np.ndarray:
    """Random test images of a digit: float32 [number, 28, 28, 1], in [0, 1].

    Raises:
        UserError: there are fewer.
    """
    found = np.random.default_rng(seed).permutation(np.flatnonzero(data.test_labels == digit))
    require(len(found) >= number, f"the test images hold {len(found)} of digit {digit}; the picture needs {number}")
    return mnist.scale_to_unit(data.test_images[found[:number]])


def one_of_each(data: mnist.Mnist, seed: int) -> np.ndarray:
    """A random test image of each digit, in their order: float32 [10, 28, 28, 1], in [0, 1]."""
    return np.concatenate([images_of(data, digit, 1, seed) for digit in range(DIGITS)])


def columns_of(columns: list) -> np.ndarray:
    """One picture of columns of images, [rows, 28, 28, 1] each."""
    cells = np.stack([np.asarray(column) for column in columns], axis=1)
    return image_grids.tile(cells.reshape([-1, *cells.shape[2:]]), len(columns))
