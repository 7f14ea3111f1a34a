"""Tensors in ONNX files: initialisers and the values of Constant nodes, in the graph, its subgraphs and functions.

An own reader of the wire format (``protobuf``), not the ``onnx`` package: that one parses the whole file into memory,
numbers and all, at most 2 GB of it, in C++; this one looks at the headers, seeks over the numbers, bounds what it does
and needs nothing installed. Nothing of the graph is run, and no other file is opened but those with numbers, which have
to lie below the model's folder. The format keeps no checksums.

An initialiser has its own name; the value of a Constant node that of the node's output, which is what the graph calls
it. In a subgraph ``NODE.ATTRIBUTE.`` stands before it, in a function ``FUNCTION.``. Left aside are what is written as a
setting (``value_float``, fill values) and graphs for training. Field numbers are those of onnx.proto (IR version 13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reknit.containers.container import DAMAGED, Container, is_bomb
from reknit.containers.file_bytes import FileBytes
from reknit.containers.onnx_numbers import Place, read_numbers
from reknit.containers.onnx_tensor import Claim, parse_tensor, place_tensor
from reknit.containers.protobuf import BYTES, Field, Wire
from reknit.errors import ContainerError

_MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NAME, _FUNCTION_NODE = 1, 7
_NODE_ATTRIBUTE, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPHS = 5, 5, (6, 11)
_MAX_DEPTH = 32
# the tags of the fields that may follow the IR version: producer, domain, versions, description, graph
_SECOND_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")


@dataclass
class _Node:
    """What is read of a node."""

    op: str = ""
    name: str = ""
    output: str = ""


class OnnxFile(Container):
    """One ONNX model."""

    format = "onnx"

    def __init__(self, source: FileBytes) -> None:
        """Walk the graph and check what it says of its tensors."""
        self.path = source.path
        self._wire = Wire(source, "an ONNX file")
        self._places: dict[str, Place] = {}
        opened: dict[str, FileBytes] = {}
        for key, claim in self._model(source.size):
            if key in self._places:
                raise ContainerError(f"holds two tensors named {key!r}", self.path)
            self._places[key] = place_tensor(self._wire, key, claim, opened)
        self.tensors = {key: place.info for key, place in self._places.items()}
        if not self.tensors:
            raise ContainerError("is an ONNX file without a tensor", self.path)
        files = source.size + sum(other.size for other in opened.values())
        if is_bomb(sum(info.nbytes for info in self.tensors.values()), files):
            raise ContainerError("describes far more numbers than it holds", self.path)

    def read(self, key: str) -> np.ndarray:
        """See ``Container.read``."""
        return read_numbers(self._places[key])

    def _model(self, size: int) -> Iterator[tuple[str, Claim]]:
        graphs = versions = 0
        for part in self._wire.fields(0, size):
            if part.number == _MODEL_GRAPH:
                graphs += 1
                yield from self._graph(part, "", 0)
            elif part.number == _MODEL_OPSET:
                versions += 1
            elif part.number == _MODEL_FUNCTION:
                yield from self._function(part)
        if graphs != 1 or not versions:  # both are demanded, and the version comes last: a file cut short lacks it
            raise ContainerError("is an ONNX file without its graph, or without its version", self.path, DAMAGED)

    def _graph(self, graph: Field, prefix: str, depth: int) -> Iterator[tuple[str, Claim]]:
        if depth > _MAX_DEPTH:
            raise ContainerError(f"nests its graphs more than {_MAX_DEPTH} deep", self.path)
        nodes = 0
        for part in self._parts(graph):
            if part.number == _GRAPH_NODE:
                yield from self._node(part, prefix, nodes, depth)
                nodes += 1
            elif part.number == _GRAPH_INITIALIZER:
                claim = self._tensor(part)
                if not claim.name:
                    raise ContainerError("holds an initialiser without a name", self.path)
                yield prefix + claim.name, claim
            elif part.number == _GRAPH_SPARSE:
                raise ContainerError("holds a sparse initialiser, which is not supported", self.path)

    def _function(self, function: Field) -> Iterator[tuple[str, Claim]]:
        name, nodes = "", 0
        for part in self._parts(function):
            if part.number == _FUNCTION_NAME:
                name = self._wire.text(part)
        for part in self._parts(function):
            if part.number == _FUNCTION_NODE:
                yield from self._node(part, f"{name}.", nodes, 0)
                nodes += 1

    def _node(self, message: Field, prefix: str, at: int, depth: int) -> Iterator[tuple[str, Claim]]:
        """The value of a Constant node, and what is in a node's subgraphs."""
        node = self._parse_node(message)
        for attribute in self._parts(message):
            if attribute.number == _NODE_ATTRIBUTE:
                yield from self._attribute(node, attribute, prefix, at, depth)

    def _attribute(
        self, node: _Node, attribute: Field, prefix: str, at: int, depth: int
    ) -> Iterator[tuple[str, Claim]]:
        name, graphs = "", 0
        for part in self._parts(attribute):
            if part.number == 1:
                name = self._wire.text(part)
            graphs += part.number in _ATTRIBUTE_GRAPHS
        if node.op == "Constant" and name == "sparse_value":
            raise ContainerError("holds a sparse constant, which is not supported", self.path)
        k = 0
        for part in self._parts(attribute):
            if part.number == _ATTRIBUTE_TENSOR and node.op == "Constant" and name == "value":
                yield prefix + (node.output or node.name or f"node_{at}"), self._tensor(part)
            elif part.number in _ATTRIBUTE_GRAPHS:
                inside = f"{node.name or node.output or f'node_{at}'}.{name}{f'.{k}' if graphs > 1 else ''}."
                yield from self._graph(part, prefix + inside, depth + 1)
                k += 1

    def _parse_node(self, message: Field) -> _Node:
        node = _Node()
        for part in self._parts(message):
            if part.number == 2 and not node.output:
                node.output = self._wire.text(part)
            elif part.number == 3:
                node.name = self._wire.text(part)
            elif part.number == 4:
                node.op = self._wire.text(part)
        return node

    def _tensor(self, part: Field) -> Claim:
        if part.kind != BYTES:
            self._wire.refuse()
        return parse_tensor(self._wire, part.begin, part.end)

    def _parts(self, part: Field) -> Iterator[Field]:
        """The fields of a message that is a field."""
        if part.kind != BYTES:
            self._wire.refuse()
        return self._wire.fields(part.begin, part.end)


def is_onnx(lead: bytes) -> bool:
    """Whether a file begins as ONNX files do, which have no magic number: an IR version, then another field.

    Zeros where a safetensors file has the upper bytes of its header's length tell the two apart.
    """
    return len(lead) > 8 and lead[0] == 8 and 0 < lead[1] < 128 and lead[2] in _SECOND_TAGS and lead[4:8] != bytes(4)
