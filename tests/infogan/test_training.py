"""InfoGAN's update steps and its loop: what each update moves, what a log line and a resumed run must be."""

import dataclasses
import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from infogan import evaluation, pictures, training
from infogan.config import PRESETS
from infogan.networks import build_networks, code_sizes
from shared import checkpoints, latent_codes, run_folders
from shared.flags import UserError
from shared.training_run import TrainingRun

BATCH = 8  # less than the 10 images that a log line shows
SIZE = 8  # of the images: nothing here is a matter of size, and dense layers of 6 million weights take their time
IMAGES = np.random.default_rng(0).integers(0, 256, [43, SIZE, SIZE]).astype(np.uint8)  # five batches and a rest
KEY = latent_codes.key(0, 0)
CONFIGS = {name: dataclasses.replace(config, batch_size=BATCH, image_size=SIZE) for name, config in PRESETS.items()}
SCALARS = {
    "d_loss", "g_loss", "LI_D", "LI_G", "d_real", "d_fake", "mutual_information_bound", "mutual_information_ceiling",
    "cross_entropy_continuous", "cross_entropy_categorical_0",
}  # fmt: skip


def make(config):
    networks = build_networks(config)
    return networks, training.build_optimizers(networks, config)


@pytest.fixture(scope="module")
def made():
    """Networks and optimizers of each preset, for tests that look only at what moves."""
    return {name: make(config) for name, config in CONFIGS.items()}


def batch(config):
    images = tf.constant(IMAGES[: config.batch_size, :, :, None] / np.float32(127.5) - 1)
    return images, latent_codes.sample(code_sizes(config), config.batch_size, KEY)


class Watched:
    """Values of variables, to tell which have moved since."""

    def __init__(self, variables):
        self.variables = list(variables)
        self.before = [v.numpy() for v in self.variables]

    def moved(self):
        return [v.path for v, before in zip(self.variables, self.before) if (v.numpy() != before).any()]


def trainable(*networks):
    # A bias in front of a batch norm has a gradient of rounding noise only: it may move or stay.
    return [v for network in networks for v in network.trainable_variables if v.name != "bias"]


def statistics(*networks):
    return [v for network in networks for v in network.non_trainable_variables]


# Updates


@pytest.mark.parametrize("name", CONFIGS)
def test_discriminators_update_moves_discriminator_q_and_moving_statistics_and_nothing_else(made, name):
    config, (networks, optimizers) = CONFIGS[name], made[name]
    updates = int(optimizers.d.iterations)
    images, codes = batch(config)
    others = Watched(networks.generator.trainable_variables + optimizers.g.variables)
    own = Watched(trainable(networks.discriminator, networks.recognition) + statistics(*networks))
    training.d_step(networks, optimizers, images, codes, KEY, config)
    assert others.moved() == []
    assert own.moved() == [v.path for v in own.variables]
    assert int(optimizers.d.iterations) == updates + 1


@pytest.mark.parametrize("name", CONFIGS)
def test_generators_update_moves_the_generator_and_moving_statistics_and_nothing_else(made, name):
    config, (networks, optimizers) = CONFIGS[name], made[name]
    updates = int(optimizers.g.iterations)
    _, codes = batch(config)
    others = Watched(training.d_variables(networks) + optimizers.d.variables)
    own = Watched(trainable(networks.generator) + statistics(*networks))
    training.g_step(networks, optimizers, codes, KEY, config)
    assert others.moved() == []
    assert own.moved() == [v.path for v in own.variables]
    assert int(optimizers.g.iterations) == updates + 1


