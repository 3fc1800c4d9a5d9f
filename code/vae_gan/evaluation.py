"""What is measured of a trained VAE-GAN."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from shared import image_grids
from shared.datasets import batches, cns
from shared.flags import UserError, require
from vae_gan import losses, pictures
from vae_gan.config import Config, architecture_of
from vae_gan.data import Data, scale_to_symmetric
from vae_gan.networks import Networks

BATCH = 500
SAMPLES = 10_000  # images for the Frechet distances
COMPARED, ALIKE = 256, 0.8  # samples, as many as --sample draws; correlation above which two are one image
JUDGE_STEPS, JUDGE_BATCH, JUDGE_FEATURES = 1500, 64, 64
EMBEDDED = 10_000  # images shown in TensorBoard's projector
NEAREST = 5  # characters named for the result of an arithmetic


def evaluate(networks: Networks, config: Config, data: Data) -> dict[str, float]:
    """Numbers of reconstructions of the held-out images, of samples, and of the samples' distance from those images.

    Samples are of codes of the prior and, of a model with an encoder, also `fitted`: of codes of a Gaussian fitted to
    the training images' codes.

    Returns:
        The first three of a model with an encoder, where images are held out.
        pixel_error: mean squared difference of pixels in [-1, 1], of an image and G(mean of its z).
        feature_error: -log density of an image's features given that reconstruction's, less its constant: half the
            squared difference, summed over the discriminator's features, in nats.
        kl: of the code of an image from the prior, in nats.
        near_copies, near_copies_fitted: the share of 256 samples that correlate with another by more than 0.8.
        narrowest_code: the least variance that the training images' codes have in any direction; the prior's is 1.
        The others where training images have more than one label, and held-out ones any; an image of cns.NO_RADICAL
        has none.
        frechet_distance, frechet_distance_fitted: between held-out images and samples, in the features of `judge`.
        frechet_distance_of_training_images: the same with as many training images in the place of samples, or all
            there are: what a perfect generator would have.
        judge_accuracy: the share of held-out images with a label whose label the judge names.
    """
    numbers, codes = {}, {"": pictures.prior(config, SAMPLES)}
    if architecture_of(config).mode == "VAE-GAN":
        if len(data.held_out_images):
            numbers |= reconstruction_errors(networks, data.held_out_images)
        mean, covariance = pictures.code_moments(networks, data.train_images)
        numbers["narrowest_code"] = float(np.linalg.eigvalsh(covariance)[0])
        codes["_fitted"] = pictures.fitted(config, mean, covariance, SAMPLES)
    samples = {ending: pictures.generate_all(networks, z) for ending, z in codes.items()}
    numbers |= {f"near_copies{ending}": near_copies(made[:COMPARED]) for ending, made in samples.items()}
    labels = np.unique(data.train_labels[has_label(data.train_labels)])
    if len(labels) > 1 and len(data.held_out_images) > 1 and has_label(data.held_out_labels).any():
        numbers |= distances(samples, data)
    return numbers


def has_label(labels: np.ndarray) -> np.ndarray:
    return labels != cns.NO_RADICAL


@tf.function
def errors_of(networks: Networks, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Pixel error, feature error and KL, means over images [batch, height, width, channels] in [-1, 1]."""
    mean, log_variance = networks.encoder(images, training=False)
    made = networks.generator(mean, training=False)
    features, its_features = (networks.features(x, training=False) for x in (images, made))
    feature_error = 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(features - its_features), axis=1))
    return tf.reduce_mean(tf.square(images - made)), feature_error, losses.kl(mean, log_variance)


def reconstruction_errors(networks: Networks, images: np.ndarray) -> dict[str, float]:
    """The first three numbers of `evaluate`, of images, uint8."""
    sums = np.zeros(3)
    for start in range(0, len(images), BATCH):
        batch = scale_to_symmetric(images[start : start + BATCH])
        sums += len(batch) * np.array([float(error) for error in errors_of(networks, tf.constant(batch))])
    return dict(zip(("pixel_error", "feature_error", "kl"), (float(error) for error in sums / len(images))))


