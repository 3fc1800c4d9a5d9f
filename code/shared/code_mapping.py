"""Which label each category of a code stands for, and how well it does; numpy and scipy only."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from shared.flags import require

UNMATCHED = -1


def match(categories: np.ndarray, labels: np.ndarray, num_categories: int, num_labels: int = 10) -> np.ndarray:
    """The one-to-one map from categories to labels under which most images agree.

    Give it training labels: a map made on test labels would inflate the accuracy.

    Args:
        categories: int [number], 0 to num_categories - 1, what the code says of each image.
        labels: int [number], 0 to num_labels - 1.
    Returns:
        int [num_categories]: the label of each category; UNMATCHED where there are more categories than labels.
    Raises:
        UserError: lengths differ, or nothing was given.
    """
    require(len(categories) == len(labels) > 0, f"got {len(categories)} categories for {len(labels)} labels")
    counts = np.zeros([num_categories, num_labels], int)
    np.add.at(counts, (categories, labels), 1)
    mapping = np.full(num_categories, UNMATCHED)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    mapping[rows] = columns
    return mapping


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of images whose predicted label is theirs."""
    require(len(predicted) == len(labels) > 0, f"got {len(predicted)} predictions for {len(labels)} labels")
    return float(np.mean(predicted == labels))


def confusion(predicted: np.ndarray, labels: np.ndarray, num_labels: int = 10) -> np.ndarray:
    """int [num_labels, num_labels + 1]: row k counts what images of label k were called; last column: unmatched."""
    counts = np.zeros([num_labels, num_labels + 1], int)
    np.add.at(counts, (labels, np.where(predicted == UNMATCHED, num_labels, predicted)), 1)
    return counts
