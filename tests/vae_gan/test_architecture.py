"""The architecture file: what the original's files hold is taken, and a mistake is named with its key."""

import copy
import json

import pytest

from shared.flags import UserError
from vae_gan import architecture
from vae_gan.config import Config, architecture_of, with_architecture

ORIGINAL = {
    "hwc": [32, 32, 1], "z_dim": 100, "y_dim": 10, "mode": "VAE-GAN",
    "encoder": {"kernel": [[5, 5]] * 4, "stride": [[2, 2]] * 4, "output": [64, 128, 256, 512], "l2-reg": 1e-6},
    "generator": {
        "hwc": [2, 2, 512], "kernel": [[5, 5]] * 4, "stride": [[2, 2]] * 4, "output": [256, 128, 64, 1], "l2-reg": 1e-6
    },
    "discriminator": {
        "kernel": [[5, 5]] * 4, "stride": [[2, 2]] * 4, "output": [64, 128, 256, 512], "l2-reg": 1e-3,
        "feature_layer": 3,
    },
}  # fmt: skip


def changed(path, value):
    values = copy.deepcopy(ORIGINAL)
    *outer, last = path.split(".")
    place = values
    for key in outer:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return values


def test_the_originals_file_is_taken_as_it_is_and_describes_the_default_networks():
    described = architecture.parse(json.dumps(ORIGINAL))
    assert described == architecture.parse(architecture.read(architecture.DEFAULT))
    assert described.encoder == ((((5, 5),) * 4), ((2, 2),) * 4, (64, 128, 256, 512), 1e-6)
    assert (described.generator_hwc, described.feature_layer, described.discriminator.l2_reg) == ((2, 2, 512), 3, 1e-3)
    assert (described.mode, described.latent_activation) == ("VAE-GAN", "none")


def test_what_may_be_left_out_may_be():
    values = changed("encoder.l2-reg", None)
    del values["mode"], values["y_dim"]
    described = architecture.parse(json.dumps(values))
    assert (described.mode, described.encoder.l2_reg) == ("VAE-GAN", 0)


@pytest.mark.parametrize("path, value, problem", [
    ("hwc", [32, 32], "hwc is [32, 32]: allowed is [height, width, channels]"),
    ("hwc", [32, 32, 2], "hwc is [32, 32, 2]: allowed is [height, width, channels], whole numbers from 1, channels 1"),
    ("hwc", 32, "hwc is 32: allowed is"),
    ("z_dim", 0, "z_dim is 0: allowed is a whole number from 1"),
    ("z_dim", True, "z_dim is true: allowed is"),
    ("z_dim", 1.5, "z_dim is 1.5: allowed is"),
    ("z_dim", None, "the file lacks z_dim; it has hwc, y_dim"),
    ("zdim", 5, "unknown keys in the file: zdim is 5; allowed are hwc, z_dim"),
    ("mode", "GAN", 'mode is "GAN": allowed is VAE-GAN or DC-GAN'),
    ("latent_activation", "relu", 'latent_activation is "relu": allowed is none or tanh'),
    ("latent_activation", ["tanh"], 'latent_activation is ["tanh"]: allowed is'),
    ("encoder", [], "encoder is []: allowed is an object of kernel, stride, output, and if you like l2-reg"),
    ("encoder.kernels", [[5, 5]], "unknown keys in encoder: kernels is [[5, 5]]; allowed are kernel, stride, output"),
    ("encoder.hwc", [2, 2, 2], "unknown keys in encoder: hwc is [2, 2, 2]; allowed are kernel"),
    ("encoder.kernel", [5, 5, 5, 5], "encoder.kernel is [5, 5, 5, 5]: allowed is a list of [height, width]"),
    ("encoder.kernel", [[5, 3]] * 4, "encoder.kernel is [[5, 3], [5, 3], [5, 3], [5, 3]]: allowed is pairs of equal"),
    ("encoder.kernel", [[5, 5]] * 3, "allowed is as many pairs as encoder.output has numbers, 4"),
    ("encoder.kernel", [], "encoder.kernel is []: allowed is a list of [height, width]"),
    ("encoder.stride", [[2, 1]] * 4, "allowed is pairs of equal numbers"),
    ("encoder.output", [64, 128, 256, 0], "encoder.output is [64, 128, 256, 0]: allowed is a list of whole numbers"),
    ("encoder.l2-reg", -1, "encoder.l2-reg is -1: allowed is a number, 0 or more"),
    ("generator.hwc", None, "generator lacks hwc; it has kernel, stride, output, l2-reg"),
    ("generator.hwc", [3, 2, 512], "a height that the strides bring to 32, here it is 48"),
    ("generator.hwc", [2, 4, 512], "a width that the strides bring to 32, here it is 64"),
    ("generator.output", [256, 128, 64, 3], "generator.output is [256, 128, 64, 3]: allowed is a last number of 1"),
    ("discriminator.feature_layer", 5, "discriminator.feature_layer is 5: allowed is 1 to 4"),
    ("discriminator.feature_layer", "3", 'discriminator.feature_layer is "3": allowed is 1 to 4'),
])  # fmt: skip
def test_a_schema_error_names_the_key_what_it_holds_and_what_is_allowed(tmp_path, path, value, problem):
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(UserError) as error:
        architecture.read(file)
    assert str(error.value).startswith(f"--architecture: {file}: ") and problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text, problem", [
    ('{"hwc": [32,', "is not JSON"), ("[]", "the file is []: allowed is an object"), ("7", "the file is 7: allowed"),
])  # fmt: skip
def test_what_is_no_json_object_is_refused(tmp_path, text, problem):
    (tmp_path / "architecture.json").write_text(text)
    with pytest.raises(UserError, match="architecture.json") as error:
        architecture.read(tmp_path / "architecture.json")
    assert problem in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        architecture.read(tmp_path / "missing.json")


def test_a_config_keeps_the_files_content_and_the_flag_of_the_mode_wins():
    config = with_architecture(Config())
    assert json.loads(config.architecture) == json.loads(architecture.DEFAULT.read_text())
    assert config.mode == "VAE-GAN"
    text = json.dumps(changed("mode", "DC-GAN"))
    assert architecture_of(Config(architecture=text)).mode == "DC-GAN"
    assert with_architecture(Config(architecture=text, mode="VAE-GAN")) == Config(architecture=text, mode="VAE-GAN")
    assert architecture_of(Config(architecture=text, mode="VAE-GAN")).mode == "VAE-GAN"
