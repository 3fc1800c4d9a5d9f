"""What is measured, of which images."""

import keras
import numpy as np
import pytest

from cycle_vae import evaluation, probes
from cycle_vae.config import Config
from cycle_vae.evaluation import Labelled
from cycle_vae.probes import Codes, Training

pytestmark = pytest.mark.usefixtures("untraced")


# Labels


def test_labels_follow_characters_and_frames(small_sprites):
    characters, frames = small_sprites.frames.shape[:2]
    labelled = evaluation.labelled_sprites(small_sprites)
    assert labelled.identities.tolist() == np.repeat(range(characters), frames).tolist()
    assert labelled.held_out.reshape(characters, frames).all(axis=1).sum() == labelled.held_out.sum() / frames == 2
    assert labelled.factors["sex"].tolist() == np.repeat([0, 1, 0, 1, 0, 1], frames).tolist()
    directions = [pose["direction"] for pose in small_sprites.poses]
    assert labelled.factors["direction"][:frames].tolist() == [sorted(set(directions)).index(d) for d in directions]
    np.testing.assert_array_equal(labelled.images[frames + 3], small_sprites.frames[1, 3])


def test_the_original_archive_has_no_factors(small_sprites):
    data = small_sprites._replace(characters=[{"file": "a"}] * 6, poses=[{"sequence": "0"}] * 12)
    assert evaluation.labelled_sprites(data).factors == {}


def test_pictures_of_predictions_are_of_images_that_neither_networks_nor_predictors_saw():
    labelled = Labelled(np.zeros([60, 1, 1, 1]), np.arange(60) % 5, np.arange(60) >= 30, {})
    _, tests = probes.stratified_split(labelled.identities)
    unseen = evaluation.unseen_by_predictors(labelled)
    assert set(np.flatnonzero(unseen.held_out)) == set(tests) & set(range(30, 60)) != set()


def test_held_out_images_are_of_different_identities_while_there_are_any():
    images = np.arange(40, dtype=np.uint8)[:, None, None, None]
    labelled = Labelled(images, np.arange(40) % 5, np.arange(40) >= 20, {})
    chosen = np.rint(evaluation.held_out(labelled, 0, 7).ravel() * 255).astype(int)
    assert len(set(chosen[:5] % 5)) == 5 and len(set(chosen)) == 7 and chosen.min() >= 20


# Probes and predictors


def random_codes(number, log_variance):
    """Of images with a z of 2 and an s of 3."""
    generator = np.random.default_rng(0)
    z, s = (generator.normal(size=[number, size]).astype(np.float32) for size in (2, 3))
    return Codes(z, np.full([number, 2], log_variance, np.float32), s)


def test_predictors_take_the_mean_of_z_for_input_and_for_target(monkeypatch):
    monkeypatch.setattr(probes, "COURSE_PROJECT", Training(hidden=(64,), batch_norm=False, batch_size=8, epochs=1))
    labelled = Labelled(np.zeros([30, 2, 2, 3]), np.arange(30) % 3, np.zeros(30, bool), {})

    def errors(log_variance):
        monkeypatch.setattr(evaluation, "encode_all", lambda *_: random_codes(30, log_variance))
        return evaluation.predictors(None, Config(), labelled, None)[0]

    assert errors(log_variance=10) == errors(log_variance=-20)


@pytest.mark.parametrize("epochs, slow, quick", [(None, 200, 10), (3, 3, 3), (20, 20, 10), (300, 200, 10)])
def test_probe_epochs_cut_short_and_never_lengthen(monkeypatch, epochs, slow, quick, small_sprites):
    used = {}

    def probe(code, codes, labels, rows, training, config, name, folder=None):
        used[name] = training.epochs
        return {f"{code}_accuracy": 0.0, "chance": 0.0}

    monkeypatch.setattr(probes, "probe_code", probe)
    labelled = evaluation.labelled_sprites(small_sprites)
    monkeypatch.setattr(evaluation, "encode_all", lambda *_: random_codes(len(labelled.images), 0))
    list(evaluation.classify(None, Config(), labelled, epochs, {}, None))
    assert used == dict.fromkeys(["Identity", "Identity_test_identities"], slow)
    used.clear()
    evaluation.quick_probes(None, Config(), labelled, epochs)
    assert used == dict.fromkeys(["Identity, quick probe", *labelled.factors], quick)


