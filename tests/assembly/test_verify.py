"""``verify`` as a Python function: an assembled network on data it has not seen."""

import numpy as np
import pytest
from runs import run

import reknit
from nets import answers, random_net, trained_net, write_pieces, write_table
from reknit.errors import InputError, TableError


@pytest.fixture(scope="module")
def assembled(dropped, tmp_path_factory):
    out = tmp_path_factory.mktemp("assembled") / "out"
    run(dropped[0], out=out)
    return out


def fresh(seed=0, rows=200):
    net = trained_net(epochs=4)
    x = np.random.default_rng(seed).standard_normal((rows, 12), np.float32)
    return x, answers(net.model, x)


def test_verify_on_rows_it_has_not_seen(assembled, tmp_path):
    x, y = fresh()
    found = reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y))
    assert (found.verdict, found.residual.rows) == ("exact", 200)
    assert found.version == reknit.__version__
    assert set(found.as_json()) >= {"verdict", "residual", "version"}


def test_verify_on_records_of_another_network_fails(assembled, tmp_path):
    x, _ = fresh()
    other = answers(trained_net(epochs=4, seed=1).model, x)
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, other)).verdict == "failed"


def test_verify_on_one_wrong_row_fails(assembled, tmp_path):
    x, y = fresh()
    y[7, 3] += 0.01
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y)).verdict == "failed"


def test_verify_on_one_row_is_undecided(assembled, tmp_path):
    x, y = fresh(rows=1)
    assert reknit.verify(assembled, write_table(tmp_path / "t.csv", x, y)).verdict == "ambiguous"


def test_verify_refuses_a_table_that_does_not_fit(assembled, tmp_path):
    x, y = fresh()
    table = write_table(tmp_path / "t.csv", x[:, :5], y)
    with pytest.raises(TableError, match=r"has 5 inputs, but the network has 12\. Choose the columns with --inputs"):
        reknit.verify(assembled, table)
    table = write_table(tmp_path / "u.csv", x, y[:, :3])
    with pytest.raises(TableError, match=r"has 3 outputs, but the network has 10\. Choose the columns with --target"):
        reknit.verify(assembled, table)


def test_verify_tells_layers_apart_by_their_biases(tmp_path):
    net = random_net(8, blocks=4)
    net.model.blocks[3].get_submodule("in").weight.copy_(net.model.blocks[1].get_submodule("in").weight)
    names = write_pieces(tmp_path / "pieces", net.model.state_dict(), net.model.spec)
    table = write_table(tmp_path / "data.csv", net.x, answers(net.model, net.x))
    found = run(tmp_path, out=tmp_path / "out")
    assert (found.verdict, list(found.order)) == ("exact", names)
    assert reknit.verify(tmp_path / "out", table).verdict == "exact"


def test_verify_refuses_a_folder_of_anything_else(tmp_path):
    with pytest.raises(InputError):
        reknit.verify(tmp_path, tmp_path / "t.csv")
