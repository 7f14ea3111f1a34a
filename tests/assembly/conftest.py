"""Networks in folders that several modules of tests take apart."""

import pytest

from nets import trained_net, write_net


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