def near_copies(images: np.ndarray) -> float:
    """The share of images that correlate, pixel by pixel, with another of them by more than ALIKE."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1e-12)
    others = pixels @ pixels.T - 2 * np.eye(len(pixels))  # and not itself
    return float(np.mean(others.max(axis=1) > ALIKE))


def distances(samples: dict[str, np.ndarray], data: Data) -> dict[str, float]:
    """The last numbers of `evaluate`, of samples in [-1, 1] by the ending of their distance's name.

    The distances are of all images, with a label or without.
    """
    features, predict = judge(data)
    real = judged(features, scale_to_symmetric(data.held_out_images))
    chosen = np.random.default_rng(0).permutation(len(data.train_images))[:SAMPLES]
    shown = samples | {"_of_training_images": scale_to_symmetric(data.train_images[chosen])}
    labelled = has_label(data.held_out_labels)
    named = judged(predict, scale_to_symmetric(data.held_out_images[labelled])).argmax(axis=1)
    found = {f"frechet_distance{ending}": frechet_distance(real, judged(features, x)) for ending, x in shown.items()}
    return found | {"judge_accuracy": float(np.mean(named == data.held_out_labels[labelled]))}


def judge(data: Data) -> tuple[keras.Model, keras.Model]:
    """A small classifier of the training images' labels, where they have one: its last features but one, its logits.

    Trained anew each time, from the same weights on the same batches: on one data set, and one kind of processor, it is
    the same judge for every run, which a run's own discriminator would not be. Takes half a minute.
    """
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    labelled = has_label(data.train_labels)
    train_images, labels = data.train_images[labelled], data.train_labels[labelled]
    image = x = keras.Input(train_images.shape[1:])
    for filters in (32, 64):
        x = layers.Conv2D(filters, 5, 2, "same", activation="relu")(x)
    features = layers.Dense(JUDGE_FEATURES, activation="relu")(layers.Flatten()(x))
    logits = layers.Dense(int(labels.max()) + 1)(features)
    model = keras.Model(image, logits)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, targets):
        with tf.GradientTape() as tape:
            errors = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, model(images, training=True))
            loss = tf.reduce_mean(errors)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    batch_size = min(JUDGE_BATCH, len(train_images))
    for number in range(JUDGE_STEPS):
        chosen = batches.batch_indices(number, batch_size, len(train_images), seed=0)
        step(tf.constant(scale_to_symmetric(train_images[chosen])), tf.constant(labels[chosen]))
    return keras.Model(image, features), model


def judged(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a model says of any number of images in [-1, 1], in float64."""
    parts = [model(images[start : start + BATCH], training=False).numpy() for start in range(0, len(images), BATCH)]
    return np.concatenate(parts).astype(np.float64)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Between the Gaussians that have the means and covariances of two sets of features, [number, features] each.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).
    """
    mean_distance = float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2))
    covariances = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # C_a C_b has the eigenvalues of root C_b root, which is symmetric: no square root of a matrix that may have none.
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sum(np.sqrt(np.maximum(product, 0)))
    return mean_distance + float(trace)


def report(numbers: dict[str, float]) -> str:
    """The numbers as a person reads them."""
    lines = []
    if "pixel_error" in numbers:
        lines += [
            "Held-out images: squared error of a pixel {pixel_error:.4f}, of the features {feature_error:.1f} nats; "
            "KL {kl:.1f} nats".format_map(numbers)
        ]
    if "frechet_distance" in numbers:
        lines += [
            "Frechet distance of samples from held-out images {frechet_distance:.2f}, of training images "
            "{frechet_distance_of_training_images:.2f}; the judge names {judge_accuracy:.1%} right".format_map(numbers)
        ]
    lines += ["Samples that are like another: {near_copies:.1%}".format_map(numbers)]
    if "narrowest_code" in numbers:
        fitted = ["{near_copies_fitted:.1%} are like another"]
        fitted += ["Frechet distance {frechet_distance_fitted:.2f}"] if "frechet_distance_fitted" in numbers else []
        lines += [
            f"Samples of codes fitted to the training images': {', '.join(fitted)}".format_map(numbers),
            "Least variance of those codes in any direction: {narrowest_code:.4f}, where the prior's is 1".format_map(
                numbers
            ),
        ]
    return "\n".join(lines)


# A - B + C


def read_arithmetic(path: Path, names: Sequence[str]) -> list[tuple[int, int, int]]:
    """The lines "A B C" of a file, as positions in names; the three characters may also stand together.

    A line with tabs has one between any two names, which may then have spaces in them.

    Raises:
        UserError: the file cannot be read, a line is not such a one, or a name is not in the data.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--arithmetic: {path} cannot be read: {error}") from error
    positions = {name: number for number, name in reversed(list(enumerate(names)))}  # of equal names the first
    found = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        words = parts if len(parts) > 1 else list(line)
        place = f"--arithmetic: {path}, line {number}"
        require(len(words) == 3, f"{place}: expected three names, A B C; got {line!r}")
        missing = [word for word in words if word not in positions]
        require(not missing, f"{place}: not in the data: {', '.join(missing)}")
        found.append((positions[words[0]], positions[words[1]], positions[words[2]]))
    require(bool(found), f"--arithmetic: {path} has no line A B C")
    return found


