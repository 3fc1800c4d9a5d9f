"""The fused layers against Keras's own: what would be broken is every training's arithmetic."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.fused_layers import FusedAdam, FusedBatchNormalization, InstanceNormalization

SHAPES = [(8, 5), (4, 6, 3, 5)]
OPTIONS = [
    {"momentum": 0.9, "epsilon": 1e-5, "scale": False},
    {"momentum": 0.99, "epsilon": 1e-3},
    {"momentum": 0.8, "epsilon": 1e-2, "center": False},
]


def numbers(shape, seed=0, mean=0.7, deviation=2.0):
    return np.random.default_rng(seed).normal(mean, deviation, shape).astype(np.float32)


def both_layers(shape, **options):
    """Ours and Keras's with the same weights, none of them at its initial value."""
    layers = FusedBatchNormalization(**options), keras.layers.BatchNormalization(**options)
    for layer in layers:
        layer.build([None, *shape[1:]])
        for number, weight in enumerate(layer.weights):
            weight.assign(np.abs(numbers(weight.shape, seed=number)) + 0.1)
    return layers


def outputs_and_gradients(layer, inputs, training):
    """The outputs, the gradients with respect to the inputs and to each trainable weight, and all weights after it."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3 * numbers(outputs.shape, seed=9))
    gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
    return [outputs, *gradients, *(weight.numpy() for weight in layer.weights)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=["vectors", "images"])
def test_outputs_gradients_and_moving_statistics_are_keras(shape, training, options):
    ours, theirs = both_layers(shape, **options)
    for seed in (1, 2):  # the second call starts from statistics that the first has moved
        found = outputs_and_gradients(ours, numbers(shape, seed), training)
        expected = outputs_and_gradients(theirs, numbers(shape, seed), training)
        assert len(found) == len(expected) == 2 + len(ours.trainable_weights) + len(ours.weights)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


def test_a_layer_without_scale_has_no_gamma_and_keras_names_otherwise():
    ours, theirs = both_layers((8, 5), scale=False)
    assert [weight.name for weight in ours.weights] == [weight.name for weight in theirs.weights]
    assert [weight.name for weight in ours.weights] == ["beta", "moving_mean", "moving_variance"]


@pytest.mark.parametrize("shape", SHAPES, ids=["vectors", "images"])
def test_moving_statistics_move_in_training_only(shape):
    layer = FusedBatchNormalization(momentum=0.9)
    layer.build([None, *shape[1:]])
    inputs = numbers(shape)
    layer(inputs, training=False)
    layer(inputs)
    assert layer.moving_mean.numpy().tolist() == [0.0] * 5 and layer.moving_variance.numpy().tolist() == [1.0] * 5
    layer(inputs, training=True)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(layer.moving_mean, 0.1 * inputs.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * inputs.var(axes), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=["vectors", "images"])
def test_a_frozen_layer_normalises_by_its_moving_statistics_and_keeps_them(shape):
    ours, theirs = both_layers(shape)
    ours.trainable = theirs.trainable = False
    for a, b in zip(*(outputs_and_gradients(layer, numbers(shape), training=True) for layer in (ours, theirs))):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize("shape", SHAPES, ids=["vectors", "images"])
def test_in_mixed_precision_the_statistics_stay_float32(shape):
    ours, theirs = both_layers(shape, momentum=0.9, dtype="mixed_bfloat16")
    outputs = [layer(numbers(shape), training=True) for layer in (ours, theirs)]
    assert outputs[0].dtype == outputs[1].dtype == tf.bfloat16
    np.testing.assert_allclose(*(tf.cast(values, tf.float32) for values in outputs), rtol=0.02, atol=0.02)
    assert ours.moving_variance.dtype == "float32"
    for mine, other in zip(ours.weights, theirs.weights):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


def test_statistics_move_inside_a_traced_model_of_any_batch_size():
    inputs = keras.Input([5])
    model = keras.Model(inputs, FusedBatchNormalization(momentum=0.5)(inputs))
    traced = tf.function(lambda batch: model(batch, training=True), input_signature=[tf.TensorSpec([None, 5])])
    means = np.zeros(5, np.float32)
    for size in (4, 9):
        batch = numbers((size, 5), seed=size)
        traced(batch)
        means = 0.5 * means + 0.5 * batch.mean(axis=0)
        np.testing.assert_allclose(model.layers[-1].moving_mean, means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_instance_norm_and_its_gradient_are_keras_group_norm_of_single_channels(dtype, epsilon):
    ours = InstanceNormalization(epsilon, dtype=dtype)
    theirs = keras.layers.GroupNormalization(groups=-1, epsilon=epsilon, center=False, scale=False, dtype=dtype)
    images = numbers((4, 6, 3, 5))
    found = outputs_and_gradients(ours, images, training=True)
    expected = outputs_and_gradients(theirs, images, training=True)
    assert len(found) == len(expected) == 2 and found[0].dtype == expected[0].dtype
    bound = 2e-5 if dtype == "float32" else 0.02
    for a, b in zip(found, expected):
        a, b = (tf.cast(values, tf.float32).numpy() for values in (a, b))
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound * np.abs(b).max())


def test_instance_norm_traces_for_any_batch_size_and_has_no_weights():
    inputs = keras.Input([4, 4, 2])
    model = keras.Model(inputs, InstanceNormalization()(inputs))
    traced = tf.function(lambda batch: model(batch), input_signature=[tf.TensorSpec([None, 4, 4, 2])])
    for size in (1, 3):
        np.testing.assert_allclose(tf.reduce_mean(traced(numbers((size, 4, 4, 2))), [1, 2]), 0, atol=1e-6)
    assert model.weights == []


STEPS = 6
SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.05, decay_steps=2, decay_rate=0.5)
ADAMS = [
    {"learning_rate": 2e-4, "beta_1": 0.5, "epsilon": 1e-8},
    {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.9, "epsilon": 1e-3},
    {"learning_rate": 0.1, "beta_1": 0.5, "global_clipnorm": 0.5},
    {"learning_rate": SCHEDULE, "beta_1": 0.5},
]


def trained(optimizer, gradients):
    """Two variables after each of the steps, and the optimizer's own; they start small, so that the moves show."""
    variables = [keras.Variable(numbers((3, 4), seed=1) * 1e-4), keras.Variable(numbers((5,), seed=2) * 1e-4)]
    optimizer.build(variables)
    history = []
    for gradient in gradients:
        optimizer.apply([tf.constant(part) for part in gradient], variables)
        history.append([variable.numpy().copy() for variable in (*variables, *optimizer.variables)])
    return history


