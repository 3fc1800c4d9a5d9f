"""What is measured of a trained cycle-consistent VAE: what its codes tell of identity, and of each other.

Source: spec_to_unspec_analysis.ipynb and unspec_to_spec_analysis.ipynb of the sprites program, and those of probes.py.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cycle_vae import pictures, probes
from cycle_vae.config import Config
from cycle_vae.networks import Networks
from cycle_vae.pairs import scale_to_unit
from cycle_vae.probes import Codes, stratified_split
from shared.datasets.mnist import Mnist
from shared.datasets.sprites import Sprites, split
from shared.flags import require

BATCH = 500
S_FROM_Z, Z_FROM_S = (256, 128), (128, 256)  # units between the two codes


class Labelled(NamedTuple):
    """Images and what is known of them.

    Attributes:
        images: uint8 [number, height, width, channels]; may be memory-mapped.
        identities: int [number].
        held_out: bool [number], which images the networks were not trained on.
        factors: int [number] by name: what else is known of each image.
    """

    images: np.ndarray
    identities: np.ndarray
    held_out: np.ndarray
    factors: dict[str, np.ndarray]


def labelled_sprites(data: Sprites) -> Labelled:
    """Every frame, by character; the factors are the characters' attributes, and animation and direction."""
    number, frames = data.frames.shape[:2]
    _, tests = split(number)
    factors = {}
    for name in ("sex", "body", "legs", "torso", "hair"):
        if all(name in worn for worn in data.characters):  # the original's files do not say
            factors[name] = np.repeat(_numbered([worn[name] for worn in data.characters]), frames)
    for name in ("animation", "direction"):
        if all(name in pose for pose in data.poses):
            factors[name] = np.tile(_numbered([pose[name] for pose in data.poses]), number)
    identities = np.repeat(np.arange(number), frames)
    images = data.frames.reshape(-1, *data.frames.shape[2:])
    return Labelled(images, identities, np.isin(identities, tests), factors)


def labelled_mnist(data: Mnist) -> Labelled:
    """All 70,000 images; the 10,000 of the test set are held out."""
    images = np.concatenate([data.train_images, data.test_images])[..., np.newaxis]
    identities = np.concatenate([data.train_labels, data.test_labels])
    return Labelled(images, identities.astype(int), np.arange(len(images)) >= len(data.train_images), {})


def labelled(data: Sprites | Mnist) -> Labelled:
    """Every image of either data set, the training's and the held-out ones."""
    return labelled_sprites(data) if isinstance(data, Sprites) else labelled_mnist(data)


def _numbered(values: list) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def held_out(labelled: Labelled, seed: int, number: int) -> np.ndarray:
    """Images that the networks were not trained on, of as many identities as can be: float32 in [0, 1].

    Args:
        labelled: what to choose from.
        seed: of the choice.
        number: of images.
    Raises:
        UserError: there are not as many.
    """
    found = np.count_nonzero(labelled.held_out)
    require(found >= number, f"a picture needs {number} images that nothing was trained on; the data has {found}")
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labelled.held_out))
    _, firsts = np.unique(labelled.identities[rows], return_index=True)
    order = np.concatenate([np.sort(firsts), np.setdiff1d(np.arange(len(rows)), firsts)])
    return scale_to_unit(labelled.images[rows[order[:number]]])


def encode_all(networks: Networks, images: np.ndarray) -> Codes:
    """Codes of any number of images, uint8; each is encoded once, and z's samples are drawn later."""
    starts = range(0, len(images), BATCH)
    parts = [pictures.encode(networks, tf.constant(scale_to_unit(images[k : k + BATCH]))) for k in starts]
    return Codes(*(np.concatenate(arrays) for arrays in zip(*parts)))


def quick_probes(networks: Networks, config: Config, labelled: Labelled, epochs: int | None = None) -> dict[str, float]:
    """How well z, and s, tell identity and each factor, by probes of seconds that every training ends with.

    The quick protocol: standardised codes, dense 256, 256 with batch norm, batches of 256, 10 epochs, or `epochs` if
    that is less.

    Returns:
        quick_z_accuracy, quick_s_accuracy and quick_chance: of identity, on images that the networks were not trained
        on, those of MNIST's test set and all frames of the test characters; two thirds train the probe. Then for each
        factor <factor>_z, <factor>_s and <factor>_chance, trained on the training characters and tested on the test
        characters.
    """
    training = probes.cut_short(probes.QUICK, epochs)
    codes, tests = encode_all(networks, labelled.images), np.flatnonzero(labelled.held_out)
    identities = _numbered(labelled.identities[tests])
    of_tests = Codes(*(np.asarray(part)[tests] for part in codes))
    rows = stratified_split(identities)
    of_tests = probes.standardised(of_tests, rows[0])
    found = probes.probe(of_tests, identities, rows, training, config, "Identity, quick probe")
    numbers = {f"quick_{name}": found[name] for name in ("z_accuracy", "s_accuracy", "chance")}
    rows = np.flatnonzero(~labelled.held_out), tests
    codes = probes.standardised(codes, rows[0])
    for factor, labels in labelled.factors.items():
        found = probes.probe(codes, labels, rows, training, config, factor)
        numbers |= {f"{factor}_{code}": found[f"{code}_accuracy"] for code in ("z", "s")}
        numbers[f"{factor}_chance"] = found["chance"]
    return numbers


