"""Classification accuracy score: how well a classifier that learnt from generated digits alone sorts real ones.

It is low where a generator never draws what people write, draws it under another label, or draws it so that it does not
look real. Paper: arXiv 1905.10887.
"""

import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from shared import code_mapping
from shared.datasets import batches, mnist
from shared.flags import require
from shared.fused_layers import FusedAdam, FusedBatchNormalization
from shared.thin_convolutions import ThinConv2D

BATCH = 128
STEPS = 1500
LEARNING_RATE = 1e-3
DIGITS = 10
TEST_BATCH = 1000
SAY_EVERY = 500


def scores(generate: Callable, data: mnist.Mnist, seed: int) -> dict[str, float]:
    """Of a classifier that learnt from generated digits, and for comparison of one that learnt from training images.

    Args:
        generate: step -> generated images, float32 [BATCH, 28, 28, 1] in [0, 1], and their labels, int [BATCH].
        data: test labels choose nothing.
        seed: of the classifiers' weights and dropout, and of the order of the training images.
    Returns:
        classification_score and classification_score_of_training_images, fractions of the test images.
    Raises:
        UserError: fewer training images than a batch.
    """
    number = len(data.train_images)
    require(number >= BATCH, f"--classification_score: needs {BATCH} training images or more; the data has {number}")

    def training_images(step: int):
        rows = batches.batch_indices(step, BATCH, number, seed)
        return mnist.scale_to_unit(data.train_images[rows]), data.train_labels[rows]

    sources = {"classification_score": generate, "classification_score_of_training_images": training_images}
    return {name: score(draw, data.test_images, data.test_labels, seed, name) for name, draw in sources.items()}


def build_classifier(seed: int) -> keras.Model:
    """Images [batch, 28, 28, 1] in [0, 1] -> logits [batch, 10]: layers of an encoder's sizes, and dropout."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32")

    def activate(x):
        return keras.activations.elu(FusedBatchNormalization(momentum=0.99, epsilon=1e-3)(x))

    image = keras.Input([28, 28, 1])
    x = image
    for layer in (ThinConv2D(32, 3), layers.Conv2D(64, 3, 2), layers.Conv2D(128, 3, 2)):
        x = activate(layer(x))
    x = activate(layers.Dense(1024)(layers.Flatten()(x)))
    return keras.Model(image, layers.Dense(DIGITS)(layers.Dropout(0.5)(x)))


def score(draw: Callable, images: np.ndarray, labels: np.ndarray, seed: int, name: str) -> float:
    """Accuracy on images, uint8 [number, 28, 28], of a classifier trained with Adam, whose rate falls as a cosine.

    Args:
        draw: step -> a batch to learn from, as `generate` above.
        labels: int [number], of the images.
        seed: of the classifier's weights and its dropout.
        name: for the lines that say how far it is.
    """
    classifier = build_classifier(seed)
    variables = classifier.trainable_variables
    optimizer = FusedAdam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS), epsilon=1e-8)
    optimizer.build(variables)

    @tf.function
    def train_step(drawn, its_labels):
        with tf.GradientTape() as tape:
            logits = classifier(drawn, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(its_labels, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for step in range(STEPS):
        drawn, its_labels = draw(step)
        loss = train_step(tf.constant(drawn), tf.cast(its_labels, tf.int32))
        if (step + 1) % SAY_EVERY == 0:
            print(f"{name}: step {step + 1} of {STEPS}, loss {float(loss):.4f}", file=sys.stderr)
    parts = [images[start : start + TEST_BATCH] for start in range(0, len(images), TEST_BATCH)]
    logits = [classifier(tf.constant(mnist.scale_to_unit(part)), training=False) for part in parts]
    return code_mapping.accuracy(np.argmax(np.concatenate(logits), axis=1), labels)


def report(numbers: dict) -> str:
    """The line that says both, of numbers that have them."""
    generated, real = numbers["classification_score"], numbers["classification_score_of_training_images"]
    return f"Classification accuracy score: {generated:.2%}; of the training images: {real:.2%}"
