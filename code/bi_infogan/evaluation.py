"""What is measured of a trained Bidirectional InfoGAN, and which digit each of its categories stands for."""

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bi_infogan import losses, pictures
from bi_infogan.config import Config
from bi_infogan.networks import Networks, code_sizes
from shared import classification_score, code_mapping, files, latent_codes
from shared.code_mapping import UNMATCHED
from shared.datasets import mnist
from shared.flags import UserError, require

ENCODINGS = "encodings.txt"
MAPPED = ".encodings_mapped.txt"  # a copy of what was written here tells a file that a person wrote or changed
BATCH = 1000
GENERATED = 10_000  # images for the bound
DIGITS = 10
NO_CATEGORY = "-"  # in encodings.txt, where a code has fewer classes than there are digits


class Classifier(NamedTuple):
    """A categorical code as a classifier of digits."""

    code: int  # its number
    mapping: np.ndarray  # int [classes], the digit of each category; UNMATCHED where it has none
    train_accuracy: float


@tf.function
def recognise(networks: Networks, images: tf.Tensor) -> list[tf.Tensor]:
    """Logits of each categorical code given images [batch, 28, 28, 1] in [0, 1]; inference mode."""
    return networks.encoder(images, training=False)[1]


def categories(networks: Networks, images: np.ndarray) -> np.ndarray:
    """The likeliest category of each image under each categorical code: int [number, codes]; images uint8."""
    found = []
    for start in range(0, len(images), BATCH):
        logits = recognise(networks, tf.constant(mnist.scale_to_unit(images[start : start + BATCH])))
        found.append(np.stack([tf.argmax(code, axis=1).numpy() for code in logits], axis=1))
    return np.concatenate(found)


def classifier(
    networks: Networks, config: Config, data: mnist.Mnist, folder: Path, keep_map: bool = True
) -> Classifier | None:
    """The categorical code that names most training images right; None where there is no categorical code.

    Categories stand for the digits that encodings.txt in the folder gives them. Where there is no such file, or it is
    one that this function wrote, they are matched one to one on the training labels, and it is written (anew: it may
    be of other weights), unless `keep_map` is false, as on other data than the model's. Test labels choose nothing.

    Raises:
        UserError: encodings.txt was written by hand and is wrong.
    """
    if not config.categorical_sizes:
        return None
    train = categories(networks, data.train_images)
    maps = [code_mapping.match(train[:, k], data.train_labels, n) for k, n in enumerate(config.categorical_sizes)]
    path, copy = folder / ENCODINGS, folder / MAPPED
    text = "".join(f"{encodings_line(mapping)}\n" for mapping in maps)
    if path.exists() and not (path.is_file() and copy.exists() and copy.read_bytes() == path.read_bytes()):
        maps = read_encodings(path, config)
        print(f"Category of each digit: {path}, kept as written by hand", file=sys.stderr)
    elif not keep_map:
        print(f"Category of each digit: mapped on training labels, not kept: {text.strip()}", file=sys.stderr)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # or, stopped here, an old map would pass for one made by hand
        files.write_text(copy, text)
        files.write_text(path, text)
        print(f"Category of each digit: mapped on training labels, {path}: {text.strip()}", file=sys.stderr)
    accuracies = [code_mapping.accuracy(mapping[train[:, k]], data.train_labels) for k, mapping in enumerate(maps)]
    code = int(np.argmax(accuracies))
    return Classifier(code, maps[code], accuracies[code])


def forget_map(folder: Path) -> None:
    """Removes the folder's encodings.txt, by whomever it was made, and says so: new weights are published."""
    if (folder / ENCODINGS).exists():
        print(f"{folder / ENCODINGS} is removed: it is the map of the weights before", file=sys.stderr)
    for name in (ENCODINGS, MAPPED):
        (folder / name).unlink(missing_ok=True)


def encodings_line(mapping: np.ndarray) -> str:
    """A line of encodings.txt: the category that stands for 0, for 1, ... for 9."""
    found = [np.flatnonzero(mapping == digit) for digit in range(DIGITS)]
    return ",".join(str(categories[0]) if len(categories) else NO_CATEGORY for categories in found)


