"""Probes: small networks that are trained to read something off codes, and how well they do.

Source: specified_latent_space_classification.py and unspecified_latent_space_classification.py of the sprites program;
table 1 of arXiv 1804.10469.
"""

import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cycle_vae.config import Config
from cycle_vae.networks import leaky_relu
from shared import checkpoints, latent_codes
from shared.fused_layers import FusedAdam, FusedBatchNormalization

BATCH = 500  # of testing
TEST_SHARE = 0.33
SPLIT_SEED = 42
WEIGHT_DECAY = 1e-4
TINY = 1e-6  # deviation of a dimension that never varies
SAVE_EVERY = 60.0  # seconds


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


def standardised(codes: Codes, rows: np.ndarray) -> Codes:
    """The codes with each dimension shifted and scaled to mean 0 and variance 1 over the rows; z's is its samples'.

    Nothing that a code tells is lost by it. A dimension of s may lie at 30 and vary by 0.5: a probe of a few epochs
    mostly learns to subtract the 30, and one that starts otherwise finds something else.
    """
    mean, log_variance, s = (np.asarray(part) for part in codes)
    deviation_z = np.sqrt(mean[rows].var(0) + np.exp(log_variance[rows]).mean(0)) + TINY
    deviation_s = s[rows].std(0) + TINY
    z = (mean - mean[rows].mean(0)) / deviation_z
    return Codes(z, log_variance - 2 * np.log(deviation_z), (s - s[rows].mean(0)) / deviation_s)


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


def fit(
    network: keras.Model,
    codes: Codes,
    targets: np.ndarray,
    rows,
    kind,
    training: Training,
    seed: int,
    name: str,
    folder: Path | None = None,
):
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
        folder: of its checkpoints, one a minute; where there is one it goes on from that. None keeps none.
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

    train_rows, test_rows = rows
    scores, seconds = tf.Variable(tf.zeros([training.epochs])), tf.Variable(0.0)
    state = {"network": network, "optimizer": optimizer, "scores": scores, "seconds": seconds}
    found = checkpoints.find(folder) if folder else None
    if found:
        checkpoints.restore(found, **state)
        print(f"{name}: goes on after {found.step} of {training.epochs} epochs", file=sys.stderr)
    saved = time.monotonic()
    for epoch in range(found.step if found else 0, training.epochs):
        order = tf.constant(np.random.default_rng([seed, epoch]).permutation(train_rows), tf.int32)
        train_epoch(order, latent_codes.key(seed, 2 * epoch))
        scores[epoch].assign(test(tf.constant(test_rows, tf.int32), latent_codes.key(seed, 2 * epoch + 1)))
        if folder and time.monotonic() - saved >= SAVE_EVERY:
            seconds.assign_add(time.monotonic() - saved)
            saved = time.monotonic()
            checkpoints.save(folder, epoch + 1, keep=1, **state)
    minutes = (float(seconds) + time.monotonic() - saved) / 60
    print(f"{name}: {scores[-1]:.4f} after {training.epochs} epochs, {minutes:.1f} minutes", file=sys.stderr)
    return scores.numpy()


def probe_code(
    code: str,
    codes: Codes,
    labels: np.ndarray,
    rows,
    training: Training,
    config: Config,
    name: str,
    folder: Path | None = None,
) -> dict[str, float]:
    """Test accuracies of a classifier of the labels on z or on s: of its last epoch, and of its best, as published.

    `chance` beside them is that of always naming the commonest label of the images it is tested on. `folder` as `fit`
    takes it.
    """
    keras.utils.set_random_seed(config.seed)
    given = Codes(codes.s, None) if code == "s" else codes
    network = perceptron(given.mean.shape[1], int(labels.max()) + 1, training)
    name, labels = f"{name} from {code}", labels.astype(np.int32)
    scores = fit(network, given, labels, rows, classification, training, config.seed, name, folder)
    _, counts = np.unique(labels[rows[1]], return_counts=True)
    return {
        f"{code}_accuracy": float(scores[-1]),
        f"{code}_accuracy_best_epoch": float(scores.max()),
        "chance": float(counts.max() / counts.sum()),
    }


def probe(codes: Codes, labels: np.ndarray, rows, training: Training, config: Config, name: str) -> dict[str, float]:
    """The same for s and for z."""
    return {
        number: value
        for code in ("s", "z")
        for number, value in probe_code(code, codes, labels, rows, training, config, name).items()
    }
