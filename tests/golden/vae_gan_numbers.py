"""What this port's VAE-GAN gives for the weights and the batch of a golden file."""

import golden_weights
import numpy as np
import tensorflow as tf

from vae_gan import losses, pictures, training
from vae_gan.config import Config
from vae_gan.networks import Networks, build_networks
from vae_gan.training import UPDATES, Noise

CONFIG = Config()


def numbers(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file, by the file's names."""
    networks = build_networks(CONFIG)
    trained = (networks.encoder, networks.generator, networks.discriminator)
    variables = golden_weights.in_order(layer for network in trained for layer in network.layers)
    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    x = tf.constant(golden["x"])

    mean, log_variance = networks.encoder(x, training=False)
    d_logit, features = networks.discriminator(x, training=False)
    found = {
        "inference_mean": mean,
        "inference_log_variance": log_variance,
        "inference_generated": networks.generator(golden["prior_sample"], training=False),
        "inference_interpolation": pictures.interpolated(networks, *golden["x"][:2]),
        "inference_d_logit": d_logit,
        "inference_d_features_sum": tf.reduce_sum(features, axis=1),
    }
    with tf.GradientTape(persistent=True) as tape:
        in_training, d_loss, g_loss, e_loss = outputs(networks, golden)
    found |= in_training
    gradients = {}
    for network, loss in zip(trained, (e_loss, g_loss, d_loss), strict=True):
        its_variables = network.trainable_variables
        gradients |= dict(zip(map(id, its_variables), tape.gradient(loss, its_variables), strict=True))
    found["gradient_norms"] = [tf.norm(gradients[id(v)]) if id(v) in gradients else np.nan for v in variables]

    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    optimizer = training.build_optimizer(networks, CONFIG)
    images = tf.stack([x] * UPDATES)
    noise = Noise(*(tf.stack([golden[name]] * UPDATES) for name in ("reparameterization_noise", "prior_sample")))
    history = [training.train_step(networks, optimizer, images, noise, CONFIG)[0] for _ in range(3)]
    found["loss_history"] = [[row[str(name)] for name in golden["loss_names"]] for row in history]
    found["final_l2"] = [np.linalg.norm(np.asarray(variable)) for variable in variables]
    found["final_sum"] = [np.asarray(variable, float).sum() for variable in variables]
    return {name: np.asarray(value, float) for name, value in found.items()}


def outputs(networks: Networks, golden: dict[str, np.ndarray]):
    """What the file has under training_, and the losses of discriminator, generator and encoder."""
    x = tf.constant(golden["x"])
    mean, log_variance = networks.encoder(x, training=True)
    z = training.reparameterized(mean, log_variance, golden["reparameterization_noise"])
    real, features = networks.discriminator(x, training=True)
    reconstructed, its_features = networks.discriminator(networks.generator(z, training=True), training=True)
    sampled, _ = networks.discriminator(networks.generator(golden["prior_sample"], training=True), training=True)
    found = {
        "training_d_real": losses.cross_entropy(real, 1.0),
        "training_d_fake": 0.5 * (losses.cross_entropy(reconstructed, 0.0) + losses.cross_entropy(sampled, 0.0)),
        "training_g_fake": 0.5 * (losses.cross_entropy(reconstructed, 1.0) + losses.cross_entropy(sampled, 1.0)),
        "training_kl": losses.kl(mean, log_variance),
        "training_feature_reconstruction": losses.feature_reconstruction(features, its_features),
        "training_g_fake_prior": losses.cross_entropy(sampled, 1.0),
    }
    d_loss = found["training_d_real"] + found["training_d_fake"]
    g_loss = found["training_g_fake"] + CONFIG.reconst_v_gan * found["training_feature_reconstruction"]
    e_loss = found["training_kl"] + found["training_feature_reconstruction"]
    return found, d_loss, g_loss, e_loss
