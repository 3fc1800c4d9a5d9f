"""What this port's image generation and translation gives for the weights and the batch of a golden file."""

from itertools import zip_longest

import golden_weights
import numpy as np
import tensorflow as tf
from keras import layers

from image_translation import losses, training
from image_translation.config import DIGITS, Config
from image_translation.networks import Networks, build_networks, encoding
from shared import latent_codes
from shared.latent_codes import Codes

KEY = tf.zeros([2], tf.int32)


def config_of(golden: dict[str, np.ndarray]) -> Config:
    """The settings under which the original gave the numbers."""
    return Config(num_z=golden["z"].shape[1], num_continuous=golden["c"].shape[1] - DIGITS, noise=0.0)


def numbers(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file, by the file's names."""
    config = config_of(golden)
    networks = build_networks(config)
    ordered = [*in_files_order(networks), *networks.encoder.layers, *networks.generator.layers]
    variables = golden_weights.in_order(ordered)
    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    x = tf.constant(golden["x"])
    categorical, continuous = golden["c"][:, :DIGITS], golden["c"][:, DIGITS:]
    codes = Codes(tf.constant(golden["z"]), (tf.constant(categorical),), tf.constant(continuous))
    unlabelled = len(golden["x"]) - len(golden["y"])
    labels = tf.constant(np.pad(golden["y"], [(0, unlabelled), (0, 0)]))
    weight = tf.constant(float(golden["adv_loss"]))

    inference, *_ = outputs(networks, x, labels, codes, weight, config, training=False)
    found = {f"inference_{name}": value for name, value in inference.items()}
    with tf.GradientTape(persistent=True) as tape:
        in_training, d_loss, total_loss = outputs(networks, x, labels, codes, weight, config, training=True)
    found |= {f"training_{name}": value for name, value in in_training.items()}
    d_variables, g_variables = networks.discriminator.trainable_variables, training.g_variables(networks)
    gradients = dict(zip(map(id, d_variables), tape.gradient(d_loss, d_variables), strict=True))
    gradients |= dict(zip(map(id, g_variables), tape.gradient(total_loss, g_variables), strict=True))
    found["gradient_norms"] = [tf.norm(gradients[id(v)]) if id(v) in gradients else np.nan for v in variables]

    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    optimizers = training.build_optimizers(networks, config)
    history = [training.train_step(networks, optimizers, x, labels, codes, KEY, weight, config) for _ in range(3)]
    found["loss_history"] = [
        [
            row["d_loss"],
            row["total_loss"],
            row["cross_entropy_categorical"],
            row["cross_entropy_continuous"],
            row["reconstruction"],
            row["g_loss"] + row["e_loss"],
            row["supervised"],
        ]
        for row in history
    ]
    found["final_l2"] = [np.linalg.norm(np.asarray(variable)) for variable in variables]
    found["final_sum"] = [np.asarray(variable, float).sum() for variable in variables]
    return {name: np.asarray(value, float) for name, value in found.items()}


def in_files_order(networks: Networks) -> list:
    """The discriminator's layers as the files have them: image branch, code branch, joint.

    Keras lists the two branches mixed; but layers of a kind were made, and so numbered by name, in the files' order.
    The convolutions, of two kinds, are one chain.
    """

    def of_kind(kind: type) -> list:
        return [layer for layer in networks.discriminator.layers if isinstance(layer, kind)]

    def as_made(found: list) -> list:
        return sorted(found, key=lambda layer: (len(layer.name), layer.name))

    kernels = of_kind(layers.Conv2D) + as_made(of_kind(layers.Dense))
    pairs = zip_longest(kernels, as_made(of_kind(layers.BatchNormalization)))
    return [layer for pair in pairs for layer in pair if layer is not None]


def outputs(networks: Networks, x, labels, codes: Codes, weight, config: Config, training: bool):
    """What the file has under inference_ and training_, and the two losses."""
    code = latent_codes.concatenate(codes)
    generated = networks.generator(code, training=training)
    real_outputs = networks.encoder(x, training=training)
    encoded = latent_codes.concatenate(encoding(real_outputs))
    reconstructed = networks.generator(encoded, training=training)
    _, logits, mean = networks.encoder(generated, training=training)
    d_real = networks.discriminator([x, encoded, KEY], training=training)
    d_fake = networks.discriminator([generated, code, KEY], training=training)
    d_loss = losses.adversarial_d_loss(d_real, d_fake)
    categorical = losses.categorical_loss(logits, codes.categorical[0])
    continuous = losses.continuous_loss(mean, codes.continuous)
    reconstruction = losses.reconstruction_loss(x, reconstructed)
    adversarial = losses.adversarial_g_loss(d_fake) + losses.adversarial_e_loss(d_real)
    supervised = losses.supervised_loss(real_outputs[1], labels)
    total_loss = config.weight_recon_loss * reconstruction + weight * (categorical + continuous + adversarial)
    total_loss += config.sup_loss * supervised
    found = {
        "encoding": encoded,
        "generated": generated,
        "d_real": tf.sigmoid(d_real),
        "d_fake": tf.sigmoid(d_fake),
        "d_loss": d_loss,
        "total_loss": total_loss,
        "categorical": categorical,
        "continuous": continuous,
        "reconstruction": reconstruction,
        "adversarial": adversarial,
        "supervised": supervised,
    }
    return found, d_loss, total_loss
