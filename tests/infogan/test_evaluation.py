"""InfoGAN's evaluation on networks whose accuracy and bound are known in advance."""

import json
import math
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from infogan import evaluation
from infogan.config import Config
from shared.code_mapping import UNMATCHED
from shared.datasets.mnist import Mnist

SURE = 50.0  # logit


class Reader(NamedTuple):
    """In place of Networks: images carry their categories in their top rows, a row a code, and Q reads them off."""

    generator: object
    discriminator: object
    recognition: object


def reader(sizes, confidence=SURE):
    """Networks for categorical codes of these sizes; Q's logits are `confidence` for what it reads, else 0."""

    def generator(inputs, training):
        assert training is False
        codes, _ = inputs  # one noise value comes first
        rows, start = [], 1
        for classes in sizes:
            rows.append(tf.pad(codes[:, start : start + classes], [[0, 0], [0, 28 - classes]]))
            start += classes
        blank = tf.zeros([len(codes), 28 - len(sizes), 28])
        return tf.concat([tf.stack(rows, axis=1), blank], axis=1)[..., tf.newaxis] * 2 - 1 if rows else blank

    def discriminator(images, training):
        assert training is False
        return None, images

    def recognition(features, training):
        assert training is False
        read = [(features[:, k, :classes, 0] + 1) / 2 for k, classes in enumerate(sizes)]
        return [confidence * one_hot for one_hot in read], None, None

    return Reader(generator, discriminator, recognition)


def images_of(*categories):
    """uint8 images from which a reader reads the categories, one array a code."""
    images = np.zeros([len(categories[0]), 28, 28], np.uint8)
    for k, code in enumerate(categories):
        images[np.arange(len(code)), k, code] = 255
    return images


def digits(number):
    return (np.arange(number) % 10).astype(np.uint8)


def data(train, train_labels, test, test_labels):
    return Mnist(images_of(*train), train_labels, images_of(*test), test_labels, sha256="")


PERMUTED = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])  # category of each digit
DIGIT_OF = np.argsort(PERMUTED)
CONFIG = Config(num_z=1, num_continuous=0)


@pytest.fixture(autouse=True)
def few_generated_images(monkeypatch):
    monkeypatch.setattr(evaluation, "GENERATED", 2000)


def test_categories_are_read_in_order_over_several_batches_and_a_rest():
    first = np.random.default_rng(0).integers(0, 10, 2300)
    second = np.random.default_rng(1).integers(0, 4, 2300)
    found = evaluation.categories(reader((10, 4)), images_of(first, second))
    assert found.shape == (2300, 2)
    assert (found == np.stack([first, second], axis=1)).all()


def test_accuracy_map_and_confusion_of_a_known_classifier():
    """Of each digit from 0 to 7, ten of a hundred test images are called 4."""
    labels = digits(1000)
    categories = PERMUTED[labels]
    wrong = np.flatnonzero(labels < 8)[:80]
    categories[wrong] = PERMUTED[4]
    numbers = evaluation.evaluate(reader((10,)), CONFIG, data([PERMUTED[labels]], labels, [categories], labels))
    assert numbers["accuracy"] == pytest.approx(0.93)
    assert numbers["train_accuracy"] == 1
    assert numbers["mapping"] == DIGIT_OF.tolist()
    assert numbers["code"] == 0
    expected = np.diag([90.0] * 4 + [100] + [90] * 3 + [100] * 2)
    expected[[0, 1, 2, 3, 5, 6, 7], 4] = 10
    assert np.array(numbers["confusion"])[:, :10].tolist() == expected.tolist()
    assert np.array(numbers["confusion"])[:, 10].tolist() == [0] * 10
    assert numbers["accuracy_per_digit"] == pytest.approx(np.diag(expected) / 100)
    assert json.loads(json.dumps(numbers)) == numbers  # what --json and evaluation.json need


def test_test_labels_choose_nothing():
    labels = digits(500)
    train = [PERMUTED[labels]]
    numbers = evaluation.evaluate(reader((10,)), CONFIG, data(train, labels, train, labels))
    other = evaluation.evaluate(reader((10,)), CONFIG, data(train, labels, train, (labels + 1) % 10))
    assert other["mapping"] == numbers["mapping"]
    assert (numbers["accuracy"], other["accuracy"]) == (1, 0)


def test_training_labels_choose_the_map():
    labels = digits(500)
    codes = [PERMUTED[labels]]
    numbers = evaluation.evaluate(reader((10,)), CONFIG, data(codes, (labels + 1) % 10, codes, labels))
    assert numbers["mapping"] == ((DIGIT_OF + 1) % 10).tolist()
    assert (numbers["accuracy"], numbers["train_accuracy"]) == (0, 1)