def read_encodings(path: Path, config: Config) -> list[np.ndarray]:
    """The map of each categorical code, int [classes], from a file with a line for each code.

    "6,5,9,2,1,8,3,0,4,7" says that category 6 stands for 0, category 5 for 1, and so on: a permutation of 0 to 9. A
    code of other than ten classes has ten of its categories there, or all and a "-" for each digit without one.

    Raises:
        UserError: a line is not such a one; the message shows it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    number = len(config.categorical_sizes)
    require(len(lines) == number, f"{path}: expected a line for each categorical code, {number}; got {len(lines)}")
    return [
        _read_line(line, classes, f"{path}, line {k + 1}")
        for k, (line, classes) in enumerate(zip(lines, config.categorical_sizes))
    ]


def _read_line(line: str, classes: int, place: str) -> np.ndarray:
    entries = [entry.strip() for entry in line.split(",")]
    named = [entry for entry in entries if entry != NO_CATEGORY]
    wanted = min(classes, DIGITS)
    expected = f"{wanted} different numbers from 0 to {classes - 1}" if classes != DIGITS else "each of 0 to 9 once"
    if wanted < DIGITS:
        expected += f" and {DIGITS - wanted} times {NO_CATEGORY!r}"
    known = {str(category) for category in range(classes)}
    good = len(entries) == DIGITS and len(named) == len(set(named)) == wanted and known.issuperset(named)
    require(good, f"{place}: expected {expected}, with commas between; got {line!r}")
    mapping = np.full(classes, UNMATCHED)
    for digit, entry in enumerate(entries):
        if entry != NO_CATEGORY:
            mapping[int(entry)] = digit
    return mapping


def predict(networks: Networks, images: np.ndarray, found: Classifier | None) -> np.ndarray:
    """The digit, or UNMATCHED, that each of the images, uint8 [number, 28, 28], is called.

    Raises:
        UserError: the model has no categorical code.
    """
    if found is None:
        raise UserError("the model has no categorical code to tell digits by")
    return found.mapping[categories(networks, images)[:, found.code]]


def sample(networks: Networks, config: Config, images: np.ndarray, found: Classifier | None) -> dict[str, np.ndarray]:
    """The pictures of --sample, by name, of images uint8 [number, 28, 28].

    Raises:
        UserError: the model has no categorical code.
    """
    digits = predict(networks, images, found)
    codes = pictures.encode_all(networks, images)
    confidence = codes.categorical[found.code].max(axis=1)
    drawn = {"samples_categorical": pictures.sample_categorical(images, digits, config.seed)}
    for k, values in enumerate(codes.continuous.T):
        drawn[f"sample_cont_c{k + 1}"] = pictures.sample_continuous(images, digits, confidence, values)
    return drawn


def evaluate(networks: Networks, config: Config, data: mnist.Mnist, found: Classifier | None) -> dict:
    """Accuracy of a categorical code as a classifier of the test images, and the mutual-information bound.

    Returns:
        accuracy, a fraction; mutual_information_bound of the categorical codes and its ceiling, nats; mapping, the
        digit of each category; confusion, rows true digits, last column categories without a digit;
        accuracy_per_digit; and wrong, a number of images.
    """
    numbers = bound(networks, config)
    if found is None:
        return numbers
    predicted = predict(networks, data.test_images, found)
    confusion = code_mapping.confusion(predicted, data.test_labels)
    return {
        "accuracy": code_mapping.accuracy(predicted, data.test_labels),
        **numbers,
        "train_accuracy": found.train_accuracy,
        "code": found.code,
        "mapping": found.mapping.tolist(),
        "accuracy_per_digit": [row[k] / max(1, row.sum()) for k, row in enumerate(confusion)],
        "confusion": confusion.tolist(),
        "wrong": int(np.sum(predicted != data.test_labels)),
    }


def bound(networks: Networks, config: Config) -> dict[str, float]:
    """The bound of the categorical codes, on generated images, in inference mode: ln n - E[-log E(c|x)], in nats."""
    codes = pictures.fixed_codes(config, GENERATED)
    cross_entropy = 0.0
    for start in range(0, GENERATED, BATCH):
        batch = tf.nest.map_structure(lambda part, start=start: part[start : start + BATCH], codes)
        logits = recognise(networks, pictures.generate(networks, batch))
        cross_entropy += float(sum(losses.categorical_losses(logits, batch.categorical))) * BATCH / GENERATED
    ceiling = sum(math.log(classes) for classes in config.categorical_sizes)
    return {"mutual_information_bound": ceiling - cross_entropy, "mutual_information_ceiling": ceiling}


def classification_scores(networks: Networks, config: Config, data: mnist.Mnist, found: Classifier) -> dict[str, float]:
    """The classification accuracy score; a generated image's label is the digit of its category.

    Categories without a digit are not drawn; of a code of fewer than ten classes some digits are not.

    Returns:
        classification_score and classification_score_of_training_images, fractions.
    """
    known = np.flatnonzero(found.mapping != UNMATCHED)

    def generate(step: int):
        key = latent_codes.key(config.seed, -2 - step)  # no training step draws these, nor do pictures
        codes = latent_codes.sample(code_sizes(config), classification_score.BATCH, key)
        generator = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(step,)))
        chosen = generator.choice(known, classification_score.BATCH)
        codes = latent_codes.with_categories(codes, found.code, chosen)
        return pictures.generate(networks, codes), found.mapping[chosen]

    return classification_score.scores(generate, data, config.seed)


def report(numbers: dict) -> str:
    """The numbers as a person reads them."""
    lines = [
        "Mutual-information bound: {mutual_information_bound:.3f} of {mutual_information_ceiling:.3f} nats".format_map(
            numbers
        )
    ]
    if "accuracy" in numbers:
        lines += [
            f"Category -> digit: {numbers['mapping']}",
            "Confusion on test images (row: digit, column: what it was called, last: no digit):",
            *("  ".join(f"{count:5d}" for count in row) for row in numbers["confusion"]),
            "Accuracy per digit: " + "  ".join(f"{k}: {v:.2%}" for k, v in enumerate(numbers["accuracy_per_digit"])),
            f"Test accuracy: {numbers['accuracy']:.2%} ({numbers['wrong']} wrong)",
        ]
    if "classification_score" in numbers:
        lines += [classification_score.report(numbers)]
    return "\n".join(lines)
