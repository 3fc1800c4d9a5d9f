"""What this port's cycle-consistent VAE gives for the weights and the batch of a golden file, sprites or MNIST."""

import dataclasses

import golden_weights
import numpy as np
import tensorflow as tf

from cycle_vae import losses, training
from cycle_vae.config import PRESETS
from cycle_vae.networks import Networks, build_networks
from cycle_vae.pairs import Batch
from cycle_vae.training import Noise


def numbers(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file, by the file's names."""
    preset = PRESETS["mnist" if str(golden["system"]) == "cycle_vae_mnist" else "sprites"]
    config = dataclasses.replace(preset, batch_size=len(golden["image_1"]))
    networks = build_networks(config)
    encoder, decoder = networks
    variables = golden_weights.in_order(in_files_order(networks))
    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    batch = Batch(*(tf.constant(golden[name]) for name in Batch._fields))
    noise = Noise(*(tf.constant(golden[name]) for name in Noise._fields))
    values_in_image = np.prod(batch.image_1.shape[1:])

    with tf.GradientTape() as tape:
        codes_1, codes_2 = encoder(batch.image_1, training=True), encoder(batch.image_2, training=True)
        z_1 = training.sample_z(*codes_1[:2], noise.noise_1)
        z_2 = training.sample_z(*codes_2[:2], noise.noise_2)
        decoded = decoder([z_1, codes_2[2]], training=True), decoder([z_2, codes_1[2]], training=True)
        found = dict(zip(("encoded_mean", "encoded_log_variance", "encoded_class"), codes_1))
        found["swapped_reconstruction_1"] = decoded[0][:2]
        found["kl_1"] = 3 * losses.kl_divergence(*codes_1[:2], values_in_image)
        found["kl_2"] = 3 * losses.kl_divergence(*codes_2[:2], values_in_image)
        found["reconstruction_1"] = 2 * losses.reconstruction_error(decoded[0], batch.image_1)
        found["reconstruction_2"] = 2 * losses.reconstruction_error(decoded[1], batch.image_2)
        loss = sum(found[name] for name in ("kl_1", "kl_2", "reconstruction_1", "reconstruction_2"))
    found["forward_gradient_norms"] = norms(tape.gradient(loss, variables))

    with tf.GradientTape() as tape:
        s = [encoder(images, training=True)[2] for images in (batch.reverse_image_1, batch.reverse_image_2)]
        if config.data_set == "mnist":
            s = [tf.stop_gradient(code) for code in s]
        means = [encoder(decoder([noise.reverse_z, code], training=True), training=True)[0] for code in s]
        found["reverse_cycle"] = 10 * losses.reverse_cycle_loss(*means)
    encoder_variables = variables[: len(encoder.trainable_variables)]
    found["reverse_gradient_norms"] = norms(tape.gradient(found["reverse_cycle"], encoder_variables))

    optimizers = training.build_optimizers(networks, config, steps_per_epoch=1000)
    history = [training.train_step(networks, optimizers, batch, noise, config) for _ in range(3)]
    found["loss_history"] = [[row[name] for name in training.CURVES] for row in history]
    found["final_l2"] = [np.linalg.norm(np.asarray(variable)) for variable in variables]
    found["final_sum"] = [np.asarray(variable, float).sum() for variable in variables]
    return {name: np.asarray(value, float) for name, value in found.items()}


def in_files_order(networks: Networks) -> list:
    """The layers as the files have them: of the encoder's heads z's mean first, of the decoder's inputs z."""
    heads = [networks.encoder.get_layer(name) for name in ("z_mean", "z_log_variance", "s")]
    trunk = [layer for layer in networks.encoder.layers if layer not in heads]
    return [*trunk, *heads, *networks.decoder.layers]


def norms(gradients: list) -> list:
    """The L2 norm of each gradient; nan where there is none."""
    return [np.nan if gradient is None else tf.norm(gradient) for gradient in gradients]
