"""What ``--like`` understands: the user's own code, a checkpoint folder, or a built-in architecture by name.

Whatever it is, the module is on the meta device: it has shapes and no numbers, so that a network larger than memory
costs nothing.
"""

from __future__ import annotations

import copy
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reknit.architectures.registry import ARCHITECTURES, Config, architecture_of
from reknit.architectures.spelling import read_config, spell_config
from reknit.errors import InputError, UsageError
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec
from reknit.skeleton.checkpoint_folder import FORMS, read_folder
from reknit.skeleton.constants import constants_of, with_constants
from reknit.skeleton.guess_inputs import Inputs, first_line, guess_inputs, on_meta, read_shapes, refusal


@dataclass(frozen=True)
class Like:
    """A module to be filled, and what one forward pass of it takes.

    Attributes:
        name: as the user would say it.
        module: on the meta device, in eval mode.
        inputs: by place, or by name, on the meta device.
        inputs_from: where the inputs come from, in words.
        config: of the built-in architecture; None where it is not built in.
        constants: values of buffers that are in no checkpoint, where they are known.
        rebuild: makes the module off the meta device, for constants that are not.
    """

    name: str
    module: nn.Module
    inputs: Inputs
    inputs_from: str
    config: Config | None = None
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    rebuild: Callable[[], nn.Module] | None = None

    def fillable(self) -> nn.Module:
        """A copy of the module that computes once its slots are filled: constants that no checkpoint holds are there.

        Raises:
            InputError: a constant cannot be had.
        """
        return with_constants(self.module, self.constants, self.rebuild, self.name)


def resolve(like: str, input_shape: str | None = None) -> Like:
    """The module that ``--like`` names.

    A built-in name goes before a folder of that name (write ``./gpt2`` for the folder) and, unless ``=`` follows the
    colon, behind the user's own module of that name.

    Args:
        like: ``package.module:callable``, a folder, or a built-in architecture.
        input_shape: what ``--input`` says: ``1x3x224x224``, ``int:1x16``, several with a comma between them.

    Raises:
        UsageError: it names nothing, or a value is wrong.
        InputError: what it names cannot be used.
    """
    name, colon, rest = like.partition(":")
    if name in ARCHITECTURES and (not colon or not rest or "=" in rest):
        return built_in(read_config(like), input_shape)
    if Path(like).is_dir():
        return from_folder(Path(like), input_shape)
    if re.fullmatch(r"[\w.]+:[\w.]+", like):
        return from_code(like, input_shape)
    if name and "=" in rest:
        read_config(like)  # says which architectures there are
    raise UsageError(f"{like!r} is no folder, no built-in architecture and no callable", "--like", FORMS)


def built_in(config: Config, input_shape: str | None = None, name: str = "") -> Like:
    """The module of a built-in architecture."""
    architecture = architecture_of(config)
    with torch.device("meta"):
        module = architecture.build(config)
        given = architecture.example_inputs(config), f"example of {architecture.name}"
        inputs, source = given if input_shape is None else _spelled(module, input_shape)
    return Like(name or spell_config(config), module, inputs, source, config)


def from_folder(folder: Path, input_shape: str | None = None) -> Like:
    """The architecture that a checkpoint's ``config.json`` describes, with the heads that its tensors have.

    Raises:
        InputError: there is no ``config.json``, or it describes nothing that is known.
    """
    found = read_folder(folder)
    if isinstance(found, ResidualSpec):
        with torch.device("meta"):
            module, inputs = ResidualMLP(found), (torch.zeros(4, found.width),)
        return _finish(str(folder), module, inputs, input_shape)
    if isinstance(found, nn.Module):
        return _finish(str(folder), found, None, input_shape, lambda: read_folder(folder, device="cpu"))
    return built_in(found, input_shape, str(folder))


def from_code(like: str, input_shape: str | None = None) -> Like:
    """The user's own code: a callable that returns a module, or (module, inputs); it is called on the meta device.

    Raises:
        UsageError: there is no such module or callable.
        InputError: the code fails, or returns something else.
    """
    place, _, attribute = like.partition(":")
    with _importable_from_here():
        try:
            found: Any = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
                remedy = "Run reknit where it can be imported, or check the name"
                raise UsageError(f"there is no Python module {error.name!r}", "--like", remedy) from None
            raise InputError(f"importing it failed: {error}", place, "Install what it needs") from error
        except Exception as error:
            raise InputError(f"importing it failed: {first_line(error)}", place, "Correct it first") from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise UsageError(f"{place} has no {part!r}", "--like", "Name a callable of that module")
            found = getattr(found, part)
        module, inputs = _called(like, found)
        rebuild = None if isinstance(found, nn.Module) else _importable_from_here()(found)
    return _finish(like, module, inputs, input_shape, rebuild)


def _called(like: str, found: Any) -> tuple[nn.Module, Inputs | None]:
    """What a callable returns, or a module as it is."""
    made = found
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise UsageError(f"{like} is not callable", "--like", "Name a function that returns a torch.nn.Module")
        try:
            with torch.device("meta"):
                made = found()
        except Exception as error:
            remedy = "It is called without arguments on the meta device, where numbers have no values"
            raise InputError(f"calling it failed: {first_line(error)}", like, remedy) from error
    module, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module):
        remedy = "Return a torch.nn.Module, or a pair of it and its example inputs"
        raise InputError(f"it returned {type(module).__name__}, not a module", like, remedy)
    if inputs is not None and not isinstance(inputs, tuple | list | dict | torch.Tensor):
        remedy = "Return a tensor, a tuple of inputs, or a dict of inputs by name"
        raise InputError(f"its example inputs are {type(inputs).__name__}", like, remedy)
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    return module, on_meta(inputs)


def _finish(
    name: str,
    module: nn.Module,
    inputs: Inputs | None,
    input_shape: str | None,
    rebuild: Callable[[], Any] | None = None,
) -> Like:
    constants = {key: value.clone() for key, value in constants_of(module).items() if not value.is_meta}
    module = _without_numbers(module, name).eval()
    with torch.device("meta"):
        if input_shape is not None:
            inputs, source = _spelled(module, input_shape)
        elif inputs is not None:
            source = "given with the module"
        else:
            inputs, source = guess_inputs(module)
    again = None if rebuild is None else lambda: _module_of(rebuild())
    return Like(name, module, inputs, source, constants=constants, rebuild=again)


def _without_numbers(module: nn.Module, name: str) -> nn.Module:
    """A copy on the meta device, with what is tied still tied; the user's own module stays as it is.

    Raises:
        InputError: it holds something that cannot be copied.
    """
    bare: dict[int, Any] = {}
    for value in (*module.parameters(), *module.buffers()):
        empty = torch.empty_like(value, device="meta")
        bare[id(value)] = nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty
    try:
        return copy.deepcopy(module, bare)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"it cannot be copied: {first_line(error)}", name, "Name a callable that makes it") from error


def _module_of(made: Any) -> nn.Module:
    module: nn.Module = made[0] if isinstance(made, tuple) else made
    return module.eval()


def _spelled(module: nn.Module, input_shape: str) -> tuple[Inputs, str]:
    """The inputs of ``--input``, which the module has to take."""
    inputs = read_shapes(input_shape)
    reason = refusal(module, inputs)
    if reason:
        problem = f"{type(module).__name__} does not take {input_shape}: {reason}"
        raise InputError(problem, "--input", "Give the shape of one batch that it takes")
    return inputs, "--input"


@contextmanager
def _importable_from_here() -> Iterator[None]:
    """The user's own code lies where they stand, which a command does not look through by itself."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)
