"""Classification accuracy score: how well a classifier that learnt from generated digits alone sorts real ones.

What a generator never draws, such a classifier cannot know. Paper: arXiv 1905.10887.
"""

import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from shared import code_mapping
from shared.datasets import batches, mnist
from shared.fused_layers import FusedAdam, FusedBatchNormalization
from shared.thin_convolutions import ThinConv2D

BATCH = 128
STEPS = 1_500
DIGITS = 10
TEST_BATCH = 1000
SAY_EVERY = 500


def build_classifier(seed: int) -> keras.Model:
    """Images [batch, 28, 28, 1] in [0, 1] -> logits [batch, 10]: the layers of the encoders of this project."""
    keras.utils.set_random_seed(seed)
    image = keras.Input([28, 28, 1])
    x = image
    for layer in (ThinConv2D(32, 3), layers.Conv2D(64, 3, 2), layers.Conv2D(128, 3, 2)):
        x = keras.activations.elu(FusedBatchNormalization(momentum=0.99, epsilon=1e-3)(layer(x)))
    x = layers.Dense(1024)(layers.Flatten()(x))
    x = keras.activations.elu(FusedBatchNormalization(momentum=0.99, epsilon=1e-3)(x))
    return keras.Model(image, layers.Dense(DIGITS)(layers.Dropout(0.5)(x)))


def scores(generate: Callable, data: mnist.Mnist, seed: int) -> dict[str, float]:
    """How classifiers sort the test images: one that learnt from generated digits alone, one from the training images.

    The second is what the first could be at best.

    Args:
        generate: step -> generated images, float32 [BATCH, 28, 28, 1] in [0, 1], and their labels, int [BATCH].
        data: test labels choose nothing.
        seed: of the classifiers' weights and dropout, and of the order of the training images.
    Returns:
        classification_score and classification_score_of_training_images, fractions.
    """

    def of_training_images(step: int):
        rows = batches.batch_indices(step, BATCH, len(data.train_images), seed)
        return mnist.scale_to_unit(data.train_images[rows]), data.train_labels[rows]

    sources = {"classification_score": generate, "classification_score_of_training_images": of_training_images}
    return {name: score(draw, data.test_images, data.test_labels, seed, name) for name, draw in sources.items()}


def score(draw: Callable, images: np.ndarray, labels: np.ndarray, seed: int, name: str) -> float:
    """Accuracy on real images of a classifier trained for 1,500 steps of Adam, 1e-3 falling to 0 as a cosine.

    Args:
        draw: step -> a batch to learn from: images float32 [batch, 28, 28, 1] in [0, 1], labels int [batch].
        images: uint8 [number, 28, 28], to be tested on.
        labels: int [number], theirs; they choose nothing.
        seed: of the classifier's weights and its dropout.
        name: for the lines that say how far it is.
    """
    classifier = build_classifier(seed)
    variables = classifier.trainable_variables
    optimizer = FusedAdam(keras.optimizers.schedules.CosineDecay(1e-3, STEPS), epsilon=1e-8)
    optimizer.build(variables)

    @tf.function
    def train_step(images, labels):
        with tf.GradientTape() as tape:
            logits = classifier(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for step in range(STEPS):
        drawn, its_labels = draw(step)
        loss = train_step(tf.constant(drawn), tf.cast(its_labels, tf.int32))
        if (step + 1) % SAY_EVERY == 0:
            print(f"{name}: step {step + 1} of {STEPS}, loss {float(loss):.4f}", file=sys.stderr)
    batches = [images[start : start + TEST_BATCH] for start in range(0, len(images), TEST_BATCH)]
    logits = [classifier(tf.constant(mnist.scale_to_unit(batch)), training=False) for batch in batches]
    return code_mapping.accuracy(np.argmax(np.concatenate(logits), axis=1), labels)


def report(found: dict[str, float]) -> str:
    """The scores of a model as a person reads them."""
    return "Classification accuracy score: {:.2%}; of the training images: {:.2%}".format(*found.values())