def test_moving_statistics_follow_real_and_then_generated_images_each_by_a_tenth(made):
    config, (networks, optimizers) = CONFIGS["default"], made["default"]
    images, codes = batch(config)
    norm = next(a for a in networks.discriminator.layers if isinstance(a, keras.layers.BatchNormalization))
    before_norm = keras.Model(networks.discriminator.input, norm.input)
    generated = networks.generator([latent_codes.concatenate(codes), KEY], training=True)
    real_mean, fake_mean = (np.mean(before_norm(x), axis=(0, 1, 2)) for x in (images, generated))
    before = norm.moving_mean.numpy()
    training.d_step(networks, optimizers, images, codes, KEY, config)
    expected = 0.9 * (0.9 * before + 0.1 * real_mean) + 0.1 * fake_mean
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


def test_evaluation_and_pictures_move_nothing_and_do_not_depend_on_the_batch(made):
    config, (networks, _) = CONFIGS["paper"], made["paper"]
    images, _ = batch(config)
    everything = Watched(v for network in networks for v in network.variables)
    together = evaluation.recognise(networks, images)[0]
    alone = evaluation.recognise(networks, images[:1])[0]
    pictures.random_sampling(networks, config)
    assert everything.moved() == []
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


@pytest.mark.parametrize("nd, ng", [(1, 1), (2, 3)])
def test_a_step_is_nd_discriminator_updates_then_ng_generator_updates_on_its_codes(monkeypatch, nd, ng):
    updates = []

    def d_step(networks, optimizers, images, codes, key, config):
        updates.append(("d", codes, tuple(key.numpy())))
        return {"d_loss": len(updates)}

    def g_step(networks, optimizers, codes, key, config):
        updates.append(("g", codes, tuple(key.numpy())))
        return {"g_loss": len(updates)}

    monkeypatch.setattr(training, "d_step", d_step)
    monkeypatch.setattr(training, "g_step", g_step)
    config = dataclasses.replace(CONFIGS["paper"], nd=nd, ng=ng)
    images, codes = batch(config)
    scalars = training.train_step.python_function(None, None, images, codes, KEY, config)
    assert [name for name, _, _ in updates] == ["d"] * nd + ["g"] * ng
    assert all(used is codes for _, used, _ in updates)
    assert len({key for _, _, key in updates}) == nd + ng  # or dropout would repeat itself
    assert scalars == {"d_loss": nd, "g_loss": nd + ng}  # as the last update of each saw them


# Optimizers


def test_adam_has_the_originals_settings(made):
    config = dataclasses.replace(CONFIGS["paper"], lr_d=3e-4, lr_g=5e-3)
    d, g = training.build_optimizers(made["paper"][0], config)
    assert [float(d.learning_rate), float(g.learning_rate)] == pytest.approx([3e-4, 5e-3])
    for optimizer in (d, g):
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
        assert (optimizer.clipnorm, optimizer.clipvalue, optimizer.weight_decay) == (None, None, None)


def test_defaults_are_the_originals():
    default, paper = PRESETS["default"], PRESETS["paper"]
    assert (default.lr_d, default.lr_g, default.clip_norm, default.w_mutual) == (2e-4, 1e-3, 10.0, 1.0)
    assert (default.nd, default.ng, default.batch_size, default.max_epochs) == (1, 1, 128, 50)
    assert (default.num_z, default.categorical_sizes, default.num_continuous) == (100, (10,), 4)
    assert (default.continuous_weight, default.keep_prob, default.max_steps) == (0.1, 1.0, None)
    assert (paper.num_z, paper.categorical_sizes, paper.num_continuous, paper.batch_size) == (62, (10,), 2, 128)
    assert (paper.lr_d, paper.lr_g, paper.w_mutual, paper.max_steps) == (2e-4, 1e-3, 1.0, 5000)


