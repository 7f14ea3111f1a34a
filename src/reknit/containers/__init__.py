"""Files that hold tensors and tables: read lazily, checked before anything is allocated, never executed.

Tables are read by ``reknit.containers.table``, which is not imported here: it loads polars, and a look into a container
needs none.
"""

from reknit.containers.container import Container, TensorInfo
from reknit.containers.opening import open_container
from reknit.containers.pieces import Piece
from reknit.containers.pile import Pile, read_pile
from reknit.containers.tensors import Tensors, read_tensors

__all__ = ["Container", "Piece", "Pile", "TensorInfo", "Tensors", "open_container", "read_pile", "read_tensors"]
