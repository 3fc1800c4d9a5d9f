"""What is measured of a trained cycle-consistent VAE: what its codes tell of identity, and of each other.

Source: specified_latent_space_classification.py, unspecified_latent_space_classification.py,
spec_to_unspec_analysis.ipynb and unspec_to_spec_analysis.ipynb of the sprites program; table 1 of arXiv 1804.10469.
"""

import math
import sys
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cycle_vae import pictures
from cycle_vae.config import Config
from cycle_vae.networks import Networks, leaky_relu
from cycle_vae.pairs import scale_to_unit
from shared import latent_codes
from shared.datasets.mnist import Mnist
from shared.datasets.sprites import Sprites, split
from shared.fused_layers import FusedAdam, FusedBatchNormalization

BATCH = 500
TEST_SHARE = 0.33
SPLIT_SEED = 42
WEIGHT_DECAY = 1e-4
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


class Codes(NamedTuple):
    """What the encoder makes of images, float32: z's mean and log variance [number, style_dim], s [number, class_dim].

    As a probe's input: z alone has a log variance, and is sampled anew each time it is used.
    """

    mean: np.ndarray
    log_variance: np.ndarray | None
    s: np.ndarray | None = None


class Training(NamedTuple):
    """How a probe or a predictor is trained: Adam 1e-3, weight decay 1e-4."""

    hidden: tuple[int, ...]
    batch_norm: bool
    batch_size: int
    epochs: int


COURSE_PROJECT = Training(hidden=(2048, 1024), batch_norm=False, batch_size=16, epochs=200)
MNIST = Training(hidden=(256, 256), batch_norm=True, batch_size=64, epochs=200)
QUICK = Training(hidden=(256, 256), batch_norm=True, batch_size=256, epochs=10)


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


def _numbered(values: list) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def held_out(labelled: Labelled, seed: int, number: int) -> np.ndarray:
    """Images that the networks were not trained on, of as many identities as can be: float32 in [0, 1].

    Args:
        labelled: what to choose from.
        seed: of the choice.
        number: of images.
    """
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labelled.held_out))
    _, firsts = np.unique(labelled.identities[rows], return_index=True)
    order = np.concatenate([np.sort(firsts), np.setdiff1d(np.arange(len(rows)), firsts)])
    return scale_to_unit(labelled.images[rows[order[:number]]])


def encode_all(networks: Networks, images: np.ndarray) -> Codes:
    """Codes of any number of images, uint8; each is encoded once, and z's samples are drawn later."""
    starts = range(0, len(images), BATCH)
    parts = [pictures.encode(networks, tf.constant(scale_to_unit(images[k : k + BATCH]))) for k in starts]
    return Codes(*(np.concatenate(arrays) for arrays in zip(*parts)))


def stratified_split(identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on, 67 to 33, with the same shares of each identity but for rounding.

    Source: train_test_split(test_size=0.33, stratify=labels): 39,474 of 119,616 frames are for testing.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(identities))
    order = order[np.argsort(identities[order], kind="stable")]  # of each identity in turn, its images shuffled
    _, counts = np.unique(identities, return_counts=True)
    place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    order = order[np.argsort(place, kind="stable")]  # the first of each identity, then the second of each, ...
    tests = math.ceil(TEST_SHARE * len(identities))
    return np.sort(order[tests:]), np.sort(order[:tests])


# Probes and predictors


def perceptron(inputs: int, outputs: int, training: Training) -> keras.Model:
    """Dense layers with leaky ReLU 0.2 between them, in float32 whatever the measured networks were built in."""
    codes = keras.Input([inputs])
    x = codes
    for units in training.hidden:
        x = keras.layers.Dense(units, dtype="float32")(x)
        if training.batch_norm:
            x = FusedBatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32")(x)
        x = leaky_relu(x)
    return keras.Model(codes, keras.layers.Dense(outputs, dtype="float32")(x))


