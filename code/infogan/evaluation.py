"""What is measured of a trained InfoGAN."""

import math

import numpy as np
import tensorflow as tf

from infogan import losses, pictures
from infogan.config import Config
from infogan.networks import Networks
from shared import code_mapping
from shared.datasets import mnist

BATCH = 1000
GENERATED = 10_000  # images for the bound


@tf.function
def recognise(networks: Networks, images: tf.Tensor) -> list[tf.Tensor]:
    """Logits of each categorical code given images [batch, size, size, channels] in [-1, 1]; inference mode."""
    _, features = networks.discriminator(images, training=False)
    return networks.recognition(features, training=False)[0]


def categories(networks: Networks, images: np.ndarray) -> np.ndarray:
    """The likeliest category of each image under each categorical code: int [number, codes]; images uint8."""
    found = []
    for start in range(0, len(images), BATCH):
        logits = recognise(networks, tf.constant(mnist.scale_to_symmetric(images[start : start + BATCH])))
        found.append(np.stack([tf.argmax(code, axis=1).numpy() for code in logits], axis=1))
    return np.concatenate(found)


def evaluate(networks: Networks, config: Config, data: mnist.Mnist) -> dict:
    """Accuracy of a categorical code as a classifier of the test images, and the mutual-information bound.

    Categories are matched to digits one to one on the training labels, which also choose the code where there are
    several; test labels choose nothing.

    Returns:
        accuracy, a fraction; mutual_information_bound of the categorical codes and its ceiling, nats; mapping, the
        digit of each category; confusion, rows true digits, last column categories without a digit; and
        accuracy_per_digit.
    """
    numbers = bound(networks, config)
    if not config.categorical_sizes:
        return numbers
    train = categories(networks, data.train_images)
    maps = [code_mapping.match(train[:, k], data.train_labels, n) for k, n in enumerate(config.categorical_sizes)]
    train_accuracy = [code_mapping.accuracy(mapping[train[:, k]], data.train_labels) for k, mapping in enumerate(maps)]
    code = int(np.argmax(train_accuracy))
    predicted = maps[code][categories(networks, data.test_images)[:, code]]
    confusion = code_mapping.confusion(predicted, data.test_labels)
    return {
        "accuracy": code_mapping.accuracy(predicted, data.test_labels),
        **numbers,
        "train_accuracy": train_accuracy[code],
        "code": code,
        "mapping": maps[code].tolist(),
        "accuracy_per_digit": [row[k] / max(1, row.sum()) for k, row in enumerate(confusion)],
        "confusion": confusion.tolist(),
    }


def bound(networks: Networks, config: Config) -> dict[str, float]:
    """The bound of the categorical codes, on generated images, in inference mode: ln n - E[-log Q(c|x)], in nats."""
    codes = pictures.fixed_codes(config, GENERATED)
    cross_entropy = 0.0
    for start in range(0, GENERATED, BATCH):
        batch = tf.nest.map_structure(lambda part, start=start: part[start : start + BATCH], codes)
        logits = recognise(networks, pictures.generate(networks, batch))
        cross_entropy += float(sum(losses.categorical_losses(logits, batch.categorical))) * BATCH / GENERATED
    ceiling = sum(math.log(classes) for classes in config.categorical_sizes)
    return {"mutual_information_bound": ceiling - cross_entropy, "mutual_information_ceiling": ceiling}


def report(numbers: dict) -> str:
    """The numbers as a person reads them."""
    lines = [
        "Mutual-information bound: {mutual_information_bound:.3f} of {mutual_information_ceiling:.3f} nats".format_map(
            numbers
        )
    ]
    if "accuracy" in numbers:
        lines += [
            f"Category -> digit (matched on training labels): {numbers['mapping']}",
            "Confusion on test images (row: digit, column: what it was called, last: no digit):",
            *("  ".join(f"{count:5d}" for count in row) for row in numbers["confusion"]),
            "Accuracy per digit: " + "  ".join(f"{k}: {v:.2%}" for k, v in enumerate(numbers["accuracy_per_digit"])),
            f"Test accuracy: {numbers['accuracy']:.2%}",
        ]
    return "\n".join(lines)
