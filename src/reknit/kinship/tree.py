"""The family tree of many files: the spanning arborescence of least cost, undirected where direction cannot be said.

    cost of parent -> child = their distance,   infinite if the direction is known to be the other one

Every family (files joined by links) gets one arborescence by the algorithm of Chu, Liu and Edmonds (Edmonds, "Optimum
branchings" 1967, doi:10.6028/jres.071B.032), as networkx has it, with a root of any file. A file has one parent here:
what was merged from two shows as a child of the nearer one.

Of the edges that come out, those are `decided` whose own link was; where every root that agrees with the decided edges
lies on one side of an edge, it is `implied` (if each file has one parent); the rest is `undirected`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx

Direction = Literal["decided", "implied", "undirected"]
_ROOT = -1


@dataclass(frozen=True)
class Link:
    """Two files that are kin.

    Attributes:
        first, second: numbers of the files.
        distance: not negative; how far apart they are modulo what laundering may do.
        parent: one of the two if the direction is known, else None.
    """

    first: int
    second: int
    distance: float
    parent: int | None = None


@dataclass(frozen=True)
class Edge:
    """One edge of a tree.

    Attributes:
        parent, child: numbers of the files; of an undirected edge in no order that means anything.
        distance: of the link.
        direction: how it is known.
    """

    parent: int
    child: int
    distance: float
    direction: Direction

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "parent": self.parent,
            "child": self.child,
            "distance": self.distance,
            "direction": self.direction,
        }


@dataclass(frozen=True)
class Family:
    """Files that are kin of each other.

    Attributes:
        members: their numbers, ascending.
        roots: those which may be the root: one where it is known, several where it cannot be said. More than one tree
            is needed where directions contradict each other; then each has its roots here.
        edges: one less than members for a single tree.
    """

    members: tuple[int, ...]
    roots: tuple[int, ...]
    edges: tuple[Edge, ...]


def family_trees(count: int, links: Sequence[Link]) -> tuple[Family, ...]:
    """The families among ``count`` files and their trees, in the order of their first members.

    Deterministic: links of equal distance are taken in the order of their files.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((link.first, link.second) for link in links)
    of_file = {file: number for number, each in enumerate(nx.connected_components(graph)) for file in each}
    own: dict[int, list[Link]] = {}
    for link in sorted(links, key=lambda link: (link.distance, link.first, link.second)):
        own.setdefault(of_file[link.first], []).append(link)
    members: dict[int, list[int]] = {}
    for file in range(count):
        members.setdefault(of_file[file], []).append(file)
    return tuple(_family(tuple(files), own.get(number, [])) for number, files in members.items())


def _family(members: tuple[int, ...], links: Sequence[Link]) -> Family:
    if len(members) == 1:
        return Family(members, members, ())
    nearest: dict[frozenset[int], Link] = {}
    for link in links:
        nearest.setdefault(frozenset((link.first, link.second)), link)
    chosen = _arborescence(members, nearest.values())
    trees = nx.Graph()
    trees.add_nodes_from(members)
    trees.add_edges_from(chosen)
    edges: list[Edge] = []
    roots: list[int] = []
    for tree in sorted(nx.connected_components(trees), key=min):
        part = [pair for pair in chosen if pair[0] in tree]
        possible = _possible_roots(tree, part, nearest)
        roots += possible
        edges += _directed(part, possible, nearest)
    return Family(members, tuple(sorted(roots)), tuple(sorted(edges, key=lambda edge: (edge.parent, edge.child))))


def _arborescence(members: Sequence[int], links: Iterable[Link]) -> list[tuple[int, int]]:
    """Parent and child of every edge of the arborescence of least cost, with as few roots as directions let it have."""
    held = list(links)
    root = 1 + 2 * sum(link.distance for link in held)
    graph = nx.DiGraph()
    for place, member in enumerate(members):
        graph.add_edge(_ROOT, member, weight=root * (1 + 1e-9 * place))
    for link in held:
        for parent, child in ((link.first, link.second), (link.second, link.first)):
            if link.parent in (None, parent):
                graph.add_edge(parent, child, weight=link.distance)
    found = nx.minimum_spanning_arborescence(graph)
    return [(parent, child) for parent, child in found.edges if parent != _ROOT]


def _possible_roots(
    tree: Iterable[int], edges: Sequence[tuple[int, int]], links: dict[frozenset[int], Link]
) -> list[int]:
    """Files from which every decided edge of a tree points away: what hangs together with the root without one."""
    children = {child for _, child in edges}
    reached = {next(file for file in sorted(tree) if file not in children)}
    undecided = nx.Graph()
    undecided.add_nodes_from(tree)
    undecided.add_edges_from(pair for pair in edges if links[frozenset(pair)].parent is None)
    return sorted(nx.node_connected_component(undecided, next(iter(reached))))


def _directed(edges: Sequence[tuple[int, int]], roots: Sequence[int], links: dict[frozenset[int], Link]) -> list[Edge]:
    possible = set(roots)
    found = []
    for parent, child in edges:
        link = links[frozenset((parent, child))]
        direction: Direction = "implied"
        if link.parent is not None:
            direction = "decided"
        elif child in possible:
            direction = "undirected"
        found.append(Edge(parent, child, link.distance, direction))
    return found
