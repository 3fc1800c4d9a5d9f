"""Weights that come with the project: that a fresh clone would measure other numbers than recorded."""

import dataclasses
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cycle_vae import pairs as cycle_pairs
from shared import run_folders, trained_models
from shared.datasets import mnist
from vae_gan import data as vae_gan_data

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "data" / "mnist_sample"
RECORDS = {path.parent: json.loads(path.read_text()) for path in ROOT.glob("code/*/pretrained/*/evaluation.json")}
CLASSIFIERS = [folder for folder, record in RECORDS.items() if "mapping" in record]


def loaded(folder, networks_published=None):
    """A published folder's networks, filled, with its config and the modules that measure it.

    networks_published: how many there are, where the last ones that are built, the discriminators, are not.
    """
    system = folder.parents[1].name
    settings, networks, *measuring = (
        importlib.import_module(f"{system}.{name}") for name in ("config", "networks", "evaluation", "pictures")
    )
    config = dataclasses.replace(run_folders.saved_config(folder, system, settings.Config), precision="float32")
    built = networks.build_networks(config)
    assert trained_models.fill(built[:networks_published], folder) == RECORDS[folder]["step"]
    return built, config, *measuring


def assert_as_recorded(accuracy, number, recorded):
    """Within four standard deviations of the fraction recorded, as measured on so many images."""
    assert abs(accuracy - recorded) < 4 * math.sqrt(recorded * (1 - recorded) / number)


@pytest.fixture(scope="module")
def digits():
    return mnist.load(SAMPLE, unverified=True)


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: "-".join(folder.parts[-3::2]))
def test_published_weights_sort_real_digits_as_well_as_recorded(folder, digits):
    record = RECORDS[folder]
    networks, _, evaluation, _ = loaded(folder, 2 if "bi_infogan" in folder.parts else None)
    named = np.array(record["mapping"])[evaluation.categories(networks, digits.test_images)[:, record["code"]]]
    assert_as_recorded(np.mean(named == digits.test_labels), len(named), record["accuracy"])


def test_there_are_such_weights():
    assert CLASSIFIERS


def test_published_image_translation_recognises_and_makes_digits_as_well_as_recorded(digits, monkeypatch):
    folder = ROOT / "code" / "image_translation" / "pretrained" / "default"
    networks, config, evaluation, _ = loaded(folder, 2)
    judge = evaluation.classifier.load(folder.parent / "judge")
    monkeypatch.setattr(evaluation, "GENERATED_OF_DIGIT", 30)
    numbers, record = evaluation.evaluate(networks, config, digits, judge), RECORDS[folder]
    for name, number in (("encoder", len(digits.test_labels)), ("judge", len(digits.test_labels)), ("generator", 300)):
        assert_as_recorded(numbers[f"{name}_accuracy"], number, record[f"{name}_accuracy"])


def test_published_vae_gan_reconstructs_digits_as_well_as_recorded(digits):
    folder = ROOT / "code" / "vae_gan" / "pretrained" / "mnist"
    networks, _, evaluation, _ = loaded(folder, 3)
    numbers = evaluation.reconstruction_errors(networks, vae_gan_data.padded(digits.test_images[:200]))
    assert numbers["pixel_error"] == pytest.approx(RECORDS[folder]["pixel_error"], rel=0.2)
    assert numbers["kl"] == pytest.approx(RECORDS[folder]["kl"], rel=0.1)


def test_published_vae_gan_draws_characters_of_its_own_size_that_differ():
    networks, config, _, pictures = loaded(ROOT / "code" / "vae_gan" / "pretrained" / "cns", 3)
    drawn = pictures.generate_all(networks, pictures.prior(config, 8))
    assert drawn.shape == (8, 32, 32, 1) and np.isfinite(drawn).all()
    assert drawn.mean() < -0.4 and drawn.std(axis=0).mean() > 0.2  # strokes on black, not the same twice


def test_published_cycle_vae_decodes_a_digit_from_its_own_z_and_the_s_of_another_of_its_kind(digits):
    networks, _, _, pictures = loaded(ROOT / "code" / "cycle_vae" / "pretrained" / "mnist")
    order = np.argsort(digits.test_labels, kind="stable")
    images = tf.constant(cycle_pairs.scale_to_unit(digits.test_images[order][..., np.newaxis]))
    z, _, s = pictures.encode(networks, images)
    same = digits.test_labels[order][1:] == digits.test_labels[order][:-1]
    errors = np.mean((pictures.decode(networks, z[1:], s[:-1]) - images[1:]) ** 2, axis=(1, 2, 3))
    variance = np.var(images, axis=0).mean()  # the error of always decoding the mean image
    assert errors[same].mean() < 0.5 * variance < errors[~same].mean()


@pytest.mark.parametrize("folder", RECORDS, ids=lambda folder: "-".join(folder.parts[-3::2]))
def test_published_weights_are_no_larger_than_promised(folder):
    system = folder.parents[1].name
    assert (folder / "weights.npz").stat().st_size < {"bi_infogan": 10e6, "cycle_vae": 5e6}.get(system, 20e6)


def test_image_translations_networks_and_judge_are_no_larger_together_than_promised():
    files = list((ROOT / "code" / "image_translation" / "pretrained").rglob("weights.npz"))
    assert len(files) == 2 and sum(path.stat().st_size for path in files) < 12e6
