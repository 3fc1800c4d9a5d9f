"""The judge: its network, its training, and what it says of images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from image_translation import classifier
from image_translation.config import CLASSIFIER_PRESETS, ClassifierConfig, require_judge
from shared import published_weights
from shared.flags import UserError
from shared.keyed_noise import KeyedDropout

IMAGES = tf.random.stateless_uniform([4, 28, 28, 1], [0, 0])
KEYS = tf.constant([1, 2]), tf.constant([1, 3])


@pytest.fixture(scope="module")
def judge():
    return classifier.build_classifier()


def layers_of(network, *kinds):
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def test_the_judge_is_the_network_of_its_specification(judge):
    kinds = (keras.layers.Conv2D, keras.layers.MaxPooling2D, KeyedDropout, keras.layers.Dense)
    shapes = [(type(layer).__name__, *layer.output.shape[1:]) for layer in layers_of(judge, *kinds)]
    assert shapes == [
        ("Conv2D", 14, 14, 64), ("MaxPooling2D", 14, 14, 64), ("KeyedDropout", 14, 14, 64),
        ("Conv2D", 7, 7, 128), ("MaxPooling2D", 7, 7, 128), ("KeyedDropout", 7, 7, 128),
        ("Conv2D", 4, 4, 256), ("MaxPooling2D", 4, 4, 256), ("KeyedDropout", 4, 4, 256),
        ("Conv2D", 2, 2, 256), ("KeyedDropout", 2, 2, 256),
        ("Dense", 1024), ("KeyedDropout", 1024), ("Dense", 10),
    ]  # fmt: skip
    assert len(layers_of(judge, keras.layers.BatchNormalization)) == 5
    for layer in layers_of(judge, keras.layers.Conv2D, keras.layers.Dense):
        assert np.std(layer.kernel) == pytest.approx(0.02, rel=0.1)
    rates = {(layer.rate, layer.number) for layer in layers_of(judge, KeyedDropout)}
    assert rates == {(0.5, number) for number in range(5)}, "each with random numbers of its own"


def test_the_judge_drops_in_training_only_and_by_its_key(judge):
    in_training = [judge([IMAGES, key], training=True).numpy() for key in (KEYS[0], *KEYS)]
    np.testing.assert_array_equal(in_training[0], in_training[1])
    assert (in_training[1] != in_training[2]).all()
    np.testing.assert_array_equal(*(judge([IMAGES, key], training=False) for key in KEYS))


def test_the_digit_is_that_of_the_largest_logit_and_accuracy_counts_all_images(judge, monkeypatch):
    monkeypatch.setattr(classifier, "BATCH", 3)
    images = np.random.default_rng(0).integers(0, 256, [7, 28, 28]).astype(np.uint8)
    pixels = tf.constant(images[..., None] / 255, tf.float32)
    digits = classifier.classify(judge, pixels).numpy()
    np.testing.assert_array_equal(digits, judge([pixels, KEYS[0]], training=False).numpy().argmax(axis=1))
    labels = digits.copy()
    labels[[0, 6]] += 1  # in the first and in the last, incomplete, batch
    assert classifier.accuracy(judge, images, labels) == pytest.approx(5 / 7)


def test_weights_come_back_as_they_were_kept_and_those_of_another_network_are_refused(judge, tmp_path):
    published_weights.save(tmp_path / "weights.npz", [judge])
    loaded = classifier.load(tmp_path)
    for ours, kept in zip(loaded.weights, judge.weights, strict=True):
        np.testing.assert_allclose(ours, kept, rtol=2**-11, atol=1e-7)
    published_weights.save(tmp_path / "weights.npz", [keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])])
    with pytest.raises(UserError, match="weights.npz is damaged or of other networks"):
        classifier.load(tmp_path)


@pytest.mark.parametrize("files", [[], ["weights.npz"], ["settings.json"]])
def test_a_folder_without_a_judge_is_refused_with_the_way_to_make_one(tmp_path, files):
    for name in files:
        (tmp_path / name).touch()
    way = "train_classifier.py makes one, to be copied there or named with --judge"
    with pytest.raises(UserError, match=f"^{tmp_path} holds no trained judge; {way}$"):
        require_judge(tmp_path)


def test_shifts_move_an_image_by_up_to_so_many_pixels_each_by_its_own_and_lose_none_of_its_middle():
    images = np.zeros([500, 28, 28], np.uint8)
    images[:, 10, 15] = 200
    config = ClassifierConfig(shift=2, seed=1)
    moved = classifier.shifted(images, config, step=3)
    assert (moved.shape, moved.dtype) == (images.shape, np.uint8)
    assert (moved.sum(axis=(1, 2)) == 200).all()
    _, rows, columns = np.nonzero(moved)
    assert set(rows) == {8, 9, 10, 11, 12} and set(columns) == {13, 14, 15, 16, 17}
    assert len(set(zip(rows, columns))) == 25
    np.testing.assert_array_equal(moved, classifier.shifted(images, config, step=3))
    assert (moved != classifier.shifted(images, config, step=4)).any()
    np.testing.assert_array_equal(classifier.shifted(images, ClassifierConfig(shift=0), step=3), images)


def test_a_step_moves_every_weight_and_says_how_right_it_was(judge):
    """Run as Python runs it, without tracing."""
    optimizer = keras.optimizers.SGD(0.1)
    before = [weight.numpy() for weight in judge.weights]
    logits = judge([IMAGES, KEYS[0]], training=True).numpy()
    for weight, value in zip(judge.weights, before):
        weight.assign(value)
    labels = logits.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 10
    scalars = classifier.train_step.python_function(judge, optimizer, IMAGES, tf.constant(labels), KEYS[0])
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert float(scalars["loss"]) == pytest.approx(-log_softmax[range(4), labels].mean(), rel=1e-5)
    assert float(scalars["train_accuracy"]) == 0.75
    still = [w.path for w, value in zip(judge.weights, before) if w.name != "bias" and (w.numpy() == value).all()]
    assert still == []


def test_the_judges_defaults():
    config = CLASSIFIER_PRESETS["default"]
    assert (config.validation, config.publish, config.shift) == (5000, False, 2)