def test_of_several_codes_the_one_that_does_best_on_training_images_classifies():
    labels = digits(500)
    useless = np.zeros(500, int)
    config = Config(num_z=1, num_continuous=0, categorical_sizes=(10, 10))
    numbers = evaluation.evaluate(
        # The first code does well on test images only: to choose it would be to choose by test labels.
        reader((10, 10)), config, data([useless, PERMUTED[labels]], labels, [labels, useless], labels)
    )  # fmt: skip
    assert numbers["code"] == 1
    assert numbers["mapping"] == DIGIT_OF.tolist()
    assert (numbers["accuracy"], numbers["train_accuracy"]) == (0.1, 1)
    assert numbers["mutual_information_ceiling"] == pytest.approx(2 * math.log(10))


def test_more_categories_than_digits_leave_some_without_a_digit_and_their_images_wrong():
    labels = digits(480)
    categories = labels.astype(int)
    categories[:120] = 10 + np.arange(120) % 2  # two categories that no digit can claim
    config = Config(num_z=1, num_continuous=0, categorical_sizes=(12,))
    codes = [categories]
    numbers = evaluation.evaluate(reader((12,)), config, data(codes, labels, codes, labels))
    assert numbers["mapping"] == [*range(10), UNMATCHED, UNMATCHED]
    assert numbers["accuracy"] == pytest.approx(0.75)
    assert np.array(numbers["confusion"])[:, 10].sum() == 120


def test_fewer_categories_than_digits_leave_digits_unclaimed():
    labels = digits(500)
    codes = [labels // 2]
    config = Config(num_z=1, num_continuous=0, categorical_sizes=(5,))
    numbers = evaluation.evaluate(reader((5,)), config, data(codes, labels, codes, labels))
    assert numbers["accuracy"] == pytest.approx(0.5)
    assert len(numbers["mapping"]) == 5


# The bound


@pytest.mark.parametrize("sizes", [(10,), (10, 4)])
def test_a_code_that_is_read_perfectly_reaches_the_ceiling(sizes):
    config = Config(num_z=1, num_continuous=0, categorical_sizes=sizes)
    ceiling = sum(map(math.log, sizes))
    found = evaluation.bound(reader(sizes), config)
    assert found["mutual_information_ceiling"] == pytest.approx(ceiling)
    assert found["mutual_information_bound"] == pytest.approx(ceiling, abs=1e-4)


def test_a_code_that_is_ignored_has_a_bound_of_zero():
    found = evaluation.bound(reader((10,), confidence=0.0), CONFIG)
    assert found["mutual_information_bound"] == pytest.approx(0, abs=1e-4)


def test_a_code_that_is_misread_has_a_bound_below_zero():
    assert evaluation.bound(reader((10,), confidence=-1.0), CONFIG)["mutual_information_bound"] < -0.1


def test_a_code_that_is_half_read_lies_between_as_computed():
    found = evaluation.bound(reader((10,), confidence=2.0), CONFIG)
    expected = math.log(10) - (math.log(math.exp(2) + 9) - 2)
    assert found["mutual_information_bound"] == pytest.approx(expected, abs=1e-4)


def test_continuous_codes_do_not_count_in_the_bound():
    config = Config(num_z=1, num_continuous=3)
    assert evaluation.bound(reader((10,)), config)["mutual_information_ceiling"] == pytest.approx(math.log(10))


def test_without_a_categorical_code_there_is_no_accuracy_to_report():
    config = Config(num_z=1, num_continuous=2, categorical_sizes=())
    blank, labels = np.zeros([20, 28, 28], np.uint8), digits(20)
    numbers = evaluation.evaluate(reader(()), config, Mnist(blank, labels, blank, labels, sha256=""))
    assert numbers == {"mutual_information_bound": 0, "mutual_information_ceiling": 0}
    assert evaluation.report(numbers) == "Mutual-information bound: 0.000 of 0.000 nats"


# The report


def test_the_report_contains_the_numbers():
    labels = digits(1000)
    test = PERMUTED[labels]
    test[np.flatnonzero(labels == 3)[:37]] = PERMUTED[7]
    numbers = evaluation.evaluate(reader((10,)), CONFIG, data([PERMUTED[labels]], labels, [test], labels))
    lines = evaluation.report(numbers).splitlines()
    assert lines[0] == "Mutual-information bound: 2.303 of 2.303 nats"
    assert lines[1].endswith(str(DIGIT_OF.tolist()))
    assert lines[3 + 3].split() == "0 0 0 63 0 0 0 37 0 0 0".split()
    assert "2: 100.00%  3: 63.00%  4: 100.00%" in lines[-2]
    assert lines[-1] == "Test accuracy: 96.30%"