def classify(
    networks: Networks,
    config: Config,
    labelled: Labelled,
    epochs: int | None,
    earlier: dict[str, float],
    folder: Path | None,
) -> Iterator[dict[str, float]]:
    """How well s and z tell identity, by the published protocols: a probe after the other, as each may take hours.

    Args:
        earlier: numbers of the same weights; a probe whose numbers are among them is not trained again.
        folder: of these weights, where a probe that is stopped goes on from; None keeps nothing.
    Yields:
        s_accuracy, then z_accuracy, and chance, by the protocol whose figures are published for these data, and by the
        other with another ending. Of sprites the first is the course project's, on all images, and _test_identities,
        the shorter and so measured before it, is on the characters that the networks were not trained on; of MNIST it
        is the paper's, trained on the training images and tested on the test images, and _all_images is the course
        project's.
    """
    codes, identities = encode_all(networks, labelled.images), labelled.identities
    held_out, training_images = np.flatnonzero(labelled.held_out), np.flatnonzero(~labelled.held_out)
    all_images = codes, identities, stratified_split(identities)
    if config.data_set == "sprites":
        theirs, labels = Codes(*(np.asarray(part)[held_out] for part in codes)), _numbered(identities[held_out])
        protocols = {"_test_identities": (theirs, labels, stratified_split(labels)), "": all_images}
    else:
        protocols = {"": (codes, identities, (training_images, held_out)), "_all_images": all_images}
    training = probes.cut_short(probes.COURSE_PROJECT if config.data_set == "sprites" else probes.MNIST, epochs)
    for ending, measured in protocols.items():
        for code in ("s", "z"):
            names = [f"{name}{ending}" for name in (f"{code}_accuracy", f"{code}_accuracy_best_epoch", "chance")]
            if earlier.keys() >= set(names):
                print(f"{names[0]}: {earlier[names[0]]:.4f}, measured earlier", file=sys.stderr)
                yield {name: earlier[name] for name in names}
            else:
                own_folder = folder and folder / names[0]
                found = probes.probe_code(code, *measured, training, config, f"Identity{ending}", own_folder)
                yield {f"{name}{ending}": value for name, value in found.items()}


def digest(network: keras.Model) -> str:
    """Hex digits that tell its weights from others."""
    return hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in network.weights)).hexdigest()[:12]


def predictors(networks: Networks, config: Config, labelled: Labelled, epochs: int | None):
    """Networks that predict s from z and z from s, and their errors on the test third of all images.

    Both take z to be its mean: a sample's noise could not be predicted from anything.

    Returns:
        z_to_s_error and s_to_z_error, mean squared errors after the last epoch, and _best_epoch, the least; the two
        networks, s from z and z from s, as after the last.
    """
    codes = encode_all(networks, labelled.images)
    rows = stratified_split(labelled.identities)
    numbers, trained = {}, []
    for name, hidden, given, wanted in (
        ("z_to_s_error", S_FROM_Z, codes.mean, codes.s),
        ("s_to_z_error", Z_FROM_S, codes.s, codes.mean),
    ):
        keras.utils.set_random_seed(config.seed)
        training = probes.cut_short(probes.COURSE_PROJECT._replace(hidden=hidden), epochs)
        network = probes.perceptron(given.shape[1], wanted.shape[1], training)
        errors = probes.fit(network, Codes(given, None), wanted, rows, probes.regression, training, config.seed, name)
        numbers |= {name: float(errors[-1]), f"{name}_best_epoch": float(errors.min())}
        trained.append(network)
    return numbers, trained


def unseen_by_predictors(labelled: Labelled) -> Labelled:
    """The same images, of which fewer count as held out: those alone that the predictors were not trained on either."""
    _, tests = stratified_split(labelled.identities)
    return labelled._replace(held_out=labelled.held_out & np.isin(np.arange(len(labelled.images)), tests))


def earlier_numbers(folder: Path, **weights) -> dict[str, float]:
    """What evaluation.json in the folder has; nothing where it is of other weights than these, or damaged.

    Args:
        weights: what it must say of them: step, and encoder, a `digest`, where it does not lie beside them.
    """
    try:
        numbers = json.loads((folder / "evaluation.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    its = isinstance(numbers, dict) and all(numbers.pop(name, None) == value for name, value in weights.items())
    return numbers if its else {}


def report(numbers: dict) -> str:
    """The numbers as a person reads them."""
    lines = [f"{name:38s} {value:.4f}" for name, value in numbers.items()]
    if "quick_z_accuracy" in numbers:
        z, s, none = (numbers[f"quick_{name}"] for name in ("z_accuracy", "s_accuracy", "chance"))
        lines.append(f"z's leak: identity is told from z {z:.2%}, from s {s:.2%}, by chance {none:.2%} (quick probe)")
    return "\n".join(lines)
