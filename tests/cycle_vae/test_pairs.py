"""Which images a step is given: pairs of one identity, every image once a pass, and the same after a break."""

import numpy as np
import pytest

from cycle_vae import pairs
from shared.datasets.mnist import Mnist
from shared.datasets.sprites import Sprites
from shared.flags import UserError

CHARACTERS, FRAMES = 5, 9
# Image number i is a plain grey of value i.
GREYS = np.broadcast_to(np.arange(CHARACTERS * FRAMES, dtype=np.uint8).reshape(CHARACTERS, FRAMES, 1, 1, 1),
                        [CHARACTERS, FRAMES, 2, 2, 3])  # fmt: skip
SPRITES = Sprites(GREYS, [], [], "")
TRAIN = np.array([0, 2, 3])
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 2, 0, 1], np.uint8)  # one image alone of its class
MNIST = Mnist(np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None], [10, 2, 2]), LABELS, None, None, "")


def numbers(images):
    return np.rint(images[:, 0, 0, 0] * 255).astype(int)


def test_fixed_pairs_never_mix_characters_and_hold_each_frame_of_the_training_characters_at_most_once():
    paired = pairs.of_sprites(SPRITES, TRAIN, seed=0)
    assert paired.fixed is not None and paired.number == 3 * (FRAMES // 2)
    assert (paired.fixed[:, 0] // FRAMES == paired.fixed[:, 1] // FRAMES).all()
    assert set(paired.fixed.ravel() // FRAMES) == set(TRAIN)
    assert len(set(paired.fixed.ravel())) == paired.fixed.size
    again, other = pairs.of_sprites(SPRITES, TRAIN, seed=0), pairs.of_sprites(SPRITES, TRAIN, seed=1)
    np.testing.assert_array_equal(again.fixed, paired.fixed)
    assert (other.fixed != paired.fixed).any()


def test_the_whole_data_set_has_89_pairs_a_character():
    frames = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), [672, 178, 1, 1, 3], [0, 0, 0, 0, 1])
    paired = pairs.of_sprites(Sprites(frames, [], [], ""), np.arange(450), seed=0)
    assert (paired.number, pairs.steps_per_epoch(paired, 16)) == (450 * 89, 2503)


def test_frames_are_not_read_before_they_are_wanted(tmp_path):
    np.save(tmp_path / "frames.npy", GREYS)
    data = SPRITES._replace(frames=np.load(tmp_path / "frames.npy", mmap_mode="r"))
    paired = pairs.of_sprites(data, TRAIN, seed=0)
    assert isinstance(paired.images, np.memmap)
    assert np.shares_memory(paired.images, data.frames)


@pytest.mark.parametrize(
    "paired", [pairs.of_sprites(SPRITES, TRAIN, 0), pairs.of_mnist(MNIST)], ids=["sprites", "mnist"]
)
def test_a_batch_pairs_images_of_one_identity_and_is_in_0_to_1(paired):
    for step in range(8):
        batch = pairs.batch(paired, step, 3, seed=1)
        assert all(images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1 for images in batch)
        ones, twos = numbers(batch.image_1), numbers(batch.image_2)
        np.testing.assert_array_equal(paired.identities[ones], paired.identities[twos])
        alone = paired.identities[ones] == 2 if paired.fixed is None else np.zeros(3, bool)
        np.testing.assert_array_equal(ones == twos, alone)


def test_a_pass_over_the_data_takes_every_image_once_through_all_three_parts_of_a_step():
    paired = pairs.of_mnist(MNIST)
    given = [pairs.batch(paired, step, 3, seed=1) for step in range(2)]
    order = [numbers(images) for b in given for images in (b.image_1, b.reverse_image_1, b.reverse_image_2)]
    first_pass, second_pass = np.concatenate(order[:3]), np.concatenate(order[3:])
    assert len(set(first_pass)) == len(set(second_pass)) == 9
    assert first_pass.tolist() != second_pass.tolist()


def test_partners_are_drawn_from_all_others_of_the_class_alike_and_anew():
    paired, chosen = pairs.of_mnist(MNIST), np.array([0, 3, 7])
    drawn = np.array([pairs.partners(paired, chosen, 0, step) for step in range(400)])
    assert [sorted(set(column)) for column in drawn.T] == [[2, 4, 6, 8], [1, 5, 9], [7]]
    assert np.bincount(drawn[:, 0])[[2, 4, 6, 8]].min() > 70


def test_a_batch_is_a_function_of_seed_and_step_alone():
    paired = pairs.of_mnist(MNIST)
    first = pairs.batch(paired, 5, 3, seed=1)
    pairs.batch(paired, 0, 3, seed=2)
    for a, b in zip(first, pairs.batch(paired, 5, 3, seed=1)):
        np.testing.assert_array_equal(a, b)
    assert (first.image_1 != pairs.batch(paired, 5, 3, seed=2).image_1).any()


def test_a_batch_larger_than_the_pairs_is_refused():
    with pytest.raises(UserError, match="batch_size is 13: allowed are 1 to 12"):
        pairs.steps_per_epoch(pairs.of_sprites(SPRITES, TRAIN, 0), 13)