def cut_short(training: Training, epochs: int | None) -> Training:
    """The same with at most so many epochs, where a number is given."""
    return training._replace(epochs=min(training.epochs, epochs or training.epochs))


def classification(labels, logits):
    """Cross-entropy of each image, and whether the likeliest class is the right one."""
    right = tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == labels, tf.float32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), right


def regression(targets, predicted):
    """Mean squared error of each image's code, as the loss and as the score."""
    errors = tf.reduce_mean(tf.square(predicted - targets), axis=1)
    return errors, errors


def fit(network: keras.Model, codes: Codes, targets: np.ndarray, rows, kind, training: Training, seed: int, name: str):
    """Trains a network on codes and tells how it does on others after each epoch.

    Args:
        network: as `perceptron` makes it.
        codes: its inputs are `mean`, or samples where there is a log variance.
        targets: int [number] labels or float32 [number, outputs] codes.
        rows: those to train and those to test on.
        kind: `classification` or `regression`: losses and scores of (targets, outputs), [batch] each.
        training: epochs and batch size.
        seed: of the order of the images and of z's samples.
        name: for the line that says how it went.
    Returns:
        float [epochs]: the mean score of the test rows. The last, partial batch counts as many as it holds.
    """
    optimizer = FusedAdam(1e-3, epsilon=1e-8)
    variables = network.trainable_variables
    optimizer.build(variables)
    mean, wanted = tf.constant(codes.mean), tf.constant(targets)
    deviation = None if codes.log_variance is None else tf.exp(0.5 * tf.constant(codes.log_variance))

    def inputs(chosen, key):
        drawn = tf.gather(mean, chosen)
        if deviation is None:
            return drawn
        return drawn + tf.gather(deviation, chosen) * tf.random.stateless_normal(tf.shape(drawn), key)

    @tf.function
    def train_epoch(order, key):
        for start in tf.range(0, tf.size(order), training.batch_size):
            chosen = order[start : start + training.batch_size]
            with tf.GradientTape() as tape:
                outputs = network(inputs(chosen, tf.random.fold_in(key, start)), training=True)
                loss = tf.reduce_mean(kind(tf.gather(wanted, chosen), outputs)[0])
            gradients = tape.gradient(loss, variables)
            # PyTorch's weight decay is a part of the gradient, before Adam scales it.
            optimizer.apply([g + WEIGHT_DECAY * v for g, v in zip(gradients, variables)], variables)

    @tf.function
    def test(order, key):
        total = 0.0
        for start in tf.range(0, tf.size(order), BATCH):
            chosen = order[start : start + BATCH]
            outputs = network(inputs(chosen, tf.random.fold_in(key, start)), training=False)
            total += tf.reduce_sum(kind(tf.gather(wanted, chosen), outputs)[1])
        return total / tf.cast(tf.size(order), tf.float32)

    started = time.monotonic()
    train_rows, test_rows = rows
    scores = []
    for epoch in range(training.epochs):
        order = tf.constant(np.random.default_rng([seed, epoch]).permutation(train_rows), tf.int32)
        train_epoch(order, latent_codes.key(seed, 2 * epoch))
        scores.append(float(test(tf.constant(test_rows, tf.int32), latent_codes.key(seed, 2 * epoch + 1))))
    minutes = (time.monotonic() - started) / 60
    print(f"{name}: {scores[-1]:.4f} after {training.epochs} epochs, {minutes:.1f} minutes", file=sys.stderr)
    return np.array(scores)


def probe(codes: Codes, labels: np.ndarray, rows, training: Training, config: Config, name: str) -> dict[str, float]:
    """Test accuracies of a classifier of the labels on z and on s: of its last epoch, and of its best, as published."""
    numbers = {}
    classes = int(labels.max()) + 1
    for code in ("s", "z"):
        keras.utils.set_random_seed(config.seed)
        given = Codes(codes.s, None) if code == "s" else codes
        network = perceptron(given.mean.shape[1], classes, training)
        scores = fit(
            network, given, labels.astype(np.int32), rows, classification, training, config.seed, f"{name} from {code}"
        )
        numbers |= {f"{code}_accuracy": float(scores[-1]), f"{code}_accuracy_best_epoch": float(scores.max())}
    return numbers


