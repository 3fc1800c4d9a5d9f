"""Splits, and the small networks that are trained on codes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cycle_vae import probes
from cycle_vae.config import Config
from cycle_vae.probes import Codes, Training
from shared import checkpoints

FAST = Training(hidden=(64,), batch_norm=False, batch_size=8, epochs=5)


pytestmark = pytest.mark.usefixtures("untraced")


def test_two_thirds_of_each_identity_train_and_39474_of_all_frames_test():
    identities = np.repeat(np.arange(672), 178)
    train, test = probes.stratified_split(identities)
    assert (len(train), len(test)) == (119616 - 39474, 39474)
    assert len(np.intersect1d(train, test)) == 0
    assert set(np.bincount(identities[test])) == {58, 59}


def test_a_split_is_stratified_whatever_the_order_of_the_identities():
    identities = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [10, 100, 1000]))
    _, test = probes.stratified_split(identities)
    assert len(test) == 367
    np.testing.assert_allclose(np.bincount(identities[test]) / [10, 100, 1000], 0.33, atol=0.1)


def test_a_probe_tells_what_is_there_and_guesses_what_is_not():
    labels = np.repeat([0, 1, 2], 40)
    generator = np.random.default_rng(0)
    codes = Codes(generator.normal(size=[120, 4]).astype(np.float32), np.zeros([120, 4], np.float32),
                  30 * np.eye(3, dtype=np.float32)[labels])  # fmt: skip
    numbers = probes.probe(codes, labels, probes.stratified_split(labels), FAST, Config(), "probe")
    assert numbers["s_accuracy"] == numbers["s_accuracy_best_epoch"] == 1
    assert numbers["z_accuracy"] <= numbers["z_accuracy_best_epoch"] < 0.65
    assert numbers["chance"] == pytest.approx(1 / 3, rel=0.05)


def test_chance_is_of_the_images_that_the_probe_is_tested_on():
    labels = np.repeat([0, 1], [30, 10])
    codes = Codes(np.zeros([40, 2], np.float32), np.zeros([40, 2], np.float32), np.zeros([40, 2], np.float32))
    rows = np.arange(28), np.arange(28, 40)
    assert probes.probe(codes, labels, rows, FAST, Config(), "probe")["chance"] == 10 / 12


def test_z_is_sampled_so_that_a_code_drowned_in_its_noise_tells_nothing():
    labels = np.repeat([0, 1], 40)
    mean = 30 * np.eye(2, dtype=np.float32)[labels]
    rows = probes.stratified_split(labels)

    def accuracy(log_variance):
        codes = Codes(mean, np.full([80, 2], log_variance, np.float32))
        network = probes.perceptron(2, 2, FAST)
        kind = probes.classification
        return probes.fit(network, codes, labels.astype(np.int32), rows, kind, FAST, 0, "")[-1]

    assert accuracy(-20) == 1
    assert accuracy(14) < 0.8


def test_every_test_image_counts_once_though_the_last_batch_is_partial(monkeypatch):
    """The original wrote the last batch's predictions to the rows of another."""
    monkeypatch.setattr(probes, "BATCH", 4)
    network = keras.Sequential([keras.Input([1]), keras.layers.Dense(2)])
    labels = np.array([0] * 8 + [1] * 3)
    codes = Codes(np.where(labels == 0, -1, 1).astype(np.float32)[:, None], None)
    network.layers[0].kernel.assign([[-50.0, 50.0]])
    rows = np.arange(4), np.arange(11)
    one = Training((), False, 4, 1)
    right = probes.fit(network, codes, labels.astype(np.int32), rows, probes.classification, one, 0, "")
    assert right.tolist() == [1.0]
    wrong = probes.fit(network, codes, np.zeros(11, np.int32), rows, probes.classification, one, 0, "")
    assert wrong == pytest.approx(8 / 11)


def test_a_predictor_learns_a_linear_map_and_reports_its_mean_squared_error():
    inputs = np.random.default_rng(0).normal(size=[120, 2]).astype(np.float32)
    targets = inputs @ np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]], np.float32)
    network = probes.perceptron(2, 3, Training((32,), False, 8, 0))
    rows = np.arange(80), np.arange(80, 120)
    training = Training((32,), False, 8, 12)
    errors = probes.fit(network, Codes(inputs, None), targets, rows, probes.regression, training, 0, "")
    assert errors[-1] < 0.7 * errors[0]
    expected = np.mean((network(inputs[80:]).numpy() - targets[80:]) ** 2)
    assert errors[-1] == pytest.approx(expected, rel=1e-4)


def random_codes(number, log_variance):
    """Of images with a z of 2 and an s of 3."""
    generator = np.random.default_rng(0)
    z, s = (generator.normal(size=[number, size]).astype(np.float32) for size in (2, 3))
    return Codes(z, np.full([number, 2], log_variance, np.float32), s)


