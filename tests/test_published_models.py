"""Weights that come with the project: that a fresh clone would measure other numbers than recorded."""

import dataclasses
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from shared import run_folders, trained_models
from shared.datasets import mnist

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "data" / "mnist_sample"
RECORDS = {path.parent: json.loads(path.read_text()) for path in ROOT.glob("code/*/pretrained/*/evaluation.json")}
CLASSIFIERS = [folder for folder, record in RECORDS.items() if "mapping" in record]


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: "-".join(folder.parts[-3::2]))
def test_published_weights_sort_real_digits_as_well_as_recorded(folder):
    system, record = folder.parents[1].name, RECORDS[folder]
    settings, networks, evaluation = (
        importlib.import_module(f"{system}.{name}") for name in ("config", "networks", "evaluation")
    )
    config = dataclasses.replace(run_folders.saved_config(folder, system, settings.Config), precision="float32")
    built = networks.build_networks(config)
    filled = built[:2] if system == "bi_infogan" else built  # no discriminator is published there
    assert trained_models.fill(filled, folder) == record["step"]
    data = mnist.load(SAMPLE, unverified=True)
    digits = np.array(record["mapping"])[evaluation.categories(built, data.test_images)[:, record["code"]]]
    accuracy = np.mean(digits == data.test_labels)
    deviation = math.sqrt(record["accuracy"] * (1 - record["accuracy"]) / len(digits))
    assert abs(accuracy - record["accuracy"]) < 4 * deviation


def test_there_are_such_weights():
    assert CLASSIFIERS


@pytest.mark.parametrize("folder", RECORDS, ids=lambda folder: "-".join(folder.parts[-3::2]))
def test_published_weights_are_no_larger_than_promised(folder):
    system = folder.parents[1].name
    assert (folder / "weights.npz").stat().st_size < {"bi_infogan": 10e6, "cycle_vae": 5e6}.get(system, 20e6)


def test_image_translations_networks_and_judge_are_no_larger_together_than_promised():
    files = list((ROOT / "code" / "image_translation" / "pretrained").rglob("weights.npz"))
    assert len(files) == 2 and sum(path.stat().st_size for path in files) < 12e6