@pytest.mark.parametrize("data_set, endings", [("sprites", ["_test_identities", ""]), ("mnist", ["", "_all_images"])])
def test_a_probe_whose_numbers_are_there_is_not_trained_again(monkeypatch, data_set, endings, small_sprites):
    trained = []

    def probe(code, codes, labels, rows, training, config, name, folder=None):
        trained.append(f"{name} from {code}")
        return {f"{code}_accuracy": 0.5, f"{code}_accuracy_best_epoch": 0.6, "chance": 0.1}

    monkeypatch.setattr(probes, "probe_code", probe)
    labelled = evaluation.labelled_sprites(small_sprites)
    monkeypatch.setattr(evaluation, "encode_all", lambda *_: random_codes(len(labelled.images), 0))

    def classify(earlier):
        return list(evaluation.classify(None, Config(data_set=data_set), labelled, None, earlier, None))

    found = classify({})
    everything = [f"Identity{ending} from {code}" for ending in endings for code in ("s", "z")]
    assert trained == everything
    other = endings[1]
    assert found[2] == {f"s_accuracy{other}": 0.5, f"s_accuracy_best_epoch{other}": 0.6, f"chance{other}": 0.1}

    trained.clear()
    first = {name: value / 2 for name, value in found[0].items()}
    half = {f"z_accuracy{other}": 0.3}  # without the rest of that probe's numbers
    assert classify(first | half | {"quick_z_accuracy": 0.1}) == [first, *found[1:]]
    assert trained == everything[1:]


def test_other_weights_have_another_digest():
    encoder = keras.Sequential([keras.Input([1]), keras.layers.Dense(2)])
    first = evaluation.digest(encoder)
    assert evaluation.digest(encoder) == first
    encoder.layers[0].kernel.assign_add([[0.0, 1e-6]])
    assert evaluation.digest(encoder) != first


def test_numbers_of_other_weights_are_not_taken(tmp_path):
    assert evaluation.earlier_numbers(tmp_path, step=2) == {}
    for text in ("[]", "{", '{"step": 3, "x": 1.0}', '{"step": 2, "encoder": "b", "x": 1.0}', '{"step": 2, "x": 1.0}'):
        (tmp_path / "evaluation.json").write_text(text)
        assert evaluation.earlier_numbers(tmp_path, step=2, encoder="a") == {}
    assert evaluation.earlier_numbers(tmp_path, step=2) == {"x": 1.0}
    (tmp_path / "evaluation.json").write_text('{"step": 2, "encoder": "a", "x": 1.0}')
    assert evaluation.earlier_numbers(tmp_path, step=2, encoder="a") == {"x": 1.0}


def test_a_probe_never_goes_on_from_another_probe(monkeypatch, tmp_path, small_sprites):
    folders = []

    def probe(code, *rest):
        folders.append(rest[-1])
        return {f"{code}_accuracy": 0.0, "chance": 0.0}

    monkeypatch.setattr(probes, "probe_code", probe)
    labelled = evaluation.labelled_sprites(small_sprites)
    monkeypatch.setattr(evaluation, "encode_all", lambda *_: random_codes(len(labelled.images), 0))
    for _ in range(2):
        list(evaluation.classify(None, Config(), labelled, None, {}, tmp_path))
    assert folders[:4] == folders[4:] and len(set(folders)) == 4
    assert all(folder.parent == tmp_path for folder in folders)


def test_quick_probes_see_standardised_codes_and_the_published_protocols_plain_ones(monkeypatch, small_sprites):
    """s may lie at 30 and vary by 0.5: the same network then told a character's torso in 52 or 99 % of its frames."""
    means = {}

    def probe(code, codes, labels, rows, training, config, name, folder=None):
        means[name] = [float(np.mean(part[rows[0]])) for part in (codes.mean, codes.s)]
        return {f"{code}_accuracy": 0.0, "chance": 0.0}

    monkeypatch.setattr(probes, "probe_code", probe)
    labelled = evaluation.labelled_sprites(small_sprites)
    plain = random_codes(len(labelled.images), 0)
    far = plain._replace(mean=plain.mean - 7, s=plain.s + 30)
    monkeypatch.setattr(evaluation, "encode_all", lambda *_: far)
    list(evaluation.classify(None, Config(), labelled, None, {}, None))
    for z, s in means.values():
        assert z < -6 and s > 29
    means.clear()
    evaluation.quick_probes(None, Config(), labelled)
    assert len(means) == 8
    np.testing.assert_allclose(list(means.values()), 0, atol=1e-4)


def test_the_predictors_are_the_originals():
    assert (evaluation.S_FROM_Z, evaluation.Z_FROM_S) == ((256, 128), (128, 256))