def test_standardised_codes_have_mean_0_and_variance_1_over_the_rows_and_z_with_its_noise():
    generator = np.random.default_rng(0)
    mean, s = (generator.normal([-8, 40], [0.5, 3], size=[20_000, 2]) for _ in range(2))
    codes = Codes(mean, np.log([[4.0, 0.25]]) + np.zeros([20_000, 2]), s)
    rows = np.arange(10_000)
    z, log_variance, code_s = (np.asarray(part) for part in probes.standardised(codes, rows))
    samples = z + np.exp(log_variance / 2) * generator.normal(size=[20_000, 2])
    for code in (code_s, samples):
        np.testing.assert_allclose(code[rows].mean(0), 0, atol=0.04)
        np.testing.assert_allclose(code[rows].std(0), 1, rtol=0.04)
    np.testing.assert_allclose(np.exp(log_variance[0] / 2), [2 / np.sqrt(4.25), 0.5 / np.sqrt(9.25)], rtol=0.05)
    np.testing.assert_allclose(code_s[10_000:].std(0), 1, rtol=0.04)  # scaled as the rows are, not by themselves
    _, _, never_varying = probes.standardised(Codes(mean, codes.log_variance, 0 * s), rows)
    assert (never_varying == 0).all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_probes_are_float32_though_the_networks_are_not(batch_norm):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = probes.perceptron(2, 3, FAST._replace(batch_norm=batch_norm))
    codes, rows = random_codes(30, 0), (np.arange(20), np.arange(20, 30))
    probes.fit(network, Codes(codes.mean, None), codes.s, rows, probes.regression, FAST, 0, "")
    assert {layer.compute_dtype for layer in network.layers if layer.weights} == {"float32"}
    finer_than_bfloat16 = network(codes.mean).numpy()
    assert (finer_than_bfloat16 != tf.cast(tf.cast(finer_than_bfloat16, tf.bfloat16), tf.float32)).numpy().any()


def test_weight_decay_shrinks_a_weight_that_no_loss_holds():
    network = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    network.layers[0].kernel.assign([[1.0]])
    codes = Codes(np.zeros([8, 1], np.float32), None)
    probes.fit(network, codes, np.zeros([8, 1], np.float32), (np.arange(8), np.arange(8)), probes.regression,
                   Training((), False, 8, 10), 0, "")  # fmt: skip
    assert float(network.layers[0].kernel[0, 0]) == pytest.approx(0.99, abs=2e-3)  # Adam: 1e-3 a step


def test_the_protocols_are_the_originals():
    assert probes.COURSE_PROJECT == ((2048, 1024), False, 16, 200)
    assert probes.MNIST == ((256, 256), True, 64, 200)
    assert probes.QUICK == ((256, 256), True, 256, 10)


def random_problem():
    """Codes with noise of 60 images of 3 kinds, their labels, and which to train and to test on."""
    generator, labels = np.random.default_rng(0), (np.arange(60) % 3).astype(np.int32)
    mean = np.eye(3, dtype=np.float32)[labels] + generator.normal(size=[60, 3]).astype(np.float32)
    return Codes(mean, np.zeros([60, 3], np.float32)), labels, probes.stratified_split(labels)


def test_a_stopped_probe_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "SAVE_EVERY", 0.0)
    save, saved = checkpoints.save, []

    def stop_after_three(folder, step, **rest):
        save(folder, step, **rest)
        saved.append(step)
        if step == 3:
            raise KeyboardInterrupt

    def scores(folder):
        keras.utils.set_random_seed(0)
        network = probes.perceptron(3, 3, FAST)
        codes, labels, rows = random_problem()
        found = probes.fit(network, codes, labels, rows, probes.classification, FAST, 0, "probe", folder)
        return found, [np.asarray(weight) for weight in network.weights]

    unbroken, its_weights = scores(None)
    monkeypatch.setattr(checkpoints, "save", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        scores(tmp_path)
    resumed, weights = scores(tmp_path)
    assert saved == [1, 2, 3, 4, 5]
    assert "probe: goes on after 3 of 5 epochs" in capsys.readouterr().err
    assert len(set(unbroken)) > 1
    np.testing.assert_array_equal(resumed, unbroken)
    for one, other in zip(weights, its_weights):
        np.testing.assert_array_equal(one, other)


def test_a_short_probe_writes_no_checkpoint(tmp_path):
    codes, labels, rows = random_problem()
    probes.fit(probes.perceptron(3, 3, FAST), codes, labels, rows, probes.classification, FAST, 0, "", tmp_path)
    assert not list(tmp_path.iterdir())