@pytest.mark.parametrize("options", ADAMS, ids=["infogan", "other betas", "clipped", "schedule"])
def test_adam_goes_as_keras_adam_over_several_steps(options):
    gradients = [(numbers((3, 4), seed=10 + step), numbers((5,), seed=20 + step)) for step in range(STEPS)]
    ours, theirs = FusedAdam(**options), keras.optimizers.Adam(**options)
    for step, (found, expected) in enumerate(zip(trained(ours, gradients), trained(theirs, gradients))):
        assert len(found) == len(expected) >= 2 + 1 + 4  # the variables, iterations, two moments of each variable
        for a, b in zip(found, expected):
            # The kernel takes 1 - beta_2 in float32, as TF1 did: 1.3e-5 off for 0.999.
            np.testing.assert_allclose(a, b, rtol=5e-5, atol=1e-7, err_msg=f"step {step}")
    assert int(ours.iterations.numpy()) == STEPS


@pytest.mark.parametrize("options", [{"global_clipnorm": 0.5}, {"learning_rate": SCHEDULE}], ids=["clip", "schedule"])
def test_clipping_and_the_schedule_change_where_adam_goes(options):
    # Else the comparison with Keras would say nothing of them: Adam hides a factor that all gradients share.
    gradients = [(numbers((3, 4), seed=step) * 10**step, numbers((5,), seed=step)) for step in range(3)]
    plain = {"learning_rate": 0.05}
    without, with_it = trained(FusedAdam(**plain), gradients), trained(FusedAdam(**plain | options), gradients)
    assert not np.allclose(without[-1][0], with_it[-1][0], rtol=0.05)


def test_adams_first_steps_by_hand():
    optimizer = FusedAdam(0.1, beta_1=0.5, beta_2=0.75, epsilon=0.01)
    variable = keras.Variable([1.0, 2.0, 3.0])
    optimizer.build([variable])
    optimizer.apply([tf.constant([2.0, -4.0, 0.0])], [variable])
    # m = g / 2, v = g^2 / 4; the rate is 0.1 sqrt(1 - 0.75) / (1 - 0.5) = 0.1; the move 0.1 (g / 2) / (|g| / 2 + 0.01).
    np.testing.assert_allclose(variable, [1 - 0.1 / 1.01, 2 + 0.2 / 2.01, 3], rtol=1e-6)
    optimizer.apply([tf.constant([2.0, -4.0, 0.0])], [variable])
    # m = 3 g / 4, v = 7 g^2 / 16; the rate is 0.1 sqrt(7 / 16) / (3 / 4).
    rate, root = 0.1 * np.sqrt(7 / 16) / 0.75, np.sqrt(7) / 2
    moved = [rate * 1.5 / (root + 0.01), -rate * 3 / (2 * root + 0.01), 0]
    np.testing.assert_allclose(variable, np.array([1 - 0.1 / 1.01, 2 + 0.2 / 2.01, 3]) - moved, rtol=1e-6)


def test_adam_in_a_traced_step_counts_its_steps():
    optimizer = FusedAdam(0.1, beta_1=0.5, epsilon=1e-8)
    variable = keras.Variable(numbers((5,)))
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    eager = keras.optimizers.Adam(0.1, beta_1=0.5, epsilon=1e-8)
    expected = keras.Variable(numbers((5,)))
    for seed in range(3):
        step(tf.constant(numbers((5,), seed)))
        eager.apply([tf.constant(numbers((5,), seed))], [expected])
        np.testing.assert_allclose(variable, expected, rtol=1e-5)
