"""What reading a damaged .npz file raises; imports no TensorFlow."""

import tokenize
import zipfile
import zlib

# A byte that is another may lie in the zip's directory, in compressed data, or in an array's header, which is Python.
DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
