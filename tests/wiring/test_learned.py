"""What evidence weighs: written and read again, and the weights that reknit comes with."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_nets import BERT, GPT2, LLAMA, built_in, numbers

from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned, as_json, from_json, learned

WEIGHT = st.integers(-50_000, 50_000).map(lambda n: n / 10_000)  # four decimals are kept
TABLE = st.dictionaries(st.sampled_from("abcdef"), WEIGHT)


@given(TABLE, st.lists(TABLE, max_size=3))
def test_what_is_written_is_read_again(weights, committee):
    designs = frozenset({("a < b", "c"), ()})
    before = Learned(weights, tuple(committee), tuple(f"net {k}" for k in range(len(committee))), designs)
    after = from_json(json.loads(json.dumps(as_json(before))))
    keys = {key for table in (weights, *committee) for key in table}
    for old, new in zip((weights, *committee), (after.weights, *after.committee), strict=True):
        assert {key: old.get(key, 0.0) for key in keys} == new
    assert (after.source, after.designs) == (before.source, before.designs)


def test_the_weights_that_reknit_comes_with_have_a_member_for_every_pile_left_out():
    shipped = learned()
    assert shipped is learned()
    assert len(shipped.committee) == len(shipped.source) > 1
    assert len(set(shipped.source)) == len(shipped.source)
    for table in (shipped.weights, *shipped.committee):
        assert table.keys() == shipped.weights.keys()
        assert all(math.isfinite(weight) for weight in table.values())
        assert any(table.values())
    assert from_json(as_json(shipped)) == shipped


@pytest.mark.parametrize("like", [BERT, GPT2, LLAMA])
def test_they_speak_of_nearly_all_relations_of_transformers(like):
    skeleton = built_in(like)
    tensors = numbers(skeleton)
    keys = [slot.key for slot in skeleton.slots if len(slot.shape) > 1]
    joint = Joint(skeleton, keys, [tensors[key] for key in keys])
    found = {relation.key for relation in joint.relations}
    inner = {key for key in found if "end" not in key and "source" not in key}
    assert inner
    assert len(inner & learned().weights.keys()) >= 0.9 * len(inner)


@pytest.mark.parametrize("damaged", [{"keys": {}}, {"learned from": "a"}, {"rows": None}, {"designs": 1}])
def test_a_damaged_file_is_refused(damaged):
    with pytest.raises(TypeError, match=r"learned\.json is damaged"):
        from_json({"keys": ["a"], "learned from": ["b"], "rows": [[1.0]], "designs": [], **damaged})


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        from_json({"keys": ["a", "b"], "learned from": [], "rows": [[1.0]], "designs": []})
