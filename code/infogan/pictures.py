"""The pictures of InfoGAN: uint8 [height, width, channels], from a generator in inference mode.

Codes are drawn from the run's seed alone, so the same cells can be compared across epochs.
"""

import numpy as np
import tensorflow as tf

from infogan.config import Config
from infogan.networks import Networks, code_sizes
from shared import image_grids, latent_codes
from shared.latent_codes import Codes

ROWS_WITHOUT_CATEGORIES = 5


@tf.function(reduce_retracing=True)  # pictures differ in their number of images
def generate(networks: Networks, codes: Codes) -> tf.Tensor:
    """Images of the codes, float32 [batch, height, width, channels], in [-1, 1]."""
    return networks.generator([latent_codes.concatenate(codes), tf.zeros([2], tf.int32)], training=False)


def fixed_codes(config: Config, number: int) -> Codes:
    """Codes that no training step draws: steps count from 0."""
    return latent_codes.sample(code_sizes(config), number, latent_codes.key(config.seed, -1))


def grid(networks: Networks, codes: Codes, columns: int) -> np.ndarray:
    """The images of the codes, row by row."""
    return image_grids.tile((generate(networks, codes).numpy() + 1) / 2, columns)


def random_sampling(networks: Networks, config: Config) -> np.ndarray:
    """10 x 10 images of random codes."""
    return grid(networks, fixed_codes(config, 100), columns=10)


def vary_discrete(networks: Networks, config: Config, which: int) -> np.ndarray:
    """A row for each class of categorical code `which`, 10 samples each."""
    classes = config.categorical_sizes[which]
    codes = fixed_codes(config, 10 * classes)
    return grid(networks, latent_codes.with_categories(codes, which, np.repeat(range(classes), 10)), columns=10)


def vary_continuous(networks: Networks, config: Config, which: int, limit: float, columns: int = 10) -> np.ndarray:
    """Continuous code `which` from -limit to limit along each row.

    A row is a class of the first categorical code, and all rows share the other codes; where there is no
    categorical code, each of five rows has other codes of its own.
    """
    if config.categorical_sizes:
        rows = config.categorical_sizes[0]
        codes = latent_codes.take(fixed_codes(config, 1), np.zeros(rows * columns, int))
        codes = latent_codes.with_categories(codes, 0, np.repeat(range(rows), columns))
    else:
        rows = ROWS_WITHOUT_CATEGORIES
        codes = latent_codes.take(fixed_codes(config, rows), np.repeat(range(rows), columns))
    values = np.tile(np.linspace(-limit, limit, columns), rows)
    return grid(networks, latent_codes.with_continuous(codes, which, values), columns)


def interpolate(networks: Networks, config: Config, rows: int = 10, columns: int = 10) -> np.ndarray:
    """Along each row from one generated image to another: all parts of the code mixed linearly."""
    codes = fixed_codes(config, 2 * rows)
    start = latent_codes.take(codes, np.repeat(range(rows), columns))
    end = latent_codes.take(codes, np.repeat(range(rows, 2 * rows), columns))
    share = tf.constant(np.tile(np.linspace(0, 1, columns), rows)[:, np.newaxis], tf.float32)
    mixed = tf.nest.map_structure(lambda a, b: (1 - share) * a + share * b, start, end)
    return grid(networks, mixed, columns)


def of_epoch(networks: Networks, config: Config) -> dict[str, np.ndarray]:
    """The pictures that the original draws after every epoch, by name."""
    discrete = {f"vary_discrete_{k}": vary_discrete(networks, config, k) for k in range(len(config.categorical_sizes))}
    continuous = {
        f"interp_cont_{k}": vary_continuous(networks, config, k, limit=1.0) for k in range(config.num_continuous)
    }
    return {"random_sampling": random_sampling(networks, config)} | discrete | continuous
