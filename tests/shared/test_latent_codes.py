"""Latent codes: what would be broken if a test here failed is their distribution, their order, or resuming."""

import numpy as np
import pytest
import tensorflow as tf

from shared import latent_codes
from shared.latent_codes import Codes, CodeSizes

SIZES = CodeSizes(noise=2, categorical=(10, 3, 10), continuous=2)
MANY = 20_000
# Of 20,000 numbers ~ U(-1, 1): five standard errors of the mean, and of the variance. The key is fixed: no luck needed.
MEAN_TOLERANCE = 5 * np.sqrt(1 / 3 / MANY)
VARIANCE_TOLERANCE = 5 * np.sqrt(4 / 45 / MANY)

# Rows that can be told apart: row k has noise 10 k + column, and so on.
HAND_MADE = Codes(
    noise=tf.constant([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0]]),
    categorical=(tf.one_hot([0, 2, 1], 3), tf.one_hot([1, 0, 1], 2)),
    continuous=tf.constant([[0.1, 0.2, 0.3], [1.1, 1.2, 1.3], [2.1, 2.2, 2.3]]),
)


def flat(codes):
    return [part.numpy().tolist() for part in tf.nest.flatten(codes)]


def draw(number=4, seed=0, step=0, sizes=SIZES):
    return latent_codes.sample(sizes, number, latent_codes.key(seed, step))


@pytest.fixture(scope="module")
def many():
    return draw(MANY, seed=3, step=7)


@pytest.mark.parametrize("part", ["noise", "continuous"])
def test_noise_and_continuous_codes_are_uniform_from_minus_one_to_one(many, part):
    values = getattr(many, part).numpy()
    assert values.shape == (MANY, 2) and values.dtype == np.float32
    assert values.min() >= -1 and values.max() <= 1
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=MEAN_TOLERANCE)
    np.testing.assert_allclose(values.var(axis=0), 1 / 3, atol=VARIANCE_TOLERANCE)
    tenths, _ = np.histogram(values, bins=10, range=(-1, 1))
    assert chi_square(tenths) < 28, "99.9 % of uniform samples stay below"


def chi_square(counts):
    """With 9 degrees of freedom, above 28 once in a thousand samples; with 2, above 14."""
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(("which", "classes", "limit"), [(0, 10, 28), (1, 3, 14), (2, 10, 28)])
def test_every_class_of_a_categorical_code_is_as_likely_as_the_others(many, which, classes, limit):
    one_hot = many.categorical[which].numpy()
    assert one_hot.shape == (MANY, classes)
    assert chi_square(one_hot.sum(axis=0)) < limit


def test_categorical_codes_are_one_hot(many):
    for code in many.categorical:
        assert code.dtype == tf.float32
        assert set(np.unique(code)) == {0.0, 1.0}
        assert (code.numpy().sum(axis=1) == 1).all()


def test_no_part_of_a_code_tells_anything_about_another(many):
    columns = latent_codes.concatenate(many).numpy()
    correlation = np.abs(np.corrcoef(columns.T))
    for block in (slice(2, 12), slice(12, 15), slice(15, 25)):  # the classes of one code exclude each other
        correlation[block, block] = 0
    np.fill_diagonal(correlation, 0)
    assert correlation.max() < 5 / np.sqrt(MANY)


def test_equal_keys_give_equal_codes_whatever_was_drawn_before():
    first = flat(draw(seed=5, step=9))
    tf.random.set_seed(1)
    tf.random.normal([3])
    draw(seed=6)
    assert flat(draw(seed=5, step=9)) == first
    assert (
        flat(latent_codes.sample.python_function(SIZES, 4, latent_codes.key(tf.constant(5), tf.constant(9)))) == first
    )


def test_seeds_and_steps_each_have_codes_of_their_own():
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (0, -1), (2**31 - 1, 0)]
    drawn = [flat(draw(seed=seed, step=step)) for seed, step in keys]
    noise, *_, continuous = zip(*drawn)
    for part in (noise, continuous, drawn):
        assert len({str(values) for values in part}) == len(keys)


def test_a_system_without_categorical_or_continuous_codes_can_sample():
    codes = draw(sizes=CodeSizes(noise=3, categorical=(), continuous=0))
    assert codes.categorical == ()
    assert codes.continuous.shape == (4, 0)
    np.testing.assert_array_equal(latent_codes.concatenate(codes), codes.noise)


def test_the_total_is_the_length_of_what_concatenate_gives():
    assert SIZES.total == 2 + 10 + 3 + 10 + 2
    assert latent_codes.concatenate(draw()).shape == (4, SIZES.total)


def test_the_generator_is_fed_noise_then_categories_in_order_then_continuous_codes():
    assert latent_codes.concatenate(HAND_MADE)[1].numpy().tolist() == pytest.approx(
        [10, 11, 0, 0, 1, 1, 0, 1.1, 1.2, 1.3]
    )


def test_take_gives_the_rows_that_were_asked_for_in_every_part():
    taken = latent_codes.take(HAND_MADE, [2, 0, 2])
    np.testing.assert_array_equal(
        latent_codes.concatenate(taken), latent_codes.concatenate(HAND_MADE).numpy()[[2, 0, 2]]
    )
    assert len(taken.categorical) == 2


@pytest.mark.parametrize("which", [0, 1])
def test_setting_one_categorical_code_leaves_the_rest_alone(which):
    changed = latent_codes.with_categories(HAND_MADE, which, np.array([1, 1, 0]))
    classes = HAND_MADE.categorical[which].shape[1]
    expected = list(HAND_MADE.categorical)
    expected[which] = tf.one_hot([1, 1, 0], classes)
    assert flat(changed) == flat(HAND_MADE._replace(categorical=tuple(expected)))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_setting_one_continuous_code_leaves_the_rest_alone(which):
    changed = latent_codes.with_continuous(HAND_MADE, which, np.array([7.0, 8.0, 9.0]))
    expected = HAND_MADE.continuous.numpy()
    expected[:, which] = [7, 8, 9]
    assert flat(changed) == flat(HAND_MADE._replace(continuous=tf.constant(expected)))
    assert changed.continuous.dtype == tf.float32
