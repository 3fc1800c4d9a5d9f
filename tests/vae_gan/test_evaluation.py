"""The measured numbers, arithmetic files, and the commands from a font to every picture."""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFont
from vae_gan_tiny import CONFIG, SIDE, architecture, data

from shared import flags, run_folders
from shared.datasets import cns, mnist
from shared.flags import UserError
from vae_gan import data as data_module
from vae_gan import evaluate_model, evaluation, make_cns, pictures, train_cns, train_mnist
from vae_gan.networks import build_networks

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "mnist_sample"
LINES = Path(evaluate_model.__file__).with_name("arithmetic.txt")


pytestmark = pytest.mark.usefixtures("untraced")


# Numbers


def test_the_frechet_distance_is_that_of_two_gaussians():
    generator = np.random.default_rng(0)
    a = generator.standard_normal([200_000, 2]) * [1, 2]
    b = generator.standard_normal([200_000, 2]) * [3, 1] + [0, 4]
    expected = 16 + (1 - 3) ** 2 + (2 - 1) ** 2  # of independent features
    assert evaluation.frechet_distance(a, b) == pytest.approx(expected, rel=0.02)
    assert evaluation.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert evaluation.frechet_distance(b, a) == pytest.approx(evaluation.frechet_distance(a, b))


def test_the_frechet_distance_of_correlated_and_of_constant_features():
    generator = np.random.default_rng(0)
    a = generator.standard_normal([100_000, 1]) * [1, 1]  # one number twice
    b = a * [1, -1]
    # Covariances [[1, 1], [1, 1]] and [[1, -1], [-1, 1]]: their product is 0.
    assert evaluation.frechet_distance(a, b) == pytest.approx(4, rel=0.02)
    assert evaluation.frechet_distance(np.zeros([5, 2]), np.ones([5, 2])) == pytest.approx(2)


def test_reconstruction_errors_are_means_over_images_whatever_the_batch(monkeypatch):
    networks, images = build_networks(CONFIG), data().held_out_images
    whole = evaluation.reconstruction_errors(networks, images)
    monkeypatch.setattr(evaluation, "BATCH", 4)
    assert evaluation.reconstruction_errors(networks, images) == pytest.approx(whole, rel=1e-5)

    x = tf.constant(data_module.scale_to_symmetric(images))
    mean, log_variance = (part.numpy() for part in networks.encoder(x, training=False))
    made = networks.generator(mean, training=False)
    distance = np.square(networks.features(x, training=False) - networks.features(made, training=False)).sum(axis=1)
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1)
    expected = {"pixel_error": np.square(x - made).mean(), "feature_error": distance.mean() / 2, "kl": kl.mean()}
    assert whole == pytest.approx(expected, rel=1e-4)


def test_the_judge_is_the_same_for_every_run_and_learns_its_labels(monkeypatch):
    found = data(train=40, held_out=20, labels=2)
    for images, labels in ((found.train_images, found.train_labels), (found.held_out_images, found.held_out_labels)):
        images[labels == 1] //= 4
    monkeypatch.setattr(evaluation, "JUDGE_STEPS", 15)
    monkeypatch.setattr(evaluation, "SAMPLES", 100)
    networks = build_networks(CONFIG)
    samples = {"": pictures.generate_all(networks, pictures.prior(CONFIG, 100))}
    samples["_of_the_same"] = samples[""]
    numbers = evaluation.distances(samples, found)
    assert numbers["judge_accuracy"] > 0.9
    assert 0 <= numbers["frechet_distance_of_training_images"] < numbers["frechet_distance"]
    assert numbers["frechet_distance_of_the_same"] == numbers["frechet_distance"]
    tf.random.set_seed(5)
    assert evaluation.distances(samples, found) == pytest.approx(numbers, rel=1e-4)


