"""Casts, grids, masks, thin changes, noise: what they leave in the numbers, by properties that need no network."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from changes.laundered_nets import loose
from reknit.changes.laundering.registry import read_chain
from reknit.changes.laundering.state import Codes, State
from reknit.changes.laundering.step import Given
from reknit.errors import InputError, UsageError

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)


def done(how, state, seed=0):
    """The state behind a chain, and the facts of its last step."""
    facts = {}
    for place, told in enumerate(read_chain(how)):
        state, facts = told.step.run(state, Given(np.random.default_rng((seed, place))))
    return state, facts


def by_torch(array, dtype):
    return torch.from_numpy(array).to(dtype).float().numpy()


@given(seed=seeds, rows=sizes, columns=sizes, name=st.sampled_from(["bf16", "fp16"]), kept=st.booleans())
def test_a_cast_rounds_as_torch_does_and_once_is_enough(seed, rows, columns, name, kept):
    state = loose(seed, w=(rows, columns), b=(rows,))
    how = f"cast:{name}:kept" if kept else f"cast:{name}"
    once, facts = done(how, state)
    twice, again = done(how, once)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[name]
    for key, value in state.tensors.items():
        assert np.array_equal(once.tensors[key], by_torch(value, dtype))
        assert np.array_equal(once.tensors[key], twice.tensors[key])
        assert once.dtypes[key] == ("float32" if kept else {"bf16": "bfloat16", "fp16": "float16"}[name])
        assert facts["tensors"][key]["rounded"] == (once.tensors[key] != value).sum()
        assert again["tensors"][key]["rounded"] == 0


def test_what_is_too_large_for_half_precision_is_refused():
    state = loose(w=(2, 2))
    large = state.with_numbers({"w": np.full((2, 2), 1e6, dtype=np.float32)})
    with pytest.raises(InputError, match="too large for float16"):
        done("cast:fp16", large)
    assert np.isfinite(done("cast:bf16", large)[0].tensors["w"]).all()


@given(
    seed=seeds,
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple),
    bits=st.integers(2, 9),
    per=st.sampled_from(["row", "column", "tensor"]),
    grid=st.sampled_from(["symmetric", "asymmetric"]),
)
def test_a_grid_has_few_levels_and_is_the_nearest_one(seed, shape, bits, per, grid):
    state = loose(seed, w=shape)
    found, facts = done(f"round:{bits}:{per}:{grid}", state)
    before, after = state.tensors["w"].astype(np.float64), found.tensors["w"]
    axis = {"row": 0, "column": 1, "tensor": None}[per]
    told = facts["tensors"]["w"]
    lines = [slice(None)] if axis is None else [np.s_[k] for k in range(shape[axis])]
    for k, line in enumerate(lines):
        part, old = (after, before) if axis is None else (each.take(line, axis) for each in (after, before))
        assert len(np.unique(part)) <= 2**bits
        scale = float(told["scales"].reshape(-1)[k])
        low, high = (old.min(), old.max()) if grid == "asymmetric" else (-np.abs(old).max(), np.abs(old).max())
        meant = (max(high, 0) - min(low, 0)) / (2**bits - (1 if grid == "asymmetric" else 2))
        assert scale == pytest.approx(meant, rel=1e-6)
        codes = np.rint(part / scale)
        assert np.abs(part / scale - codes).max() < 1e-3
        # half a step, and as much again at the ends where the code of zero had to be rounded to a whole number
        end = (codes == codes.min()) | (codes == codes.max()) if grid == "asymmetric" else np.zeros(codes.shape, bool)
        assert (np.abs(part - old) <= np.where(end, 1.0, 0.5) * scale * (1 + 1e-4)).all()


def test_zeros_stay_zeros_on_every_grid():
    state = loose(w=(3, 4))
    state = state.with_numbers({"w": np.where(np.eye(3, 4) > 0, 0, state.tensors["w"]) * [[0], [1], [1]]})
    for how in ("round:4:row", "round:4:row:asymmetric", "round:3:column:asymmetric", "round:2:tensor"):
        found = done(how, state)[0].tensors["w"]
        assert (found[state.tensors["w"] == 0] == 0).all()


@given(seed=seeds, bits=st.integers(2, 8), grid=st.sampled_from(["symmetric", "asymmetric"]))
def test_codes_and_scales_are_the_numbers(seed, bits, grid):
    state = loose(seed, w=(4, 5), b=(4,))
    plain, _ = done(f"round:{bits}:column:{grid}", state)
    coded, _ = done(f"round:{bits}:column:{grid}:codes", state)
    codes = coded.codes["w"]
    assert codes.codes.dtype.itemsize == 1
    assert np.array_equal(codes.numbers(), plain.tensors["w"])
    zeros = 0 if codes.zeros is None else codes.zeros.astype(int)
    assert np.array_equal((codes.codes.astype(int) - zeros).astype(np.float32) * codes.scales, plain.tensors["w"])
    with pytest.raises(UsageError, match="Put round:codes behind all steps"):
        done("noise", coded)


def test_codes_stand_for_numbers():
    codes = Codes(np.array([[1, 2], [3, 4]], np.uint8), np.float32([0.5, 2]), np.array([1, 3], np.uint8), 0)
    assert codes.numbers().tolist() == [[0.0, 0.5], [0.0, 2.0]]


@given(seed=seeds, rows=sizes, columns=sizes, share=st.floats(0.01, 1.0), by=st.sampled_from(["magnitude", "random"]))
def test_the_share_that_is_pruned_is_exact(seed, rows, columns, share, by):
    state = loose(seed, w=(rows, columns), b=(rows,))
    found, facts = done(f"prune:{share}:{by}", state, seed)
    before, after = state.tensors["w"], found.tensors["w"]
    assert (after == 0).sum() == round(share * before.size) == facts["tensors"]["w"]["cut"]
    kept = after != 0
    assert np.array_equal(after[kept], before[kept])
    if by == "magnitude" and kept.any() and not kept.all():
        assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()
    assert found.tensors["b"] is state.tensors["b"]


@given(seed=seeds, rows=sizes, columns=st.integers(1, 21), pattern=st.sampled_from([(2, 4), (1, 4), (1, 2), (3, 8)]))
def test_of_every_m_neighbours_n_are_kept_the_largest(seed, rows, columns, pattern):
    kept, of = pattern
    state = loose(seed, w=(rows, columns))
    before, after = state.tensors["w"], done(f"prune:{kept}:{of}", state)[0].tensors["w"]
    whole = columns // of * of
    assert np.array_equal(before[:, whole:], after[:, whole:])
    for old, new in zip(before[:, :whole].reshape(-1, of), after[:, :whole].reshape(-1, of), strict=True):
        assert (new != 0).sum() == kept
        assert set(np.abs(new[new != 0])) == set(np.sort(np.abs(old))[-kept:])


@given(seed=seeds, rank=st.integers(1, 3), size=st.floats(0.01, 3.0))
def test_a_thin_change_has_its_rank_and_its_size(seed, rank, size):
    state = loose(seed, w=(9, 7), conv=(6, 2, 3, 3), small=(2, 9))
    found, facts = done(f"low-rank:{rank}:{size}", state, seed)
    for key in ("w", "conv"):
        before = state.tensors[key].astype(np.float64).reshape(len(state.tensors[key]), -1)
        change = found.tensors[key].reshape(before.shape) - before
        values = np.linalg.svd(change, compute_uv=False)
        assert values[rank] < 1e-5 * values[0]
        assert values[rank - 1] > 1e-4 * values[0]
        assert np.linalg.norm(change) == pytest.approx(size * np.linalg.norm(before), rel=1e-4)
        told = facts["tensors"][key]
        assert np.allclose(told["left"] @ told["right"], change, atol=1e-5 * values[0])
    assert ("small" in facts["untouched"]) == (rank >= 2)


@given(seed=seeds, size=st.floats(0.001, 10.0))
def test_noise_has_its_size_and_no_low_rank(seed, size):
    state = loose(seed, w=(8, 6), b=(8,))
    found, _ = done(f"noise:{size}", state, seed)
    change = found.tensors["w"].astype(np.float64) - state.tensors["w"]
    assert np.linalg.norm(change) == pytest.approx(size * np.linalg.norm(state.tensors["w"]), rel=1e-3)
    assert np.linalg.matrix_rank(change, tol=1e-4 * np.linalg.norm(change)) == 6
    assert found.tensors["b"] is state.tensors["b"]


def test_only_what_a_pattern_names_is_changed():
    state = loose(**{"a.attn.w": (3, 4), "a.mlp.w": (3, 4)})
    found, facts = done("round:4:row@*mlp*", state)
    assert list(facts["tensors"]) == ["a.mlp.w"]
    assert found.tensors["a.attn.w"] is state.tensors["a.attn.w"]
    with pytest.raises(UsageError, match=r"no matrix whose name fits 'b\.\*'"):
        done("prune@b.*", state)


def test_numbers_that_are_none_are_refused():
    state = loose(w=(2, 2))
    broken = State({"w": np.full((2, 2), np.nan, np.float32)}, state.dtypes, state.order)
    with pytest.raises(InputError, match="infinite or undefined"):
        done("noise", broken)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("shrink", r"there is no step 'shrink'.*Choose from permute, scale, .*split"),
        ("", "a step is empty"),
        ("permute,,scale", "a step is empty"),
        ("round:1", "1 is no whole number from 2 to 16.*Write round"),
        ("round:4.5", "4.5 is no whole number"),
        ("round:4:diagonal", "there is no parameter 'diagonal'"),
        ("cast:int8", "there is no parameter 'int8'"),
        ("prune:1.5", "1.5 is not above 0 and up to 1"),
        ("prune:4:2", "4 of 2 is no pattern"),
        ("noise:-1", "-1 is not above 0"),
        ("noise:inf", "inf is not above 0"),
        ("noise:nan", "nan is not above 0"),
        ("scale:1", "1 is not above 1"),
        ("low-rank:0", "0 is no whole number"),
        ("finetune:0", "0 is no whole number"),
        ("shuffle@w", "shuffle takes no pattern"),
        ("noise@", "there is no pattern behind @"),
        ("rename,rename:consistent", "rename comes twice"),
        ("permute:3", "there is no parameter '3'"),
    ],
)
def test_what_is_no_chain_is_refused_in_words(how, words):
    with pytest.raises(UsageError, match=words):
        read_chain(how)


def test_matrices_too_small_for_a_rank_are_said():
    with pytest.raises(UsageError, match="no matrix has more than 8 rows and columns"):
        done("low-rank:8", loose(w=(8, 20)))
