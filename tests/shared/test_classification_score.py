"""The classification accuracy score: what a classifier that never saw a real image says of them."""

import keras
import numpy as np
import pytest
from keras import layers

from shared import classification_score

LABELS = np.repeat(range(10), 12)


def digits(labels):
    """uint8 [number, 28, 28]: a bright row whose height is the label, on noise."""
    images = np.random.default_rng(0).integers(0, 40, [len(labels), 28, 28]).astype(np.uint8)
    images[np.arange(len(labels)), 2 * np.asarray(labels)] = 255
    return images


@pytest.fixture
def linear(monkeypatch):
    def build_classifier(seed):
        keras.utils.set_random_seed(seed)
        image = keras.Input([28, 28, 1])
        return keras.Model(image, layers.Dense(10)(layers.Flatten()(image)))

    monkeypatch.setattr(classification_score, "build_classifier", build_classifier)
    monkeypatch.setattr(classification_score, "STEPS", 200)


def score(drawable, as_labelled=lambda labels: labels):
    def draw(step):
        labels = np.random.default_rng(step).choice(drawable, 32)
        return digits(labels)[..., None] / np.float32(255), as_labelled(labels)

    return classification_score.score(draw, digits(LABELS), LABELS, 0, "score")


def test_what_is_drawn_right_is_known_and_what_is_never_drawn_is_not(linear, monkeypatch, capsys):
    monkeypatch.setattr(classification_score, "SAY_EVERY", 100)
    assert score(range(10)) > 0.95
    assert 0.45 < score(range(5)) <= 0.5
    said = [line.split(", loss")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == 2 * ["score: step 100 of 200", "score: step 200 of 200"]


def test_a_generator_that_draws_another_digit_than_its_label_is_found_out(linear):
    assert score(range(10), as_labelled=lambda labels: (labels + 1) % 10) < 0.05


def test_the_classifier_has_the_layers_of_the_encoders_and_is_a_function_of_the_seed():
    first, same, other = (classification_score.build_classifier(seed) for seed in (3, 3, 4))
    assert (first.input_shape, first.output_shape) == ((None, 28, 28, 1), (None, 10))
    assert [w.shape for w in first.trainable_variables if w.name == "kernel"] == [
        (3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 128), (5 * 5 * 128, 1024), (1024, 10),
    ]  # fmt: skip
    kernels = [network.trainable_variables[0].numpy() for network in (first, same, other)]
    assert (kernels[0] == kernels[1]).all() and (kernels[0] != kernels[2]).all()


def test_the_report_says_both():
    scores = {"classification_score": 0.9636, "classification_score_of_training_images": 0.9901}
    expected = "Classification accuracy score: 96.36%; of the training images: 99.01%"
    assert classification_score.report(scores) == expected
