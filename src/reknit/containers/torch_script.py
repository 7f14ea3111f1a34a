"""Tensors in TorchScript files, the zip archives of ``torch.jit.save``; their code is neither run nor read.

Beside what ``torch_zip`` tells, an archive holds ``NAME/constants.pkl``, a tuple of what the code refers to as
``CONSTANTS.c0``, ``CONSTANTS.c1``, ..., with storages of its own below ``NAME/constants/``: that is where the weights
of a frozen module are. ``NAME/data.pkl`` describes the module: objects of classes named ``__torch__.*``, taken for mere
records of attributes, so a parameter is named as in the state dict of the module that was scripted. Tensors in lists
and dicts are named by position and key. Traced inputs and debug information are left aside.
"""

from __future__ import annotations

from reknit.containers.file_bytes import FileBytes
from reknit.containers.torch_pickle import PickleMachine
from reknit.containers.torch_zip import TorchZip
from reknit.containers.zip_archive import ZipArchive
from reknit.errors import ContainerError

_CONSTANTS = "CONSTANTS"


class TorchScript(TorchZip):
    """A zip file of ``torch.jit.save``."""

    format = "torchscript"

    def _describe(self, source: FileBytes) -> tuple[object, int]:
        data, constants = (self._read_pickle(source, f"{name}.pkl") for name in ("data", "constants"))
        module = PickleMachine(data, source.path, folder="data/").run()
        listed = PickleMachine(constants, source.path, folder="constants/").run()
        if not isinstance(module, dict) or _CONSTANTS in module or not isinstance(listed, tuple):
            raise ContainerError("is a damaged torchscript file", source.path)
        named = {_CONSTANTS: {f"c{at}": value for at, value in enumerate(listed)}}
        return module | named, len(data) + len(constants)

    def _entry(self, key: str) -> str:
        return f"{self._folder}{key}"


def is_script(archive: ZipArchive, pickle: str) -> bool:
    """Whether the archive around a ``data.pkl`` is of TorchScript; other torch files have no constants."""
    return f"{pickle.removesuffix('data.pkl')}constants.pkl" in archive.entries
