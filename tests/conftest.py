"""Settings every test shares: TensorFlow quiet, and the arithmetic that the golden numbers were checked with."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
