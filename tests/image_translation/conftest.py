"""Networks of a layer or two, with the inputs and outputs of the real ones, for tests that are not about them."""

import keras
import pytest
from keras import layers

from image_translation.config import DIGITS
from image_translation.networks import Networks, code_sizes
from shared.keyed_noise import KeyedDropout, KeyedGaussianNoise, key_input


def build_tiny_networks(config):
    keras.utils.set_random_seed(config.seed)
    code, image, key = keras.Input([code_sizes(config).total]), keras.Input([28, 28, 1]), key_input()
    pixels = layers.Flatten()(image)
    generated = layers.Reshape([28, 28, 1])(layers.Dense(784, "sigmoid")(code))
    heads = [layers.Dense(units)(pixels) for units in (config.num_z, DIGITS, config.num_continuous)]
    noisy = KeyedGaussianNoise(config.noise, number=0)([layers.Dense(8)(layers.Concatenate()([pixels, code])), key])
    return Networks(
        keras.Model(code, generated, name="generator"),
        keras.Model(image, heads, name="encoder"),
        keras.Model([image, code, key], layers.Dense(1)(noisy), name="discriminator"),
    )


def build_tiny_judge(seed=0):
    keras.utils.set_random_seed(seed)
    image, key = keras.Input([28, 28, 1]), key_input()
    x = KeyedDropout(0.5, number=0)([layers.Flatten()(image), key])
    return keras.Model([image, key], layers.Dense(DIGITS)(x), name="judge")


@pytest.fixture(scope="session")
def tiny_networks():
    return build_tiny_networks


@pytest.fixture(scope="session")
def tiny_judge():
    return build_tiny_judge
