"""What this port's InfoGAN gives for the weights and the batch of a golden file."""

import golden_weights
import numpy as np
import tensorflow as tf

from infogan import losses, training
from infogan.config import Config
from infogan.networks import build_networks
from shared import latent_codes
from shared.latent_codes import Codes

KEY = tf.zeros([2], tf.int32)


def config_of(golden: dict[str, np.ndarray]) -> Config:
    """The settings under which the original gave the numbers."""
    is_celeba = str(golden["system"]) == "infogan_celeba"
    return Config(
        num_z=golden["z"].shape[1],
        num_continuous=golden["continuous"].shape[1],
        categorical_sizes=() if is_celeba else (10,),
        image_size=golden["x"].shape[1],
        channels=golden["x"].shape[3],
        clip_norm=0.0 if is_celeba else 10.0,
    )


def numbers(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file, by the file's names."""
    config = config_of(golden)
    networks = build_networks(config)
    heads = sorted(networks.recognition.layers, key=lambda layer: not belongs_to_categorical(layer, config))
    variables = golden_weights.in_order([*networks.discriminator.layers, *heads, *networks.generator.layers])
    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    x = tf.constant(golden["x"])
    one_hots = tuple(tf.one_hot(golden["categorical"], classes) for classes in config.categorical_sizes)
    codes = Codes(tf.constant(golden["z"]), one_hots, tf.constant(golden["continuous"]))
    code = latent_codes.concatenate(codes)

    found = {"inference_generated": (networks.generator([code, KEY], training=False) + 1) / 2}
    with tf.GradientTape(persistent=True) as tape:
        generated = networks.generator([code, KEY], training=True)
        d_fake, features = networks.discriminator(generated, training=True)
        d_real, _ = networks.discriminator(x, training=True)
        categorical, continuous = training.q_losses(networks, features, codes)
        bound = training.mutual_information_bound(categorical, continuous, config)
        d_gan_loss = losses.adversarial_d_loss(d_real, d_fake)
        g_gan_loss = losses.adversarial_g_loss(d_fake)
        d_loss = d_gan_loss - config.w_mutual * bound
        g_loss = g_gan_loss - config.w_mutual * bound
    logits = networks.recognition(features, training=True)[0]
    found |= {
        "training_generated": (generated + 1) / 2,
        "training_d_real": d_real,
        "training_d_fake": d_fake,
        "training_d_gan_loss": d_gan_loss,
        "training_g_gan_loss": g_gan_loss,
        "training_mutual_information_bound": bound,
        "training_d_loss": d_loss,
        "training_g_loss": g_loss,
        "training_q_discrete_loss": tf.add_n([tf.constant(0.0), *categorical]),
        "training_q_continuous_loss": continuous,
        **({"training_q_logits": logits[0]} if logits else {}),
    }
    d_variables, g_variables = training.d_variables(networks), networks.generator.trainable_variables
    gradients = dict(zip(map(id, d_variables), tape.gradient(d_loss, d_variables), strict=True))
    gradients |= dict(zip(map(id, g_variables), tape.gradient(g_loss, g_variables), strict=True))
    found["gradient_norms"] = [tf.norm(gradients[id(v)]) if id(v) in gradients else np.nan for v in variables]

    golden_weights.assign(variables, golden["variables"], int(golden["seed"]))
    optimizers = training.build_optimizers(networks, config)
    history = [training.train_step(networks, optimizers, x, codes, KEY, config) for _ in range(3)]
    found["loss_history"] = [[row["d_loss"], row["LI_D"], row["g_loss"], row["LI_G"]] for row in history]
    found["final_l2"] = [np.linalg.norm(np.asarray(variable)) for variable in variables]
    found["final_sum"] = [np.asarray(variable, float).sum() for variable in variables]
    return {name: np.asarray(value, float) for name, value in found.items()}


def belongs_to_categorical(layer, config: Config) -> bool:
    """Whether a layer of the recognition network is not the Gaussian head, which the files list last."""
    return getattr(layer, "units", None) != 2 * config.num_continuous
