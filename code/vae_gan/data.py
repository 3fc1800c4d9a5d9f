"""What is trained on and what is held out, of either data set. Imports no TensorFlow."""

from typing import NamedTuple

import numpy as np

from shared.datasets import batches, cns, mnist
from shared.flags import require
from vae_gan.config import Config, architecture_of

HELD_OUT_SEED = 0  # not the run's: runs of different seeds are measured on the same characters
DIGIT_SIZE = 32


class Data(NamedTuple):
    """Images uint8 [number, height, width, channels], in the architecture's size.

    Names are what --arithmetic calls them by: characters, or the file's name; digits have the set and their number,
    train0 or test0. Labels are what the judge of the Frechet distance tells apart: digits, or radicals; other
    pictures have cns.NO_RADICAL.
    """

    train_images: np.ndarray
    train_names: tuple[str, ...]
    train_labels: np.ndarray  # int64 [number]
    held_out_images: np.ndarray
    held_out_names: tuple[str, ...]
    held_out_labels: np.ndarray
    number_of_images: int  # in which epochs are counted
    sha256: str

    def everything(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and images of both sets, the held-out ones first."""
        return self.held_out_names + self.train_names, np.concatenate([self.held_out_images, self.train_images])


def load(data_set: str, config: Config) -> Data:
    """The data of a run: "cns" or "mnist".

    Raises:
        UserError: they are missing, damaged, not of the architecture's size, or fewer than a batch, or than two.
    """
    data = {"cns": characters, "mnist": digits}[data_set](config)
    batches.steps_per_epoch(len(data.train_images), config.batch_size)  # refuses a batch larger than the data
    pictured = max(len(data.train_images), len(data.held_out_images))
    require(pictured > 1, "the data is one image, or two of which one is held out: too few for a picture of two")
    return data


def characters(config: Config) -> Data:
    """Pictures of characters, or any folder of pictures; --held_out of them are drawn and held out."""
    path = config.data_dir or cns.default_path()
    require(not config.unverified_data, "--unverified_data: pictures of characters are never verified; leave it out")
    require(config.data_dir is not None or path.exists(),
            f"{path} is not there: make it with make_cns.py, or give --data_dir a folder of pictures")  # fmt: skip
    found = cns.read(path, architecture_of(config).hwc)
    split = cns.split(found, config.held_out, HELD_OUT_SEED)
    return Data(
        split.train_images, split.train_names, cns.radicals(split.train_names),
        split.held_out_images, split.held_out_names, cns.radicals(split.held_out_names),
        len(found.names), found.sha256,
    )  # fmt: skip


def digits(config: Config) -> Data:
    """MNIST, with a black border that makes 32 x 32 of 28 x 28; the test images are held out."""
    hwc = architecture_of(config).hwc
    require(hwc == (DIGIT_SIZE, DIGIT_SIZE, 1), f"--architecture: hwc is {list(hwc)}: digits need [32, 32, 1]")
    found = mnist.load(config.data_dir, unverified=config.unverified_data)
    train, test = found.train_labels.astype(np.int64), found.test_labels.astype(np.int64)
    return Data(
        padded(found.train_images), tuple(f"train{k}" for k in range(len(train))), train,
        padded(found.test_images), tuple(f"test{k}" for k in range(len(test))), test,
        len(train), found.sha256,
    )  # fmt: skip


def padded(images: np.ndarray) -> np.ndarray:
    """Digits, uint8 [number, 28, 28], in the middle of 32 x 32 pixels: uint8 [number, 32, 32, 1]."""
    border = (DIGIT_SIZE - images.shape[1]) // 2
    return np.pad(images, [(0, 0), (border, border), (border, border)])[..., np.newaxis]


def scale_to_symmetric(images: np.ndarray) -> np.ndarray:
    """Images, uint8, as float32 of the same shape in [-1, 1]."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def scale_to_unit(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as ones in [0, 1], what pictures are tiled of."""
    return (np.asarray(images) + 1) / 2
