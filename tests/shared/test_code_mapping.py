"""Categories to labels, by hand: what would be broken is every accuracy that the project reports."""

import numpy as np
import pytest

from shared import code_mapping
from shared.code_mapping import UNMATCHED
from shared.flags import UserError


def images(counts):
    """Categories and labels of as many images as the table has in row `category`, column `label`."""
    pairs = [(c, k) for c, row in enumerate(counts) for k, number in enumerate(row) for _ in range(number)]
    categories, labels = np.array(pairs).T
    return categories, labels


def match(counts):
    categories, labels = images(counts)
    return code_mapping.match(categories, labels, num_categories=len(counts), num_labels=len(counts[0])).tolist()


def test_each_category_goes_to_the_label_it_agrees_with():
    assert match([[1, 8, 0], [0, 1, 7], [9, 0, 2]]) == [1, 2, 0]


def test_the_map_is_the_best_of_all_and_not_the_greedy_one():
    # The largest count first: 0 -> 0 (5), 1 -> 1 (0), 5 images in all. The other way: 4 + 4.
    assert match([[5, 4], [4, 0]]) == [1, 0]


def test_one_label_that_dominates_every_category_is_given_to_one_of_them_only():
    mapping = match([[90, 1, 0, 0], [80, 0, 5, 0], [95, 0, 0, 4], [100, 0, 0, 0]])
    assert mapping == [1, 2, 3, 0]


def test_a_code_that_says_the_same_of_every_image_still_gets_a_one_to_one_map():
    labels = np.arange(1000) % 10
    mapping = code_mapping.match(np.full(1000, 4), labels, num_categories=10)
    assert sorted(mapping.tolist()) == list(range(10))
    assert code_mapping.accuracy(mapping[np.full(1000, 4)], labels) == 0.1


def test_random_tables_have_one_to_one_maps():
    generator = np.random.default_rng(0)
    for _ in range(20):
        mapping = match(generator.integers(1, 50, [6, 6]).tolist())
        assert sorted(mapping) == list(range(6))


def test_categories_beyond_the_number_of_labels_stay_unmatched():
    assert match([[0, 3], [1, 1], [4, 0], [2, 2]]) == [1, UNMATCHED, 0, UNMATCHED]


def test_fewer_categories_than_labels_each_get_a_label():
    assert match([[3, 0, 6, 0], [0, 2, 5, 0]]) == [2, 1]


def test_a_category_and_a_label_that_never_occur_do_not_break_the_map():
    mapping = code_mapping.match(np.array([0, 0, 2]), np.array([1, 1, 0]), num_categories=3, num_labels=3)
    assert mapping.tolist() == [1, 2, 0]


@pytest.mark.parametrize(("categories", "labels"), [([0, 1], [0]), ([], []), ([], [1])])
def test_lengths_that_differ_and_nothing_at_all_are_refused(categories, labels):
    with pytest.raises(UserError, match=f"got {len(categories)} categories for {len(labels)} labels"):
        code_mapping.match(np.array(categories, int), np.array(labels, int), num_categories=10)
    with pytest.raises(UserError, match=f"got {len(categories)} predictions for {len(labels)} labels"):
        code_mapping.accuracy(np.array(categories, int), np.array(labels, int))


def test_accuracy_is_the_fraction_that_is_right_and_unmatched_is_wrong():
    accuracy = code_mapping.accuracy(np.array([3, UNMATCHED, 5, 7]), np.array([3, 1, 5, 2]))
    assert accuracy == 0.5 and type(accuracy) is float  # JSON cannot hold numpy's


def test_confusion_has_a_row_a_label_and_unmatched_images_in_the_last_column():
    predicted, labels = np.array([0, 2, UNMATCHED, 1, 1, UNMATCHED]), np.array([0, 0, 0, 1, 2, 2])
    assert code_mapping.confusion(predicted, labels, num_labels=3).tolist() == [
        [1, 0, 1, 1],
        [0, 1, 0, 0],
        [0, 1, 0, 1],
    ]


def test_the_diagonal_of_the_confusion_is_the_accuracy():
    categories, labels = images([[7, 1, 2], [0, 4, 1], [3, 0, 6]])
    mapping = code_mapping.match(categories, labels, num_categories=3, num_labels=3)
    table = code_mapping.confusion(mapping[categories], labels, num_labels=3)
    assert table.sum() == len(labels) == 24
    assert np.trace(table) / len(labels) == code_mapping.accuracy(mapping[categories], labels) == 17 / 24
