"""What tests of probes share."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def untraced():
    """Probes of a few steps are sooner done than traced."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
