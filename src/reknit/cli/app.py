"""The command ``reknit``: its verbs, and what every one of them does with an error.

Exit statuses: 0 good (``exact``, ``consistent``), 2 bad input or usage, 3 ``ambiguous`` or ``cannot say``,
4 ``failed``, 130 interrupted.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from reknit import __version__
from reknit.cli.align import align
from reknit.cli.assemble import assemble
from reknit.cli.compare import compare
from reknit.cli.couple import couple
from reknit.cli.diff import diff
from reknit.cli.drop import drop
from reknit.cli.inspect import inspect
from reknit.cli.launder import launder
from reknit.cli.lineage import lineage
from reknit.cli.merge import merge
from reknit.cli.path import path
from reknit.cli.terminal import BAD_INPUT, INTERRUPTED, StoppedError, print_error
from reknit.cli.verify import verify
from reknit.errors import ReknitError, UsageError

BROKEN_PIPE = 128 + 13  # as the shell has it for SIGPIPE

# typer carries a copy of click of its own, older versions import click: either way this is click's UsageError
ClickUsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(name="reknit", add_completion=False, pretty_exceptions_enable=False)
VERBS = {
    verb.__name__: verb
    for verb in (drop, inspect, couple, assemble, verify, align, merge, path, compare, launder, diff, lineage)
}
for verb in VERBS.values():
    app.command()(verb)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reknit {__version__}")
        raise typer.Exit


@app.callback()
def reknit(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A workbench for the weights of neural networks: put a dropped network back together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows ``reknit``; None: those of this process.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # torch's threads wait by spinning and stall each other when another process wants a core; read when it is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be no text in any encoding
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has gone; without this Python complains once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _run(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        # without standalone mode the status a verb returns arrives here, and so do the errors of the parser
        status: int = app(arguments, prog_name="reknit", standalone_mode=False) or 0
        if status == INTERRUPTED:  # newer versions of typer turn Ctrl-C into a status, older ones into Abort
            raise StoppedError
    except (StoppedError, KeyboardInterrupt, typer.Abort) as error:
        print_error(error if isinstance(error, StoppedError) else StoppedError(), as_json)
        return INTERRUPTED
    except ReknitError as error:
        print_error(error, as_json)
        return BAD_INPUT
    except ClickUsageError as error:
        print_error(_as_usage_error(error, arguments), as_json)
        return BAD_INPUT
    return status


def _as_usage_error(error: Exception, arguments: Sequence[str]) -> UsageError:
    """The parser's complaint in the words of this house."""
    parameter = getattr(error, "param", None)
    where = getattr(error, "option_name", None) or ""  # of an option that does not exist
    problem: str = error.format_message() if hasattr(error, "format_message") else str(error)
    if parameter is not None:
        where = (
            "/".join(parameter.opts) if parameter.param_type_name == "option" else parameter.metavar or parameter.name
        )
        problem = getattr(error, "message", "") or problem
        given = [
            after if before in parameter.opts else before.partition("=")[2]
            for before, after in itertools.pairwise([*arguments, ""])
            if before in parameter.opts or ("=" in before and before.partition("=")[0] in parameter.opts)
        ]
        if given and "unable to parse" in problem:  # the parser's own words do not quote what was given
            kind = "integer" if "integer" in problem else "number"
            problem = f"{given[-1]!r} is not a valid {kind}"
    verb = arguments[0] if arguments and arguments[0] in VERBS else ""
    return UsageError(problem.strip().rstrip("."), where, f"See {f'reknit {verb}'.strip()} --help")