@pytest.mark.parametrize("clip_norm, norm, clipped", [(10.0, 40.0, 10.0), (10.0, 5.0, 5.0), (0.0, 40.0, 40.0)])
def test_gradients_are_clipped_by_the_norm_of_all_together(clip_norm, norm, clipped):
    variables = [keras.Variable(np.zeros(shape, np.float32)) for shape in ([4], [2, 3])]
    network = SimpleNamespace(trainable_variables=variables)
    networks = SimpleNamespace(discriminator=network, recognition=SimpleNamespace(trainable_variables=[]))
    optimizer, _ = training.build_optimizers(
        SimpleNamespace(**vars(networks), generator=network), dataclasses.replace(CONFIGS["paper"], clip_norm=clip_norm)
    )
    # The second is well below 10 by itself: clipping each variable alone would leave it as it is.
    gradients = [np.full(4, 0.5, np.float32), np.full([2, 3], 0.1, np.float32)]
    gradients = [g * norm / math.sqrt(1.06) for g in gradients]
    optimizer.apply([tf.constant(g) for g in gradients], variables)
    first_moments = [v.numpy() / 0.5 for v in optimizer.variables if "momentum" in v.path]
    assert len(first_moments) == 2
    for moment, gradient in zip(first_moments, gradients):
        np.testing.assert_allclose(moment, gradient * clipped / norm, rtol=1e-5)


# Learning


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_without_continuous_codes_is_a_step_on_the_category_alone(name, precision):
    config = dataclasses.replace(CONFIGS[name], num_continuous=0, precision=precision)
    images, codes = batch(config)
    scalars = training.train_step.python_function(*make(config), images, codes, KEY, config)
    assert float(scalars["cross_entropy_continuous"]) == 0
    expected = math.log(10) - float(scalars["cross_entropy_categorical_0"])
    assert float(scalars["LI_G"]) == pytest.approx(expected, rel=1e-5)
    assert math.isfinite(float(scalars["d_loss"])) and math.isfinite(float(scalars["g_loss"]))


def test_q_learns_to_read_the_codes_of_a_repeated_batch():
    config = CONFIGS["paper"]
    networks, optimizers = make(config)
    images, codes = batch(config)
    history = [training.train_step(networks, optimizers, images, codes, KEY, config) for _ in range(12)]
    cost = [float(row["cross_entropy_categorical_0"]) for row in history]
    assert cost[0] == pytest.approx(math.log(10), abs=0.6)
    assert np.mean(cost[-3:]) < 0.6 * math.log(10)
    bound = [float(row["mutual_information_bound"]) for row in history]
    assert np.add(bound, cost) == pytest.approx(np.full(12, math.log(10)), abs=1e-5)


def test_mixed_bfloat16_trains_float32_variables_to_finite_losses():
    config = dataclasses.replace(CONFIGS["default"], precision="mixed_bfloat16")
    networks, optimizers = make(config)
    images, codes = batch(config)
    moving = Watched([*trainable(*networks), *statistics(*networks)])
    for _ in range(2):
        scalars = training.train_step(networks, optimizers, images, codes, KEY, config)
    assert set(scalars) == SCALARS
    assert {scalar.dtype for scalar in scalars.values()} == {tf.float32}
    assert all(math.isfinite(scalar) for scalar in scalars.values())
    assert moving.moved() == [v.path for v in moving.variables]
    assert {v.dtype for o in optimizers for v in o.variables if v.path.endswith("kernel_momentum")} == {"float32"}


# The loop


def start(config, folder):
    return run_folders.start("infogan", "mnist", config, folder, "the data's hash")


def train(config, run_folder, steps):
    config = dataclasses.replace(config, max_steps=steps)
    with TrainingRun(run_folder, config, "the data's hash") as run:
        return training.train(config, IMAGES, run)


