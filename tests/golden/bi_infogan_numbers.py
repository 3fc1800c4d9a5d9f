"""What this port's Bidirectional InfoGAN gives for the weights and the batch of a golden file."""

from itertools import zip_longest

import golden_weights
import numpy as np
import tensorflow as tf
from keras import layers

from bi_infogan import losses, training
from bi_infogan.config import Config
from bi_infogan.networks import Networks, build_networks, encoding
from shared import latent_codes
from shared.latent_codes import Codes

KEY = tf.zeros([2], tf.int32)


def config_of(golden: dict[str, np.ndarray]) -> Config:
    """The settings under which the original gave the numbers."""
    num_z = golden["z"].shape[1]
    return Config(num_z=num_z, categorical_sizes=(10,), num_continuous=golden["c"].shape[1] - 10, noise=0.0)


def numbers(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file, by the file's names."""
    config = config_of(golden)
    networks = build_networks(config)
    ordered = [*in_files_order(networks), *networks.encoder.layers, *networks.generator.layers]
    variables = golden_weights.in_order(ordered)
    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    x = tf.constant(golden["x"])
    codes = Codes(tf.constant(golden["z"]), (tf.constant(golden["c"][:, :10]),), tf.constant(golden["c"][:, 10:]))

    inference, *_ = outputs(networks, x, codes, training=False)
    found = {f"inference_{name}": value for name, value in inference.items()}
    with tf.GradientTape(persistent=True) as tape:
        in_training, d_loss, g_loss = outputs(networks, x, codes, training=True)
    found |= {f"training_{name}": value for name, value in in_training.items()}
    d_variables, g_variables = networks.discriminator.trainable_variables, training.g_variables(networks)
    gradients = dict(zip(map(id, d_variables), tape.gradient(d_loss, d_variables), strict=True))
    gradients |= dict(zip(map(id, g_variables), tape.gradient(g_loss, g_variables), strict=True))
    found["gradient_norms"] = [tf.norm(gradients[id(v)]) if id(v) in gradients else np.nan for v in variables]

    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    optimizers = training.build_optimizers(networks, config)
    history = [training.train_step(networks, optimizers, x, codes, KEY, config) for _ in range(3)]
    names = ("d_loss", "g_loss", "cross_entropy_categorical_0", "cross_entropy_continuous")
    found["loss_history"] = [[row[name] for name in names] for row in history]
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


def outputs(networks: Networks, x: tf.Tensor, codes: Codes, training: bool):
    """What the file has under inference_ and training_, and the two losses."""
    code = latent_codes.concatenate(codes)
    generated = networks.generator(code, training=training)
    encoded = latent_codes.concatenate(encoding(networks.encoder(x, training=training)))
    _, logits, mean = networks.encoder(generated, training=training)
    d_real = networks.discriminator([x, encoded, KEY], training=training)
    d_fake = networks.discriminator([generated, code, KEY], training=training)
    d_loss = losses.adversarial_d_loss(d_real, d_fake)
    categorical = sum(losses.categorical_losses(logits, codes.categorical))
    continuous = losses.continuous_loss(mean, codes.continuous)
    g_loss = losses.adversarial_g_loss(d_real, d_fake) + categorical + continuous
    found = {
        "encoding": encoded,
        "generated": generated,
        "d_real": tf.sigmoid(d_real),
        "d_fake": tf.sigmoid(d_fake),
        "d_loss": d_loss,
        "g_loss": g_loss,
        "categorical": categorical,
        "continuous": continuous,
    }
    return found, d_loss, g_loss
