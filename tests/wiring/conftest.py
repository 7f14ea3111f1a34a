"""A network of the user's own, solved once for the tests that read what was written of it."""

import pytest

import reknit
from wired_nets import write_wired


@pytest.fixture(scope="session")
def solved(tmp_path_factory):
    """What lies where, and the folder of the answer; only to be read."""
    folder = tmp_path_factory.mktemp("wired")
    wired = write_wired(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        wiring = reknit.assemble(wired.pile, wired.record, like=wired.like, out=folder / "made")
    return wired, folder / "made", wiring


@pytest.fixture
def at_home(solved, monkeypatch):
    """The test stands where the user's code lies."""
    monkeypatch.chdir(solved[0].pile.parent)
    return solved