def test_training_images_are_compared_in_the_number_of_the_samples(monkeypatch):
    """A distance of fewer is larger, and would make the best that there is look worse."""
    compared = []
    monkeypatch.setattr(evaluation, "judge", lambda _: (None, None))
    monkeypatch.setattr(evaluation, "judged", lambda _, images: np.zeros([len(images), 2]))
    monkeypatch.setattr(evaluation, "frechet_distance", lambda real, others: compared.append(len(others)) or 0.0)
    for samples, expected in ((20, 20), (100, 30)):
        monkeypatch.setattr(evaluation, "SAMPLES", samples)
        evaluation.distances({}, data(train=30, held_out=10))
        assert compared.pop() == expected


def test_near_copies_are_counted_whatever_their_contrast_and_an_image_is_none_of_itself():
    images = np.random.default_rng(0).standard_normal([6, 8, 8, 1])
    assert evaluation.near_copies(images) == 0
    images[4] = 0.1 * images[1] - 0.5
    assert evaluation.near_copies(images) == pytest.approx(2 / 6)
    assert evaluation.near_copies(np.zeros([3, 8, 8, 1])) == 0


def test_images_without_a_label_are_neither_the_judges_lessons_nor_its_questions(monkeypatch):
    found = data(train=40, held_out=20, labels=2)
    for images, labels in ((found.train_images, found.train_labels), (found.held_out_images, found.held_out_labels)):
        images[labels == 1] //= 4
        labels[::3] = cns.NO_RADICAL
    monkeypatch.setattr(evaluation, "JUDGE_STEPS", 15)
    monkeypatch.setattr(evaluation, "SAMPLES", 100)
    monkeypatch.setattr(evaluation, "reconstruction_errors", lambda *_: {})
    numbers = evaluation.evaluate(build_networks(CONFIG), CONFIG, found)
    assert numbers["judge_accuracy"] > 0.9
    assert all(map(math.isfinite, numbers.values()))
    assert {f"frechet_distance{ending}" for ending in ("", "_fitted", "_of_training_images")} <= set(numbers)


def test_without_labels_there_is_no_distance_and_without_an_encoder_no_reconstruction(monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLES", 20)
    monkeypatch.setattr(evaluation, "distances", lambda samples, _: {"frechet_distance": float(len(samples))})
    monkeypatch.setattr(evaluation, "reconstruction_errors", lambda *_: {"kl": 1.0})
    dc_gan = CONFIG.__class__(architecture=CONFIG.architecture, mode="DC-GAN")
    networks = build_networks(CONFIG)
    always, of_codes = {"near_copies"}, {"near_copies_fitted", "narrowest_code"}

    def measured(found, config=CONFIG):
        return set(evaluation.evaluate(networks, config, found))

    assert measured(data()) == always | of_codes | {"kl", "frechet_distance"}
    assert measured(data(labels=1)) == always | of_codes | {"kl"}
    one_label, none_held_out = data(labels=1), data()
    one_label.train_labels[::2] = none_held_out.held_out_labels[:] = cns.NO_RADICAL
    for found in (one_label, none_held_out):
        assert measured(found) == always | of_codes | {"kl"}
    assert measured(data(), dc_gan) == always | {"frechet_distance"}
    assert measured(data(held_out=0)) == always | of_codes


def test_the_numbers_at_hand_are_reported_and_no_others():
    assert evaluation.report({"near_copies": 0.25}) == "Samples that are like another: 25.0%"
    found = {"near_copies": 0.5, "near_copies_fitted": 0.0, "narrowest_code": 0.016}
    report = evaluation.report(found)
    assert "fitted to the training images': 0.0% are like another\n" in report and "direction: 0.0160" in report
    assert "Frechet distance 3.00" in evaluation.report(found | {"frechet_distance_fitted": 3.0})


# A - B + C


def test_the_originals_fourteen_lines_are_read():
    names = cns.IDEOGRAPHS
    found = evaluation.read_arithmetic(LINES, [chr(code_point) for code_point in names])
    assert len(found) == 14
    assert ["".join(chr(names[position]) for position in line) for line in found][:1] == ["趕超沼"]
    assert "".join(chr(names[position]) for position in found[12]) == "酪鉻鉸"


def test_names_with_spaces_stand_apart_by_tabs(tmp_path):
    (tmp_path / "lines.txt").write_text("my cat\tb\t c\n")
    assert evaluation.read_arithmetic(tmp_path / "lines.txt", ("c", "b", "my cat")) == [(2, 1, 0)]


@pytest.mark.parametrize("text", ["a b c", " abc \n\n", "a\tb\tc\r\n"])
def test_three_names_may_stand_apart_or_together(tmp_path, text):
    (tmp_path / "lines.txt").write_text(text)
    assert evaluation.read_arithmetic(tmp_path / "lines.txt", ("c", "b", "a", "a")) == [(2, 1, 0)]


@pytest.mark.parametrize("text, problem", [
    ("a b c\na b", "line 2: expected three names, A B C; got 'a b'"),
    ("abcd", "line 1: expected three names, A B C; got 'abcd'"),
    ("a x y", "line 1: not in the data: x, y"),
    ("\n", "has no line A B C"),
])  # fmt: skip
def test_a_line_that_cannot_be_is_named(tmp_path, text, problem):
    (tmp_path / "lines.txt").write_text(text)
    with pytest.raises(UserError) as error:
        evaluation.read_arithmetic(tmp_path / "lines.txt", ("a", "b", "c"))
    assert problem in str(error.value) and str(tmp_path / "lines.txt") in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    (tmp_path / "lines.txt").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "lines.txt", tmp_path / "missing.txt"):
        with pytest.raises(UserError, match=f"--arithmetic: {path} cannot be read"):
            evaluation.read_arithmetic(path, ("a",))