# The numbers


def leak(networks: Networks, config: Config, labelled: Labelled) -> dict[str, float | str]:
    """How well z, and s, tell identity, by a probe of seconds that every training ends with.

    The quick protocol: dense 256, 256 with batch norm, batches of 256, 10 epochs, on images that the networks were
    not trained on, those of MNIST's test set and all frames of the test characters; two thirds train the probe.
    """
    rows = np.flatnonzero(labelled.held_out)
    identities = _numbered(labelled.identities[rows])
    codes = encode_all(networks, labelled.images[rows])
    found = probe(codes, identities, stratified_split(identities), QUICK, config, "Identity, quick probe")
    quick = {f"quick_{code}_accuracy": found[f"{code}_accuracy"] for code in ("z", "s")}
    return {**quick, "quick_chance": chance(identities)}


def classify(networks: Networks, config: Config, labelled: Labelled, epochs: int | None) -> dict[str, float]:
    """The accuracies of all probes.

    Returns:
        s_accuracy and z_accuracy by the protocol whose figures are published for these data, and by the other with
        another ending. Of sprites that is the course project's, on all images, and _test_identities is on the
        characters that the networks were not trained on; of MNIST it is the paper's, trained on the training images
        and tested on the test images, and _all_images is the course project's. Then for each factor <factor>_s and
        <factor>_z, with the quick probe, trained on the training characters and tested on the test characters.
    """
    codes = encode_all(networks, labelled.images)
    identities, held_out = labelled.identities, np.flatnonzero(labelled.held_out)
    training_images = np.flatnonzero(~labelled.held_out)
    training = cut_short(COURSE_PROJECT if config.data_set == "sprites" else MNIST, epochs)
    all_images = probe(codes, identities, stratified_split(identities), training, config, "Identity, all images")
    if config.data_set == "mnist":
        by_paper = probe(codes, identities, (training_images, held_out), training, config, "Identity, test images")
        numbers = by_paper | {f"{name}_all_images": value for name, value in all_images.items()}
    else:
        theirs = Codes(*(np.asarray(part)[held_out] for part in codes))
        labels = _numbered(identities[held_out])
        by_paper = probe(theirs, labels, stratified_split(labels), training, config, "Identity, test characters")
        numbers = all_images | {f"{name}_test_identities": value for name, value in by_paper.items()}
    numbers["chance"] = chance(identities)
    for factor, labels in labelled.factors.items():
        rows = (training_images, held_out)
        found = probe(codes, labels, rows, cut_short(QUICK, epochs), config, factor)
        numbers |= {f"{factor}_{code}": found[f"{code}_accuracy"] for code in ("s", "z")}
        numbers[f"{factor}_chance"] = chance(labels)
    return numbers


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
        training = cut_short(COURSE_PROJECT._replace(hidden=hidden), epochs)
        network = perceptron(given.shape[1], wanted.shape[1], training)
        errors = fit(network, Codes(given, None), wanted, rows, regression, training, config.seed, name)
        numbers |= {name: float(errors[-1]), f"{name}_best_epoch": float(errors.min())}
        trained.append(network)
    return numbers, trained


def chance(labels: np.ndarray) -> float:
    """The accuracy of always naming the commonest label."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def report(numbers: dict) -> str:
    """The numbers as a person reads them."""
    lines = [f"{name:32s} {value:.4f}" for name, value in numbers.items() if name != "step"]
    if "quick_z_accuracy" in numbers:
        z, s, none = (numbers[f"quick_{name}"] for name in ("z_accuracy", "s_accuracy", "chance"))
        lines.append(f"z's leak: identity is told from z {z:.2%}, from s {s:.2%}, by chance {none:.2%} (quick probe)")
    return "\n".join(lines)
