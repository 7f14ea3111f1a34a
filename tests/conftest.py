"""What holds for every test: fixed examples, no clock on them, and threads that do not get in each other's way."""

import os

# read when torch is loaded, and by the commands that tests start: the nets are too small to share out, and threads
# that wait by spinning make a busy machine many times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from nets import trained_net, write_net

# the same examples in every run; a busy machine may be slow, and that is no failure
settings.register_profile("reknit", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("reknit")


@pytest.fixture(scope="session")
def dropped(tmp_path_factory):
    """A small trained network in a folder, and its names in the true order."""
    folder = tmp_path_factory.mktemp("net")
    return folder, write_net(folder, trained_net(epochs=4))


@pytest.fixture(scope="session")
def hard(tmp_path_factory):
    """An untrained network whose pairs the weights do not tell: it takes several attempts."""
    folder = tmp_path_factory.mktemp("hard")
    return folder, write_net(folder, trained_net(epochs=0))