def arithmetic_of(monkeypatch, names, shades, line):
    """With an image's grey as its code."""
    images = np.ones([1, 2, 2, 1], np.uint8) * np.array(shades, np.uint8)[:, None, None, None]
    monkeypatch.setattr(pictures, "encode_all", lambda _, some: some[:, 0, 0].astype(np.float32))
    monkeypatch.setattr(
        pictures, "generate_all", lambda _, z: data_module.scale_to_symmetric(z[:, None, None] * np.ones([1, 2, 2, 1]))
    )
    return evaluation.arithmetic(None, images, names, line)


def test_the_nearest_of_all_images_and_the_ranks_of_a_b_and_c_are_found(monkeypatch):
    found = arithmetic_of(monkeypatch, "abcde", [10, 100, 120, 29, 35], (0, 1, 2))  # 10 - 100 + 120 = 30
    assert found["nearest"] == ["d", "e", "a", "b", "c"]
    assert (found["line"], found["rank"]) == (["a", "b", "c"], [3, 4, 5])
    assert found["distance"] == pytest.approx((1 / 127.5) ** 2, rel=1e-3)
    assert "radical" not in found


@pytest.mark.parametrize("line, radicals", [
    ("酪鉻鉸", (164, 1)), ("鈷估俠", (167, 1)), ("趕超沼", (85, 1)), ("一丁丈", None), ("水酪鉸", None),
])  # fmt: skip
def test_the_result_ought_to_have_the_radical_that_b_does_not_take_away(monkeypatch, line, radicals):
    found = arithmetic_of(monkeypatch, [*line, "一"], [10, 100, 120, 30], (0, 1, 2))
    assert found["nearest"][0] == "一"
    assert (found.get("expected_radical"), found.get("radical")) == (radicals or (None, None))
    assert ("in 0 of 1 lines" in evaluation.arithmetic_report([found])) == (radicals is not None)


# The commands