class Sessions:
    """One run of 7 steps without a break, and one that stopped after 3, in mid-epoch, and after 5, at an epoch's end.

    Dropout is on: noise inside the networks must go on as well. One set of networks serves all, set back to its first
    weights before each session, so that the step is traced only once.
    """

    def __init__(self, folder):
        config = dataclasses.replace(CONFIGS["paper"], keep_prob=0.5, log_every=1, save_every=5, seed=3)
        self.unbroken, self.broken = start(config, folder / "unbroken"), start(config, folder / "broken")
        self.networks, optimizers = make(config)
        variables = [v for part in (*self.networks, *optimizers) for v in part.variables]
        first = [v.numpy() for v in variables]

        def session(run_folder, steps):
            for variable, value in zip(variables, first):
                variable.assign(value)
            assert train(config, run_folder, steps) is self.networks
            return [v.numpy().tobytes() for v in variables]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "build_networks", lambda _: self.networks)
            patch.setattr(training, "build_optimizers", lambda *_: optimizers)
            before = training.train_step.experimental_get_tracing_count()
            self.values = session(self.unbroken, 7)
            self.traces = training.train_step.experimental_get_tracing_count() - before
            session(self.broken, 3)
            session(self.broken, 5)
            self.resumed_values = session(self.broken, 7)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return Sessions(tmp_path_factory.mktemp("sessions"))


def saved(run_folder, step):
    """Every number of a checkpoint but the minutes, as bytes by name."""
    reader = tf.train.load_checkpoint(str(run_folder / "checkpoints" / f"step_{step:08d}" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("minutes", "_CHECK"))]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


@pytest.mark.parametrize("step", [5, 7])
def test_resumed_equals_unbroken_byte_for_byte(sessions, step):
    """At 5 after a break at 3, in mid-epoch; at 7 after one more at 5, an epoch's end."""
    resumed, unbroken = saved(sessions.broken, step), saved(sessions.unbroken, step)
    assert resumed.keys() == unbroken.keys()
    assert [name for name in unbroken if resumed[name] != unbroken[name]] == []


def test_a_checkpoint_holds_all_networks_and_both_optimizers(sessions):
    """Or comparing two checkpoints would compare too little."""
    networks = sessions.networks
    weights = [v for network in networks for v in network.variables]
    slots = 2 * sum(len(network.trainable_variables) for network in networks)
    rates_and_counts, save_counter = 2 * 2, 1
    found = saved(sessions.unbroken, 7)
    assert len(found) in (len(weights) + slots + rates_and_counts + extra for extra in (0, save_counter))
    kept = set(found.values())
    assert [v.path for v in weights if v.numpy().tobytes() not in kept] == []


def test_a_resumed_training_ends_with_the_networks_and_optimizers_of_an_unbroken_one(sessions):
    assert sessions.resumed_values == sessions.values


def log_lines(run_folder):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "minutes"} for line in lines]


def test_a_resumed_log_reads_like_an_unbroken_one(sessions):
    lines = log_lines(sessions.unbroken)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert log_lines(sessions.broken) == lines
    assert set(lines[0]) == SCALARS | {"step"}


def test_the_steps_differ_or_a_repeated_batch_would_pass_for_a_resumed_run(sessions):
    assert len({line["d_loss"] for line in log_lines(sessions.unbroken)}) == 7


def test_pictures_are_drawn_at_each_epochs_end_and_at_the_end_and_a_break_leaves_no_others(sessions):
    """Those of step 7 are the second epoch's: they must not replace the first's."""
    names = ["random_sampling", "vary_discrete_0", "interp_cont_0", "interp_cont_1"]
    unbroken, broken = (
        {path.name: path.read_bytes() for path in run.glob("*.png")} for run in (sessions.unbroken, sessions.broken)
    )
    assert set(unbroken) == {f"{name}_{epoch}.png" for name in names for epoch in (1, 2)}
    assert unbroken == broken
    assert all(unbroken[f"{name}_1.png"] != unbroken[f"{name}_2.png"] for name in names)


def test_a_run_traces_its_step_once(sessions):
    assert sessions.traces == 1


def test_later_epochs_trace_no_picture_and_no_sampling_again(made):
    config = CONFIGS["paper"]
    counts = []
    for step in range(3):
        pictures.of_epoch(made["paper"][0], config)
        latent_codes.sample(code_sizes(config), BATCH, latent_codes.key(0, step))
        functions = (pictures.generate, latent_codes.sample)
        counts.append([function.experimental_get_tracing_count() for function in functions])
    assert counts[0] == counts[1] == counts[2]


