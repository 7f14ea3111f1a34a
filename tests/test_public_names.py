"""``__all__`` is exactly what is visible, verbs are functions whatever else was imported, and importing is cheap."""

import json
import subprocess
import sys
import types

import pytest

import reknit

VERBS = (
    "align",
    "assemble",
    "compare",
    "couple",
    "diff",
    "drop",
    "inspect",
    "launder",
    "lineage",
    "load",
    "merge",
    "path",
    "verify",
)
HEAVY = ("torch", "polars", "plotly", "numpy", "scipy", "sklearn", "safetensors", "typer", "rich", "logging")


def _in_a_fresh_process(code):
    """What the code prints, as JSON; a test must not see what others have imported."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_all_is_what_is_visible():
    for name in reknit.__all__:
        getattr(reknit, name)
    modules = {name for name, value in vars(reknit).items() if isinstance(value, types.ModuleType)}
    visible = {name for name in dir(reknit) if not name.startswith("_")} - modules
    assert visible == set(reknit.__all__) - {"__version__"}
    assert reknit.__all__ == sorted(reknit.__all__)


def test_the_type_checker_sees_the_same_names():
    with open(reknit.__file__, encoding="utf-8") as file:  # noqa: PTH123
        checked = file.read().partition("if _typing.TYPE_CHECKING:")[2].partition("\n\n")[0]
    lines = [line.partition(" import ") for line in checked.strip().splitlines()]
    lazy = {name.strip(): place.split()[1] for place, _, names in lines for name in names.split(",")}
    assert lazy == {name: module for name, (module, _) in reknit._HOMES.items()}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_a_function_even_after_its_module_was_imported(name):
    module, attribute = reknit._HOMES[name]
    code = f"""
import importlib, json, types, reknit
module = importlib.import_module({module!r})
verb = reknit.{name}
print(json.dumps([isinstance(verb, types.FunctionType), verb is module.{attribute}, verb is reknit.{name}]))
"""
    assert _in_a_fresh_process(code) == [True, True, True]


def test_no_verb_is_the_name_of_a_module():
    for name in VERBS:
        assert not isinstance(getattr(reknit, name), types.ModuleType)
        with pytest.raises(ModuleNotFoundError):
            __import__(f"reknit.{name}")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'reknit' has no attribute 'assembel'"):
        reknit.assembel  # noqa: B018


@pytest.mark.parametrize("statement", ["import reknit", "import reknit.errors", "import reknit.plain"])
def test_importing_loads_nothing_heavy(statement):
    heavy = [name for name in HEAVY if name != "numpy"] if statement.endswith("plain") else HEAVY
    code = f"{statement}; import sys, json; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    assert _in_a_fresh_process(code) == []


def test_importing_leaves_logging_and_warnings_alone():
    code = """
import json, logging, warnings
before = list(warnings.filters), list(logging.root.handlers), logging.root.level
import reknit
print(json.dumps(before == (list(warnings.filters), list(logging.root.handlers), logging.root.level)))
"""
    assert _in_a_fresh_process(code) is True
