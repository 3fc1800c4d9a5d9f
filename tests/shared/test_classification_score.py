"""The classification accuracy score: what a classifier that never saw a real image says of them."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from bi_infogan.config import Config
from bi_infogan.networks import encoder
from shared import classification_score
from shared.flags import UserError

LABELS = np.repeat(range(10), 12)


def digits(labels, seed):
    """uint8 [number, 28, 28]: a bright row whose height is the label, on noise."""
    images = np.random.default_rng(seed).integers(0, 40, [len(labels), 28, 28]).astype(np.uint8)
    images[np.arange(len(labels)), 2 * np.asarray(labels)] = 255
    return images


class Linear:
    """A classifier that keeps whether it was called in training."""

    def __init__(self, seed):
        keras.utils.set_random_seed(seed)
        image = keras.Input([28, 28, 1])
        self.network = keras.Model(image, layers.Dense(10)(layers.Flatten()(image)))
        self.trainable_variables = self.network.trainable_variables
        self.modes = []

    def __call__(self, images, training=None):
        self.modes.append(training)
        return self.network(images, training=training)


@pytest.fixture
def linear(monkeypatch):
    built = []

    def build_classifier(seed):
        built.append(Linear(seed))
        return built[-1]

    monkeypatch.setattr(classification_score, "build_classifier", build_classifier)
    monkeypatch.setattr(classification_score, "STEPS", 200)
    return built


def score(drawable, as_labelled=lambda labels: labels):
    def draw(step):
        labels = np.random.default_rng(step).choice(drawable, 32)
        return digits(labels, step)[..., None] / np.float32(255), as_labelled(labels)

    return classification_score.score(draw, digits(LABELS, 1000), LABELS, 0, "score")


def test_what_is_drawn_right_is_known_and_what_is_never_drawn_is_not(linear, monkeypatch, capsys):
    monkeypatch.setattr(classification_score, "SAY_EVERY", 100)
    assert score(range(10)) > 0.95
    assert 0.45 < score(range(5)) <= 0.5
    said = [line.split(", loss")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == 2 * ["score: step 100 of 200", "score: step 200 of 200"]


def test_a_generator_that_draws_another_digit_than_its_label_is_found_out(linear):
    assert score(range(10), as_labelled=lambda labels: (labels + 1) % 10) < 0.05


def test_it_learns_in_training_mode_traced_once_and_is_tested_in_inference(linear):
    score(range(10))
    assert linear[0].modes == [True, False]


def test_the_classifier_has_the_sizes_of_an_encoder_and_is_a_function_of_the_seed():
    first, same, other = (classification_score.build_classifier(seed) for seed in (3, 3, 4))
    assert (first.input_shape, first.output_shape) == ((None, 28, 28, 1), (None, 10))
    shapes, of_encoder = (
        [w.shape for w in network.trainable_variables if w.name == "kernel"] for network in (first, encoder(Config()))
    )
    assert shapes[:4] == of_encoder[:4] and shapes[4:] == [(1024, 10)]
    kernels = [network.trainable_variables[0].numpy() for network in (first, same, other)]
    assert (kernels[0] == kernels[1]).all() and (kernels[0] != kernels[2]).all()


def test_fewer_training_images_than_a_batch_are_refused_before_anything_is_trained(linear):
    data = SimpleNamespace(train_images=np.zeros([127, 28, 28], np.uint8))
    with pytest.raises(UserError, match="--classification_score: needs 128 training images or more; the data has 127"):
        classification_score.scores(lambda _: None, data, 0)
    assert linear == []


def test_the_report_says_both():
    numbers = {"accuracy": 1, "classification_score": 0.9636, "classification_score_of_training_images": 0.9901}
    expected = "Classification accuracy score: 96.36%; of the training images: 99.01%"
    assert classification_score.report(numbers) == expected