def test_every_step_gets_its_own_codes_and_the_epochs_images_in_the_symmetric_range(monkeypatch, tmp_path):
    given, drawn = [], {}

    def train_step(networks, optimizers, images, codes, key, config):
        given.append((images.numpy(), latent_codes.concatenate(codes).numpy(), tuple(key.numpy())))
        return {"d_loss": tf.constant(1.0)}

    monkeypatch.setattr(training, "train_step", train_step)
    monkeypatch.setattr(TrainingRun, "picture", lambda run, name, picture: drawn.update({name: len(given)}))
    config = dataclasses.replace(CONFIGS["paper"], seed=4)
    train(config, start(config, tmp_path), 6)
    images = np.concatenate([images for images, _, _ in given[:5]])
    assert images.shape == (40, SIZE, SIZE, 1) and images.dtype == np.float32
    assert (images.min(), images.max()) == (-1, 1)
    known = {image.tobytes() for image in IMAGES}
    shown = {np.rint((image[:, :, 0] + 1) * 127.5).astype(np.uint8).tobytes() for image in images}
    assert len(shown) == 40 and shown <= known
    assert len({codes.tobytes() for _, codes, _ in given}) == 6
    assert [key for _, _, key in given] == [(4, step) for step in range(6)]
    assert {name: step for name, step in drawn.items() if "random" in name} == {
        "random_sampling_1": 5,  # steps done: an epoch has five
        "random_sampling_2": 6,
    }


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(monkeypatch, tmp_path):
    losses = iter([1.0, 1.0, math.nan])
    monkeypatch.setattr(training, "train_step", lambda *_: {"d_loss": tf.constant(next(losses))})
    config = dataclasses.replace(CONFIGS["paper"], save_every=1)
    folder = start(config, tmp_path)
    with pytest.raises(UserError, match="d_loss is nan at step 3.*step_00000002"):
        train(config, folder, 6)
    found = checkpoints.find(folder / "checkpoints")
    assert found is not None and found.step == 2


# Warnings

SETTLED = training.SETTLED_AFTER
HEALTHY = {"cross_entropy_categorical_0": 0.2, "cross_entropy_categorical_1": 0.1, "d_real": 0.7, "d_fake": 0.3}


def warnings_of(step=SETTLED, sizes=(10,), **changed):
    said = []
    config = dataclasses.replace(CONFIGS["paper"], categorical_sizes=sizes)
    training.warn(HEALTHY | changed, step, config, SimpleNamespace(say=said.append))
    return said


def test_an_ignored_code_is_warned_of_by_number_with_its_cross_entropy_and_ln_n():
    assert warnings_of(cross_entropy_categorical_0=2.29) == [
        "warning: categorical code 0 is ignored: cross-entropy 2.290, ln n 2.303"
    ]
    (line,) = warnings_of(sizes=(10, 4), cross_entropy_categorical_1=1.38)  # ln 4, well below ln 10
    assert "code 1 is ignored" in line


def test_a_saturated_discriminator_is_warned_of():
    (line,) = warnings_of(d_real=0.999, d_fake=0.001)
    assert "discriminator is saturated" in line


@pytest.mark.parametrize("changed", [
    {},
    {"cross_entropy_categorical_0": 2.0},
    {"d_real": 0.999, "d_fake": 0.2},
    {"d_real": 0.8, "d_fake": 0.001},
    {"step": 0, "cross_entropy_categorical_0": 2.303, "d_real": 1.0, "d_fake": 0.0},
    {"sizes": ()},
])  # fmt: skip
def test_no_warning_where_nothing_is_wrong_or_it_is_too_early_to_tell(changed):
    assert warnings_of(**changed) == []
