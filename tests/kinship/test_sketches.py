from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reknit.kinship.candidates import likely_pairs
from reknit.kinship.sketches import SIZE, sketch

shapes = st.tuples(st.integers(2, 6), st.integers(2, 6))
floats = st.floats(-4, 4, width=32)


def _by_kind(array: np.ndarray) -> dict[str, np.ndarray]:
    return {vector.kind.rsplit(" ", 3)[0]: vector.numbers for vector in sketch({"w": array})}


@given(
    shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=floats)), st.randoms(use_true_random=False)
)
def test_a_gram_is_blind_to_the_order_and_the_signs_of_the_other_axis(array: np.ndarray, random: object) -> None:
    order = list(range(array.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    signs = np.array([random.choice((-1, 1)) for _ in order])  # type: ignore[attr-defined]
    moved = {v.kind: v.numbers for v in sketch({"w": (array[:, order] * signs).astype(np.float32)})}
    for vector in sketch({"w": array}):
        if vector.kind.endswith(f"{array.shape[0]} by {array.shape[1]}") and array.shape[0] != array.shape[1]:
            np.testing.assert_allclose(moved[vector.kind], vector.numbers, atol=1e-5)
        if vector.kind.startswith(("values", "spectrum")):
            np.testing.assert_allclose(moved[vector.kind], vector.numbers, atol=1e-5)


@pytest.mark.parametrize("how", ["rotated", "scaled"])
def test_each_gram_is_blind_to_what_it_says(how: str) -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(20, 12))
    turned = np.linalg.qr(rng.normal(size=(12, 12)))[0] if how == "rotated" else np.diag(rng.uniform(0.1, 9, 12))
    before, after = ({v.kind: v.numbers for v in sketch({"w": each})} for each in (array, array @ turned))
    blind, not_blind = "gram 20 by 12", "gram of directions 20 by 12"
    if how == "scaled":
        blind, not_blind = not_blind, blind
    np.testing.assert_allclose(after[blind], before[blind], atol=1e-9)
    assert np.abs(after[not_blind] - before[not_blind]).max() > 0.01


def test_a_transposed_matrix_has_the_same_grams() -> None:
    array = np.random.default_rng(0).normal(size=(20, 12))
    one, other = ({v.kind: v.numbers for v in sketch({"w": each})} for each in (array, array.T))
    for kind in one:
        if not kind.startswith("sample"):
            np.testing.assert_allclose(other[kind], one[kind], atol=1e-12)


def test_a_projected_gram_estimates_the_correlation_of_two_grams() -> None:
    rng = np.random.default_rng(1)
    errors = []
    for seed in range(200):
        a = rng.normal(size=(30, 8))
        b = a + rng.normal(size=a.shape)
        grams = [x @ x.T - np.diag(np.diag(x @ x.T)) for x in (a, b)]
        true = (grams[0] * grams[1]).sum() / np.prod([np.linalg.norm(g) for g in grams])
        found = [next(v.numbers for v in sketch({"w": x}, seed) if v.kind == "gram 30 by 8") for x in (a, b)]
        errors.append(found[0] @ found[1] - true)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors)) + 0.02
    assert np.std(errors) < 1.5 / np.sqrt(SIZE)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 3)), np.array([np.nan, 1.0]), np.array(["a", "b"]), np.zeros((0, 4)), np.array(2.0), np.ones((3, 1))],
)
def test_what_holds_no_number_to_speak_of_is_passed_over(array: np.ndarray) -> None:
    assert all(np.isfinite(vector.numbers).all() for vector in sketch({"w": array}))


def _families(families: int, members: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    found = []
    for _ in range(families):
        root = {"a": rng.normal(size=(24, 16)), "b": rng.normal(size=(10, 24)), "c": rng.normal(size=24)}
        for _ in range(members):
            order = rng.permutation(24)
            noisy = {key: value + 0.2 * rng.normal(size=value.shape) for key, value in root.items()}
            found.append({"x": noisy["a"][order], "y": noisy["b"][:, order], "z": noisy["c"][order]})
    return found


def test_kin_are_found_through_permutation_noise_and_other_names() -> None:
    rng = np.random.default_rng(0)
    nets = _families(12, 4, rng)
    sketches = [sketch({f"{number}{key}": value for key, value in net.items()}) for number, net in enumerate(nets)]
    pairs = set(likely_pairs(sketches, nearest=5))
    kin = {(a, b) for b in range(48) for a in range(b) if a // 4 == b // 4}
    assert len(kin - pairs) <= 1
    assert len(pairs) < 48 * 5 + 1 < 48 * 47 / 2


def test_one_more_file_asks_for_itself_alone() -> None:
    nets = _families(12, 4, np.random.default_rng(2))
    sketches = [sketch(net) for net in nets]
    pairs = likely_pairs(sketches, nearest=5, new=[47])
    assert len(pairs) == 5
    assert all(47 in pair for pair in pairs)
    assert {(44, 47), (45, 47), (46, 47)} <= set(pairs)


def test_few_files_are_all_compared() -> None:
    sketches = [sketch(net) for net in _families(2, 2, np.random.default_rng(0))]
    assert likely_pairs(sketches, nearest=3) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert likely_pairs(sketches[:1]) == likely_pairs([]) == []
