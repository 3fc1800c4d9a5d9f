"""Settings every test shares: TensorFlow quiet, and the arithmetic that the golden numbers were checked with."""

import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@pytest.fixture(autouse=True)
def float32_afterwards():
    """Whatever precision a test built its networks in, the next one's are float32 unless it says otherwise."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def untraced():
    """For networks that are used a time or two: that is sooner done than traced. Training's own tests trace."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