def arithmetic(networks: Networks, images: np.ndarray, names: Sequence[str], line: tuple[int, int, int]) -> dict:
    """What is nearest to G(z_A - z_B + z_C), by mean squared difference of pixels, of all images, uint8.

    Returns:
        line: the three names; nearest: names, the nearest first; distance: of the nearest; rank: of A, B and C, 1 being
        the nearest. Where B shares its radical with either A or C, the result ought to have the other's: that is
        expected_radical, and radical is what the nearest has.
    """
    made = pictures.generate_all(networks, pictures.arithmetic_codes(networks, images[list(line)])[0][np.newaxis])
    difference = scale_to_symmetric(images) - made
    distance = np.mean(np.square(difference), axis=(1, 2, 3))
    order = np.argsort(distance, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(1, len(order) + 1)
    found = {
        "line": [names[position] for position in line],
        "nearest": [names[position] for position in order[:NEAREST]],
        "distance": float(distance[order[0]]),
        "rank": [int(rank[position]) for position in line],
    }
    a, b, c, nearest = cns.radicals([*found["line"], found["nearest"][0]]).tolist()
    if b != cns.NO_RADICAL and b in (a, c) and a != c:
        found |= {"expected_radical": c if a == b else a, "radical": nearest}
    return found


def arithmetic_report(found: Sequence[dict]) -> str:
    """A line for each line of the file, and how often the nearest has the radical that the result ought to have."""
    lines = [
        "{} - {} + {}: nearest {}; ranks of A, B, C: {}".format(
            *numbers["line"], " ".join(numbers["nearest"]), ", ".join(map(str, numbers["rank"]))
        )
        for numbers in found
    ]
    radicals = [numbers["radical"] == numbers["expected_radical"] for numbers in found if "radical" in numbers]
    if radicals:
        lines.append(f"The nearest has the radical that A - B + C has in {sum(radicals)} of {len(radicals)} lines")
    return "\n".join(lines)


# TensorBoard's projector


def write_embedding(networks: Networks, images: np.ndarray, names: Sequence[str], folder: Path) -> None:
    """Encodings of the first images, uint8, with their sprites and labels, as TensorBoard's projector reads them.

    `tensorboard --logdir FOLDER` shows them under Projector. Source: make_sprite.py and make_tsv.py of the original.
    """
    images, names = images[:EMBEDDED], names[:EMBEDDED]
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "encodings.tsv", pictures.encode_all(networks, images), "%.5g", "\t")
    (folder / "labels.tsv").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    image_grids.save(pictures.sprites(images), folder / "sprites.png")
    height, width = images.shape[1:3]
    (folder / "projector_config.pbtxt").write_text(
        "embeddings {\n"
        '  tensor_name: "encodings"\n  tensor_path: "encodings.tsv"\n  metadata_path: "labels.tsv"\n'
        f'  sprite {{ image_path: "sprites.png" single_image_dim: {width} single_image_dim: {height} }}\n'
        "}\n"
    )
