"""The judge: a convolutional classifier of digits that says what a generated image shows; its network and training.

Source: mnist_classifier.py of the original, which was right on 99.36 % of the test images. Its pools are smaller than
these, and its leaky ReLU has slope 0.3, Keras's defaults. How to train was chosen here, on the validation images.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from image_translation.config import DIGITS, ClassifierConfig
from shared import code_mapping, latent_codes, published_weights
from shared.datasets import batches, mnist
from shared.fused_layers import FusedAdam, FusedBatchNormalization
from shared.keyed_noise import KeyedDropout, key_input
from shared.training_run import TrainingRun

BATCH = 1000
NO_KEY = tf.zeros([2], tf.int32)  # nothing is dropped in inference
OF_SHIFTS = 1  # second word of a stream's spawn key; an epoch's order has a key of one word


def build_classifier(seed: int = 0) -> keras.Model:
    """(images [batch, 28, 28, 1] in [0, 1], key [2]) -> logits of the digits [batch, 10]; a function of the seed."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32")
    image, key = keras.Input([28, 28, 1], name="image"), key_input()

    def normal(layer: type, *arguments, **options):
        return layer(*arguments, kernel_initializer=keras.initializers.RandomNormal(stddev=0.02), **options)

    def activate(x):
        return keras.activations.leaky_relu(FusedBatchNormalization(momentum=0.99, epsilon=1e-3)(x), 0.2)

    x = image
    for number, filters in enumerate((64, 128, 256, 256)):
        x = activate(normal(layers.Conv2D, filters, 4, 2, padding="same")(x))
        if number < 3:
            x = layers.MaxPooling2D(2, 1, padding="same")(x)
        x = KeyedDropout(0.5, number)([x, key])
    x = KeyedDropout(0.5, number=4)([activate(normal(layers.Dense, 1024)(layers.Flatten()(x))), key])
    return keras.Model([image, key], normal(layers.Dense, DIGITS)(x), name="judge")


def load(folder: Path) -> keras.Model:
    """The judge whose weights train_classifier.py wrote to the folder.

    Raises:
        UserError: the weights are damaged, or are of another network.
    """
    judge = build_classifier()
    published_weights.load(folder / "weights.npz", [judge])
    return judge


@tf.function
def classify(judge: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The digit that each of the images, [batch, 28, 28, 1] in [0, 1], shows: int64 [batch]."""
    return tf.argmax(judge([images, NO_KEY], training=False), axis=1)


def accuracy(judge: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of the images, uint8 [number, 28, 28], that the judge gives their label."""
    found = [
        classify(judge, tf.constant(mnist.scale_to_unit(images[start : start + BATCH]))).numpy()
        for start in range(0, len(images), BATCH)
    ]
    return code_mapping.accuracy(np.concatenate(found), labels)


def shifted(images: np.ndarray, config: ClassifierConfig, step: int) -> np.ndarray:
    """Images, uint8 [number, 28, 28], each moved by up to config.shift pixels; a function of the seed and the step."""
    generator = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(step, OF_SHIFTS)))
    margin = 2 * [config.shift]
    padded = np.pad(images, [(0, 0), margin, margin])
    tops, lefts = generator.integers(2 * config.shift + 1, size=[2, len(images), 1])
    rows, columns = tops + np.arange(images.shape[1]), lefts + np.arange(images.shape[2])
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


@tf.function
def train_step(judge: keras.Model, optimizer: keras.optimizers.Optimizer, images, labels, key):
    """One update on images [batch, 28, 28, 1] in [0, 1] and labels, int [batch]; key [2] is that of the dropout.

    Returns:
        Scalars by name, as of before the update.
    """
    with tf.GradientTape() as tape:
        logits = judge([images, key], training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    optimizer.apply(tape.gradient(loss, judge.trainable_variables), judge.trainable_variables)
    right = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
    return {"loss": loss, "train_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}


def train(config: ClassifierConfig, data: mnist.Split, run: TrainingRun) -> keras.Model:
    """Trains a judge to the planned number of steps, from wherever the run stands.

    Raises:
        UserError: a batch larger than the data, a loss that is not finite, a damaged checkpoint, a full disk.
    """
    judge = build_classifier(config.seed)
    rate = keras.optimizers.schedules.CosineDecay(config.lr, config.max_iter)
    optimizer = FusedAdam(rate, epsilon=1e-8)
    optimizer.build(judge.trainable_variables)
    run.track(judge=judge, optimizer=optimizer)

    last = min(config.max_iter, config.max_steps or sys.maxsize)
    for step in run.steps(last):
        indices = batches.batch_indices(step, config.batch_size, len(data.train_images), config.seed)
        images = tf.constant(mnist.scale_to_unit(shifted(data.train_images[indices], config, step)))
        labels = tf.constant(data.train_labels[indices], tf.int32)
        run.log(train_step(judge, optimizer, images, labels, latent_codes.key(config.seed, step)))
        if (step + 1) % config.validate_every == 0 or step + 1 == last:
            right = accuracy(judge, data.validation_images, data.validation_labels)
            run.tensorboard_scalars({"validation_accuracy": right})
            run.say(f"step {step + 1}  accuracy on the validation images {right:.2%}")
    return judge
