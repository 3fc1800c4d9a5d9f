"""What is measured of trained networks: is the encoder right about real digits, and the generator about its own?"""

import keras
import numpy as np
import tensorflow as tf

from image_translation import classifier, pictures
from image_translation.config import DIGITS, Config
from image_translation.networks import Networks, code_sizes
from shared import classification_score, code_mapping, latent_codes
from shared.datasets import mnist

BATCH = 1000
GENERATED_OF_DIGIT = 500
MEASURED = ("generator", "encoder", "judge")  # in the order of info.txt


@tf.function
def recognise(networks: Networks, images: tf.Tensor) -> tf.Tensor:
    """The likeliest category, and so digit, of images [batch, 28, 28, 1] in [0, 1]: int64 [batch]; inference mode."""
    return tf.argmax(networks.encoder(images, training=False)[1], axis=1)


def recognised(networks: Networks, images: np.ndarray) -> np.ndarray:
    """The same of any number of images, uint8 [number, 28, 28]."""
    return np.concatenate(
        [
            recognise(networks, tf.constant(mnist.scale_to_unit(images[start : start + BATCH]))).numpy()
            for start in range(0, len(images), BATCH)
        ]
    )


def encoder_accuracy(networks: Networks, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of the images, uint8 [number, 28, 28], whose likeliest category is their label."""
    return code_mapping.accuracy(recognised(networks, images), labels)


def generated_digits(networks: Networks, config: Config, judge: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Which digit each generated image is to show, and which the judge sees: int [5000] each, 500 of each digit."""
    wanted = np.repeat(range(DIGITS), GENERATED_OF_DIGIT)
    codes = latent_codes.with_categories(pictures.fixed_codes(config, len(wanted)), 0, wanted)
    seen = []
    for start in range(0, len(wanted), BATCH):
        batch = tf.nest.map_structure(lambda part, start=start: part[start : start + BATCH], codes)
        seen.append(classifier.classify(judge, pictures.generate(networks, batch)).numpy())
    return wanted, np.concatenate(seen)


def evaluate(networks: Networks, config: Config, data: mnist.Mnist, judge: keras.Model) -> dict:
    """Accuracies of encoder and generator, and of the judge who says so of the generator.

    Returns:
        encoder_accuracy and judge_accuracy on the test images and generator_accuracy on 5,000 generated ones,
        fractions; encoder_confusion and generator_confusion, rows true and wanted digits; and wrong, how many test
        images the encoder calls another digit.
    """
    recognised_digits = recognised(networks, data.test_images)
    wanted, seen = generated_digits(networks, config, judge)
    return {
        "encoder_accuracy": code_mapping.accuracy(recognised_digits, data.test_labels),
        "generator_accuracy": code_mapping.accuracy(seen, wanted),
        "judge_accuracy": classifier.accuracy(judge, data.test_images, data.test_labels),
        "wrong": int(np.sum(recognised_digits != data.test_labels)),
        "encoder_confusion": code_mapping.confusion(recognised_digits, data.test_labels)[:, :DIGITS].tolist(),
        "generator_confusion": code_mapping.confusion(seen, wanted)[:, :DIGITS].tolist(),
    }


def classification_scores(networks: Networks, config: Config, data: mnist.Mnist) -> dict[str, float]:
    """The classification accuracy score; a generated image's label is the digit that was asked for.

    Returns:
        classification_score and classification_score_of_training_images, fractions.
    """

    def generate(step: int):
        key = latent_codes.key(config.seed, -2 - step)  # no training step draws these, nor do pictures
        codes = latent_codes.sample(code_sizes(config), classification_score.BATCH, key)
        return pictures.generate(networks, codes), tf.argmax(codes.categorical[0], axis=1)

    return classification_score.scores(generate, data, config.seed)


def report(numbers: dict) -> str:
    """The numbers as a person reads them."""
    lines = []
    for name, rows in (("encoder", "test image"), ("generator", "digit that was asked for")):
        lines.append(f"Confusion of the {name} (row: {rows}, column: what it was called):")
        lines += ["  ".join(f"{count:5d}" for count in row) for row in numbers[f"{name}_confusion"]]
    lines += [
        f"Encoder's accuracy on the test images: {numbers['encoder_accuracy']:.2%} ({numbers['wrong']} wrong)",
        f"Generator's accuracy: {numbers['generator_accuracy']:.2%}, "
        f"by a judge that is right on {numbers['judge_accuracy']:.2%} of the test images",
    ]
    if "classification_score" in numbers:
        lines += [classification_score.report(numbers)]
    return "\n".join(lines)
