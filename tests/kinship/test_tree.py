from __future__ import annotations

from itertools import permutations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.kinship.page import family_nodes
from reknit.kinship.tree import Family, Link, family_trees


@st.composite
def grown(draw: st.DrawFn) -> tuple[int, list[Link], list[int]]:
    """A random tree: each file's parent, and links of all pairs by the length of the way between them."""
    count = draw(st.integers(1, 7))
    parents = [-1] + [draw(st.integers(0, child - 1)) for child in range(1, count)]
    lengths = [draw(st.integers(1, 50)) for _ in range(count)]
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    for child in range(1, count):
        graph.add_edge(parents[child], child, weight=lengths[child])
    known = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    links = []
    for a in range(count):
        for b in range(a):
            edge = a if parents[a] == b else b if parents[b] == a else None
            parent = parents[edge] if edge is not None and known[edge] else None
            links.append(Link(b, a, nx.shortest_path_length(graph, a, b, weight="weight"), parent))
    return count, links, parents


@given(grown())
def test_a_tree_comes_back_from_the_lengths_of_ways(case: tuple[int, list[Link], list[int]]) -> None:
    count, links, parents = case
    (family,) = family_trees(count, links)
    found = {frozenset((edge.parent, edge.child)) for edge in family.edges}
    assert found == {frozenset((parents[child], child)) for child in range(1, count)}
    assert 0 in family.roots
    for edge in family.edges:
        if edge.direction != "undirected":
            assert parents[edge.child] == edge.parent


@given(grown(), st.randoms())
def test_the_order_of_links_does_not_matter(case: tuple[int, list[Link], list[int]], random: object) -> None:
    count, links, _ = case
    mixed = list(links)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert family_trees(count, mixed) == family_trees(count, links)


def _cheapest(count: int, links: list[Link]) -> float:
    """By brute force: every choice of a parent for every file but one root."""
    cost = np.full((count, count), np.inf)
    for link in links:
        for parent, child in permutations((link.first, link.second)):
            if link.parent in (None, parent):
                cost[parent, child] = link.cost
    best = np.inf
    for root in range(count):
        others = [file for file in range(count) if file != root]
        for chosen in product(range(count), repeat=count - 1):
            parents = dict(zip(others, chosen, strict=True))
            total = sum(cost[parents[file], file] for file in others)
            if total < best and all(_reaches(file, root, parents) for file in others):
                best = total
    return float(best)


def _reaches(file: int, root: int, parents: dict[int, int]) -> bool:
    for _ in range(len(parents) + 1):
        if file == root:
            return True
        file = parents[file]
    return False


@given(st.data())
def test_no_arborescence_costs_less(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    links = [
        Link(a, b, data.draw(st.integers(1, 9)), data.draw(st.sampled_from((None, None, a, b))))
        for b in range(count)
        for a in range(b)
    ]
    best = _cheapest(count, links)
    (family,) = family_trees(count, links)
    if np.isfinite(best):
        costs = {link.ends: link.cost for link in links}
        assert sum(costs[frozenset((edge.parent, edge.child))] for edge in family.edges) == pytest.approx(best)
    else:
        assert len(family.edges) < count - 1


def test_files_without_links_are_families_of_their_own() -> None:
    assert family_trees(3, [Link(0, 2, 0.5)]) == (
        Family((0, 2), (0, 2), family_trees(3, [Link(0, 2, 0.5)])[0].edges),
        Family((1,), (1,), ()),
    )


def test_a_known_direction_says_nothing_of_what_lies_behind_it() -> None:
    (family,) = family_trees(4, [Link(0, 1, 1), Link(1, 2, 1, parent=1), Link(2, 3, 1)])
    found = {frozenset((edge.parent, edge.child)): edge.direction for edge in family.edges}
    assert found == {frozenset((0, 1)): "undirected", frozenset((1, 2)): "decided", frozenset((2, 3)): "undirected"}
    assert family.roots == (0, 1, 3)


@pytest.mark.parametrize("middle", [0, 1])
def test_two_parents_of_one_file_are_two_trees(middle: int) -> None:
    others = [file for file in range(3) if file != middle]
    links = [Link(middle, other, 1.0, parent=other) for other in others]
    (family,) = family_trees(3, links)
    assert len(family.edges) == 1
    assert set(family.roots) == set(others)


def test_what_might_hang_elsewhere_is_said() -> None:
    """A cast of 0 is as near to 2 as 0 is: 2 may be the parent of 0."""
    links = [
        Link(0, 1, 1e-3, parent=0, numbers=1000),
        Link(1, 2, 0.2 - 1e-6, numbers=1000),
        Link(0, 2, 0.2, numbers=1000),
        Link(2, 3, 0.1, numbers=1000),
    ]
    (family,) = family_trees(4, links)
    assert {(edge.parent, edge.child, edge.direction, edge.instead) for edge in family.edges} == {
        (0, 1, "decided", ()),
        (1, 2, "undirected", ((0, 2),)),
        (2, 3, "undirected", ()),
    }
    assert family.roots == (0, 2, 3)


def test_a_difference_beyond_three_deviations_is_told() -> None:
    links = [Link(0, 1, 0.1, parent=0, numbers=10**6), Link(1, 2, 0.2, numbers=10**6), Link(0, 2, 0.223, numbers=10**6)]
    (family,) = family_trees(3, links)
    assert [edge.instead for edge in family.edges] == [(), ()]


def test_a_derivation_that_is_seen_beats_a_file_as_near() -> None:
    links = [Link(0, 1, 1e-3, parent=0), Link(0, 2, 0.3, parent=0), Link(1, 2, 0.2999)]
    (family,) = family_trees(3, links)
    assert {(edge.parent, edge.child, edge.direction) for edge in family.edges} == {
        (0, 1, "decided"),
        (0, 2, "decided"),
    }


def test_a_file_in_the_same_basis_is_nearer() -> None:
    """0 is 1 with its units in another order; what was trained on from 1 is in 1's order."""
    links = [Link(0, 1, 0.0, moved=1.0), Link(1, 2, 0.3), Link(0, 2, 0.2999, moved=1.0)]
    (family,) = family_trees(3, links)
    assert {frozenset((edge.parent, edge.child)) for edge in family.edges} == {frozenset((0, 1)), frozenset((1, 2))}


def test_an_arrow_is_drawn_where_the_direction_is_known_and_only_there() -> None:
    (family,) = family_trees(3, [Link(0, 1, 1), Link(1, 2, 1, parent=1)])
    nodes = family_nodes(family, ("zero", "one", "two"))
    assert {node.label: node.arrow for node in nodes if node.parent is not None} in (
        {"one": False, "two": True},
        {"zero": False, "two": True},
    )