def command(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    flags.run(module.main)


def size(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory, monkeymodule):
    folder = tmp_path_factory.mktemp("log_dir")
    monkeymodule.setattr(train_cns, "LOG_DIR", folder / "cns")
    monkeymodule.setattr(train_mnist, "LOG_DIR", folder / "mnist")
    monkeymodule.setattr(evaluate_model, "LOG_DIR", folder)
    monkeymodule.setattr(evaluate_model, "SYSTEM_DIR", folder / "system")
    monkeymodule.setattr(evaluate_model, "PUBLISHED", folder / "system" / "pretrained")
    for name, value in (("SAMPLES", 50), ("JUDGE_STEPS", 2), ("EMBEDDED", 10)):
        monkeymodule.setattr(evaluation, name, value)
    (folder / "system").mkdir()
    return folder


def latin_font(path):
    """Writes the font that Pillow carries."""
    carried = ImageFont.load_default(16)
    assert isinstance(carried, ImageFont.FreeTypeFont)
    path.write_bytes(carried.font_bytes)


@pytest.fixture(scope="module")
def characters(tmp_path_factory, monkeymodule):
    """What make_cns.py makes of the font that Pillow carries, as if its letters were ideographs."""
    folder = tmp_path_factory.mktemp("characters")
    latin_font(folder / "latin.ttf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cns, "IDEOGRAPHS", [*range(ord("A"), ord("Z") + 1), 0x4E00, *range(ord("a"), ord("z") + 1)])
        font = ["--font", folder / "latin.ttf", "--size", SIDE, "--number", 50]
        command(patch, make_cns, *font, "--output", folder / "cns.npz")
        command(patch, make_cns, *font, "--output", folder / "pictures")
    return folder


@pytest.fixture(scope="module")
def run_folder(log_dir, characters, monkeymodule):
    (characters / "architecture.json").write_text(architecture())
    own = ["--architecture", characters / "architecture.json", "--datadir", characters / "cns.npz"]
    command(monkeymodule, train_cns, *own, "--batch_size", 4, "--held_out", 10, "--max_steps", 2, "--save_every", 1)
    return run_folders.newest(log_dir / "cns")


def test_a_run_keeps_its_architecture_and_ends_with_its_numbers(run_folder):
    settings = run_folders.settings(run_folder)["config"]
    assert json.loads(settings["architecture"]) == json.loads(architecture())
    numbers = json.loads((run_folder / "evaluation.json").read_text())
    of_codes = {"near_copies", "near_copies_fitted", "narrowest_code"}
    assert set(numbers) == {"step", "pixel_error", "feature_error", "kl"} | of_codes  # no letter has a radical
    assert numbers["step"] == 2 and all(map(math.isfinite, numbers.values()))


def test_a_run_goes_on_without_its_flags_being_typed_again(run_folder, log_dir, monkeypatch, characters, capsys):
    (characters / "architecture.json").write_text(architecture(z_dim=6))  # changed since: the run keeps its own
    command(monkeypatch, train_cns, "--resume", run_folder, "--max_steps", 3)
    assert "from step 2." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(monkeypatch, train_cns, "--resume", run_folder, "--architecture", characters / "architecture.json")
    assert "--resume: these settings are not the run's: --architecture" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(monkeypatch, train_mnist, "--resume", run_folder)
    assert f"--resume: {run_folder} is a run of train_cns.py" in capsys.readouterr().err


def test_every_picture_of_a_run_is_drawn_and_json_leaves_nothing_else_on_standard_output(
    run_folder, monkeypatch, capsys, characters, tmp_path
):
    (tmp_path / "lines.txt").write_text("A B C\nvwx\n")
    everything = ["--interpolate", "--sample", "--sample_fitted", "--reconstruct", "--embed", "--json"]
    everything += ["--arithmetic", tmp_path / "lines.txt"]
    command(monkeypatch, evaluate_model, *everything, "--datadir", characters / "cns.npz")  # of the newest run
    out, err = capsys.readouterr()
    numbers = json.loads(out)
    assert numbers == {k: v for k, v in json.loads((run_folder / "evaluation.json").read_text()).items() if k != "step"}
    assert "A - B + C: nearest" in err and "v - w + x: nearest" in err
    sizes = {path.stem: size(path) for path in (run_folder / "samples").glob("*.png")}
    assert sizes == {
        "interpolation": (12 * SIDE, 5 * SIDE),
        "samples": (16 * SIDE, 16 * SIDE),
        "samples_fitted": (16 * SIDE, 16 * SIDE),
        "reconstructions": (20 * SIDE, 1 * SIDE),
        "test-arith-0": (5 * SIDE, 4 * SIDE + 12),
        "test-arith-1": (5 * SIDE, 4 * SIDE + 12),
    }
    assert [line["line"] for line in json.loads((run_folder / "samples" / "arithmetic.json").read_text())] == [
        ["A", "B", "C"], ["v", "w", "x"],
    ]  # fmt: skip
    embedding = run_folder / "embedding"
    assert np.loadtxt(embedding / "encodings.tsv").shape == (10, 5)
    assert len((embedding / "labels.tsv").read_text().splitlines()) == 10
    assert size(embedding / "sprites.png") == (4 * SIDE, 3 * SIDE)
    assert f"single_image_dim: {SIDE} single_image_dim: {SIDE}" in (embedding / "projector_config.pbtxt").read_text()


def test_published_weights_give_the_runs_numbers_from_a_folder_of_pictures_too(
    run_folder, log_dir, characters, monkeypatch, capsys
):
    of_run = ["--model_dir", run_folder, "--datadir", characters / "cns.npz"]
    command(monkeypatch, evaluate_model, "--record", *of_run)
    assert [path.name for path in (log_dir / "system").iterdir()] == ["results.json"]
    command(monkeypatch, evaluate_model, "--publish", *of_run)
    (entry,) = json.loads((log_dir / "system" / "results.json").read_text())
    assert (entry["system"], entry["data_set"]) == ("vae_gan", "cns")
    assert "squared error of a pixel" in capsys.readouterr().out
    published = log_dir / "system" / "pretrained" / "cns"
    before = sorted(published.rglob("*"))
    assert str(characters) not in json.dumps(run_folders.settings(published)["config"])
    command(monkeypatch, evaluate_model, "--json", "--model_dir", published, "--datadir", characters / "pictures")
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["pixel_error"] == pytest.approx(entry["metrics"]["pixel_error"], rel=0.05)
    assert sorted(published.rglob("*")) == before
    evaluated = log_dir / "cns" / "published_cns" / "evaluation.json"
    assert not evaluated.exists()  # JPEG made other data of them
    command(monkeypatch, evaluate_model, "--json", "--model_dir", published, "--datadir", characters / "cns.npz")
    assert json.loads(evaluated.read_text()) == {"step": entry["steps"]} | json.loads(capsys.readouterr().out)
    assert sorted(published.rglob("*")) == before


def test_samples_need_no_data(run_folder, monkeypatch, capsys):
    command(monkeypatch, evaluate_model, "--sample", "--model_dir", run_folder, "--iteration", 2)
    assert ", step 2\n" in capsys.readouterr().err


def test_digits_are_padded_and_a_dc_gan_without_encoder_trains_on_them(log_dir, monkeypatch, capsys, tmp_path):
    (tmp_path / "architecture.json").write_text(architecture(side=32, layers=4))
    own = ["--architecture", tmp_path / "architecture.json", "--data_dir", SAMPLE, "--unverified_data"]
    command(monkeypatch, train_mnist, *own, "--mode", "DC-GAN", "--batch_size", 4, "--max_steps", 1)
    assert "Frechet distance of samples" in capsys.readouterr().out
    folder = run_folders.newest(log_dir / "mnist")
    assert [path.name for path in folder.glob("*.png")] == ["test-Ep000-It0000-dc.png"]
    command(monkeypatch, evaluate_model, "--sample", "--data_set", "mnist")
    assert size(folder / "samples" / "samples.png") == (512, 512)
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, evaluate_model, "--reconstruct", "--embed", "--data_set", "mnist")
    assert error.value.code == 2
    assert "is a DC-GAN, without encoder: leave out --embed, --reconstruct" in capsys.readouterr().err


def test_digits_are_called_by_their_number_and_projected_by_what_they_are(log_dir, monkeypatch, capsys, tmp_path):
    (tmp_path / "architecture.json").write_text(architecture(side=32, layers=4))
    own = ["--architecture", tmp_path / "architecture.json", "--data_dir", SAMPLE, "--unverified_data"]
    command(monkeypatch, train_mnist, *own, "--batch_size", 4, "--max_steps", 1)
    (tmp_path / "lines.txt").write_text("test0 test1 train2\n")
    command(monkeypatch, evaluate_model, "--embed", "--arithmetic", tmp_path / "lines.txt", "--data_set", "mnist")
    assert "test0 - test1 + train2: nearest" in capsys.readouterr().out
    labels = (run_folders.newest(log_dir / "mnist") / "embedding" / "labels.tsv").read_text().split()
    assert labels == mnist.load(SAMPLE, unverified=True).test_labels[:10].astype(str).tolist()


def test_padded_digits_stand_in_the_middle():
    images = np.full([2, 28, 28], 7, np.uint8)
    found = data_module.padded(images)
    assert found.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(found[:, 2:-2, 2:-2, 0], images)
    assert found.sum() == images.sum()
    assert data_module.scale_to_symmetric(np.array([0, 255], np.uint8)).tolist() == [-1, 1]


# What the user can mend


def refusal(capsys, monkeypatch, module, *arguments):
    with pytest.raises(SystemExit) as error:
        command(monkeypatch, module, *arguments)
    out, err = capsys.readouterr()
    assert (error.value.code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize("arguments, problem", [
    (["--beta1", "1"], "--beta1: expected 0 or more, below 1; got 1.0"),
    (["--reconst_v_gan", "-1"], "--reconst_v_gan: expected 0 or more"),
    (["--n_epoch", "0"], "--max_epochs: expected 1 or more"),
    (["--held_out", "-1"], "--held_out: expected 0 or more"),
    (["--architecture", "/nowhere.json"], "--architecture: /nowhere.json cannot be read"),
    (["--data_dir", "/nowhere"], "/nowhere is not there: wanted a folder of pictures, or an .npz file"),
    (["--unverified_data"], "--unverified_data: pictures of characters are never verified"),
    ([], "is not there: make it with make_cns.py, or give --data_dir a folder of pictures"),
])  # fmt: skip
def test_a_training_that_cannot_be_is_refused_in_a_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    assert problem in refusal(capsys, monkeypatch, train_cns, *arguments, "--log_dir", tmp_path / "log_dir")
    assert list(tmp_path.iterdir()) == []


def test_data_that_do_not_fit_are_refused(characters, tmp_path, monkeypatch, capsys):
    (tmp_path / "architecture.json").write_text(architecture())
    own = ["--architecture", tmp_path / "architecture.json", "--log_dir", tmp_path / "log_dir"]
    pictures_of = ["--datadir", characters / "pictures"]
    err = refusal(capsys, monkeypatch, train_cns, "--log_dir", tmp_path / "log_dir", *pictures_of)
    assert "expected pictures of 32 x 32; U100.jpg is 8 x 8" in err
    err = refusal(capsys, monkeypatch, train_cns, *own, *pictures_of, "--held_out", 50)
    assert "held_out is 50: allowed are 0 to 49" in err
    err = refusal(capsys, monkeypatch, train_cns, *own, *pictures_of, "--held_out", 10, "--batch_size", 41)
    assert "batch_size is 41: allowed are 1 to 40" in err
    err = refusal(capsys, monkeypatch, train_mnist, *own, "--data_dir", SAMPLE, "--unverified_data")
    assert "--architecture: hwc is [8, 8, 1]: digits need [32, 32, 1]" in err
    (tmp_path / "one").mkdir()
    shutil.copy(characters / "pictures" / "U65.jpg", tmp_path / "one")
    err = refusal(
        capsys, monkeypatch, train_cns, *own, "--datadir", tmp_path / "one", "--held_out", 0, "--batch_size", 1
    )
    assert "too few for a picture of two" in err
    (tmp_path / "empty").mkdir()
    assert "has no pictures" in refusal(capsys, monkeypatch, train_cns, *own, "--datadir", tmp_path / "empty")
    assert not (tmp_path / "log_dir").exists()


@pytest.mark.parametrize("arguments, problem", [
    ([], "nothing to do; add --arithmetic, --interpolate"),
    (["--sample", "--model_dir", "/nowhere"], "there is no folder /nowhere"),
    (["--sample", "--model_dir", SAMPLE], "is not the folder of a run"),
])  # fmt: skip
def test_an_evaluation_that_cannot_be_is_refused_in_a_line(monkeypatch, capsys, arguments, problem):
    assert problem in refusal(capsys, monkeypatch, evaluate_model, *arguments)


def test_a_character_that_is_not_in_the_data_is_named(run_folder, characters, tmp_path, monkeypatch, capsys):
    (tmp_path / "lines.txt").write_text("A B C\nA 酪 C\n")
    arguments = ["--arithmetic", tmp_path / "lines.txt", "--model_dir", run_folder, "--datadir", characters / "cns.npz"]
    assert "lines.txt, line 2: not in the data: 酪" in refusal(capsys, monkeypatch, evaluate_model, *arguments)


@pytest.mark.parametrize("arguments, problem", [
    (["--number", "0"], "--number: expected 1 or more; got 0"),
    (["--size", "0"], "--size: expected 1 to 1024; got 0"),
    (["--font", "/nowhere.ttf"], "/nowhere.ttf cannot be read as a font"),
])  # fmt: skip
def test_a_data_set_that_cannot_be_made_is_refused_in_a_line(tmp_path, monkeypatch, capsys, arguments, problem):
    assert problem in refusal(capsys, monkeypatch, make_cns, *arguments, "--output", tmp_path / "cns.npz")
    assert list(tmp_path.iterdir()) == []


def test_making_the_data_set_says_what_was_skipped(tmp_path, monkeypatch, capsys):
    path = tmp_path / cns.FONT_FILE
    latin_font(path)
    monkeypatch.setattr(cns, "IDEOGRAPHS", [ord("A"), 0x4E00, ord("B")])
    monkeypatch.setattr(cns, "find_font", lambda: path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command(monkeypatch, make_cns, "--number", 2, "--size", SIDE)
    out = capsys.readouterr().out
    assert "2 characters, A to B" in out and "skipped: 1" in out and cns.LICENCE in out
    assert cns.read(cns.default_path(), (SIDE, SIDE, 1)).names == ("A", "B")


@pytest.mark.parametrize("name, credited", [(cns.FONT_FILE, True), ("latin.ttf", False)])
def test_tw_kai_is_credited_on_the_screen_and_in_the_data_and_no_other_font_is(
    tmp_path, monkeypatch, capsys, name, credited
):
    latin_font(tmp_path / name)
    monkeypatch.setattr(cns, "IDEOGRAPHS", [ord("A")])
    own = ["--font", tmp_path / name, "--number", 1, "--size", SIDE]
    command(monkeypatch, make_cns, *own, "--output", tmp_path / "cns.npz")
    command(monkeypatch, make_cns, *own, "--output", tmp_path / "pictures")
    assert capsys.readouterr().out.count(cns.LICENCE) == (2 if credited else 0)
    assert ("licence" in np.load(tmp_path / "cns.npz")) == credited
    assert (tmp_path / "pictures" / "LICENCE.txt").exists() == credited
