"""What tests of files share."""

import contextlib
import resource

import pytest


@pytest.fixture
def disk_that_takes():
    """In `with disk_that_takes(size)` files cannot grow beyond `size` bytes, as on a full disk."""

    @contextlib.contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
