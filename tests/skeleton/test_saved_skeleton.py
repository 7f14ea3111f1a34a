"""A skeleton survives JSON, and is read without torch."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import InputError
from reknit.plain import dumps
from reknit.skeleton.saved import as_json, from_json, load, save
from reknit.skeleton.skeleton import Group, Link, Member, Refusal, Skeleton, Slot, Use

names = st.text(max_size=6)
counts = st.integers(0, 5)
details = st.dictionaries(
    names, st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), names, st.tuples(counts, counts))
)
members = st.builds(Member, names, counts, st.sampled_from(["writes", "looks up"]), counts, counts, counts, counts)
skeletons = st.builds(
    Skeleton,
    names,
    st.tuples(st.builds(Slot, names, st.tuples(counts), names, names, st.tuples(counts), st.tuples(names))),
    st.tuples(
        st.builds(
            Group,
            names,
            counts,
            st.lists(members, max_size=3).map(tuple),
            st.none() | names,
            names,
            st.tuples(st.builds(Link, names, names, names)),
        )
    ),
    st.tuples(st.builds(Use, counts, names, st.dictionaries(names, names), st.tuples(counts), st.none() | details)),
    st.tuples(st.builds(Refusal, names, names, st.tuples(names))),
)


@given(skeleton=skeletons)
def test_it_comes_back_from_json(skeleton):
    assert from_json(json.loads(dumps(as_json(skeleton)))) == skeleton


def test_a_file_that_holds_none_is_told(tmp_path):
    path = tmp_path / "skeleton.json"
    for text, problem in (
        ("{", "it cannot be read"),
        ("[]", "it holds no skeleton"),
        ('{"name": "x"}', "it holds no skeleton: 'slots'"),
        ('{"name": "x", "slots": [{"key": 1, "colour": 2}], "groups": [], "uses": [], "refusals": []}', "colour"),
        ('{"name": "x", "slots": 3, "groups": [], "uses": [], "refusals": []}', "it holds no skeleton"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=problem) as error:
            load(path)
        assert error.value.where == str(path)
    with pytest.raises(InputError, match="it cannot be read"):
        load(tmp_path / "none")


def test_it_is_read_and_applied_without_torch(tmp_path):
    group = Group("hidden", 2, (Member("weight", 0),))
    save(Skeleton("one", (Slot("weight", (2,), "float32", "weight"),), (group,)), tmp_path / "skeleton.json")
    code = f"""
import sys, numpy as np
from reknit.skeleton.saved import load
from reknit.skeleton.symmetry import Permutation, Symmetry
skeleton = load({str(tmp_path / "skeleton.json")!r})
symmetry = Symmetry(skeleton, (Permutation("hidden", np.array([1, 0])),))
print(symmetry.apply({{"weight": np.array([3, 4])}})["weight"].tolist(), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[4, 3] False\n"
