"""The family tree of many files: the spanning arborescence of least cost, undirected where direction cannot be said.

    cost of parent -> child = their distance + the share of units moved,   infinite if it is known to be the other way
    (a distance across which the direction is known counts 2 % less: a derivation that is seen beats one as near)

Every family (files joined by links) gets one arborescence by the algorithm of Chu, Liu and Edmonds (Edmonds, "Optimum
branchings" 1967, doi:10.6028/jres.071B.032), as networkx has it, with a root of any file. A file has one parent here:
what was merged from two shows as a child of the nearer one. Files of the same numbers are one node.

Of the edges that come out, those are `decided` whose own link was; the rest is `undirected`, whatever lies before them:
of edges that such neighbours would direct, 44 % did not lead from a file to one made from it (dev/log.md).

Another link may do as well as an edge. If c is P + drift, and B lies at a distance e from P, then

    d(c, B)^2 - d(c, P)^2 = e^2 +- 2 e d(c, P) / sqrt(n),       and -e^2 +- the same if c is B + drift,

for a drift of n independent numbers. Links across the same cut whose squares differ by no more than three of these
deviations cannot be told from the edge, and are listed with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Literal

import networkx as nx

Pair = tuple[int, int]
Direction = Literal["decided", "undirected"]
_ROOT = -1
_SAME_BASIS = 0.02
"""Share of units by which two links may differ in what was moved, and still count as of one basis."""
_DEVIATIONS = 3
_KNOWN = 0.98


@dataclass(frozen=True)
class Link:
    """Two files that are kin.

    Attributes:
        first, second: numbers of the files.
        distance: not negative; how far apart they are modulo what laundering may do.
        parent: one of the two if the direction is known, else None.
        moved: share of units that were not in place: files in one basis are nearer than files in two.
        numbers: how many weights the distance is of.
    """

    first: int
    second: int
    distance: float
    parent: int | None = None
    moved: float = 0.0
    numbers: int = 1

    @property
    def same(self) -> bool:
        """Whether both hold the same numbers."""
        return self.distance == 0 and self.moved == 0

    @property
    def cost(self) -> float:
        """What the tree sums up."""
        return self.distance * (1 if self.parent is None else _KNOWN) + self.moved

    @property
    def ends(self) -> frozenset[int]:
        """Both files."""
        return frozenset((self.first, self.second))


@dataclass(frozen=True)
class Edge:
    """One edge of a tree.

    Attributes:
        parent, child: numbers of the files; of an undirected edge in no order that means anything.
        distance: of the link.
        moved: of the link.
        direction: how it is known.
        instead: pairs of files that might be joined in its place: their links cannot be told from this one.
    """

    parent: int
    child: int
    distance: float
    moved: float
    direction: Direction
    instead: tuple[tuple[int, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "parent": self.parent,
            "child": self.child,
            "distance": self.distance,
            "moved": self.moved,
            "direction": self.direction,
            "instead": [list(pair) for pair in self.instead],
        }


@dataclass(frozen=True)
class Family:
    """Files that are kin of each other.

    Attributes:
        members: their numbers, ascending.
        roots: those that no decided edge makes a child: one of them is the root, if the root is among the members.
        edges: one less than different members for a single tree; between the first of each set of copies.
        copies: sets of members that hold the same numbers.
    """

    members: tuple[int, ...]
    roots: tuple[int, ...]
    edges: tuple[Edge, ...]
    copies: tuple[tuple[int, ...], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "members": list(self.members),
            "roots": list(self.roots),
            "edges": [edge.as_json() for edge in self.edges],
            "copies": [list(each) for each in self.copies],
        }


def family_trees(count: int, links: Sequence[Link]) -> tuple[Family, ...]:
    """The families among ``count`` files and their trees, in the order of their first members.

    Deterministic: links of equal distance are taken in the order of their files.
    """
    first_of = _first_copies(count, links)
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((link.first, link.second) for link in links)
    of_file = {file: number for number, each in enumerate(nx.connected_components(graph)) for file in each}
    own: dict[int, list[Link]] = {}
    for link in sorted(links, key=lambda link: (link.cost, link.first, link.second)):
        if first_of[link.first] != first_of[link.second]:
            own.setdefault(of_file[link.first], []).append(_between_firsts(link, first_of))
    members: dict[int, list[int]] = {}
    for file in range(count):
        members.setdefault(of_file[file], []).append(file)
    return tuple(_family(tuple(files), first_of, own.get(number, [])) for number, files in members.items())


def _first_copies(count: int, links: Iterable[Link]) -> list[int]:
    """For every file the first one of the same numbers."""
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((link.first, link.second) for link in links if link.same)
    first_of = list(range(count))
    for copies in nx.connected_components(graph):
        for file in copies:
            first_of[file] = min(copies)
    return first_of


def _between_firsts(link: Link, first_of: Sequence[int]) -> Link:
    parent = None if link.parent is None else first_of[link.parent]
    return replace(link, first=first_of[link.first], second=first_of[link.second], parent=parent)


def _family(members: tuple[int, ...], first_of: Sequence[int], links: Sequence[Link]) -> Family:
    nodes = sorted({first_of[member] for member in members})
    sets = {node: tuple(member for member in members if first_of[member] == node) for node in nodes}
    copies = tuple(each for each in sets.values() if len(each) > 1)
    if len(nodes) == 1:
        return Family(members, tuple(nodes), (), copies)
    nearest: dict[frozenset[int], Link] = {}
    for link in links:
        nearest.setdefault(link.ends, link)
    chosen = _arborescence(nodes, nearest.values())
    edges = [_edge(pair, chosen, nearest) for pair in chosen]
    made = {edge.child for edge in edges if edge.direction == "decided"}
    roots = [node for node in nodes if node not in made]
    order = sorted(edges, key=lambda edge: (edge.parent, edge.child))
    return Family(members, tuple(sorted(roots)), tuple(order), copies)


def _arborescence(members: Sequence[int], links: Iterable[Link]) -> list[Pair]:
    """Parent and child of every edge of the arborescence of least cost, with as few roots as directions let it have."""
    held = list(links)
    root = 1 + 2 * sum(link.cost for link in held)
    graph = nx.DiGraph()
    for place, member in enumerate(members):
        graph.add_edge(_ROOT, member, weight=root * (1 + 1e-9 * place))
    for link in held:
        for parent, child in ((link.first, link.second), (link.second, link.first)):
            if link.parent in (None, parent):
                graph.add_edge(parent, child, weight=link.cost)
    found = nx.minimum_spanning_arborescence(graph)
    return [(parent, child) for parent, child in found.edges if parent != _ROOT]


def _edge(pair: Pair, chosen: Sequence[Pair], links: Mapping[frozenset[int], Link]) -> Edge:
    link = links[frozenset(pair)]
    direction: Direction = "undirected" if link.parent is None else "decided"
    return Edge(*pair, link.distance, link.moved, direction, _instead(link, chosen, links))


def _instead(edge: Link, edges: Sequence[Pair], links: Mapping[frozenset[int], Link]) -> tuple[Pair, ...]:
    """Links across the cut that an edge bridges which cannot be told from it."""
    tree = nx.Graph(list(edges))
    tree.remove_edge(edge.first, edge.second)
    side = nx.node_connected_component(tree, edge.first)
    crossing = [link for link in links.values() if (link.first in side) != (link.second in side) and link is not edge]
    found = [link for link in crossing if _cannot_be_told(edge, link, links)]
    return tuple(sorted((link.first, link.second) for link in found))


def _cannot_be_told(edge: Link, other: Link, links: Mapping[frozenset[int], Link]) -> bool:
    if abs(edge.moved - other.moved) > _SAME_BASIS:
        return False
    apart = links.get(edge.ends ^ other.ends)
    gap = abs(edge.distance**2 - other.distance**2)
    if apart is None or apart.moved > edge.moved + _SAME_BASIS:
        return gap == 0
    return gap <= _DEVIATIONS * 2 * apart.distance * edge.distance / sqrt(edge.numbers)
