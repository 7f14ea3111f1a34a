"""Every verb speaks the same way: statuses, JSON in place of errors, sentences instead of tracebacks."""

import json
import os
import subprocess
import sys

import pytest

from reknit import __version__
from reknit.cli import main

VERBS = ("drop", "inspect", "couple", "assemble", "verify")


def run(capsys, *arguments):
    """The status, stdout and stderr of one command."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def in_a_process(*arguments, code="from reknit.cli import main; sys.exit(main())"):
    """One command in a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-c", f"import sys; {code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def strict(text):
    """JSON as strict parsers read it: NaN and infinities are errors."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"reknit {__version__}\n", "")


def test_help_names_every_verb(capsys):
    status, out, err = run(capsys, "--help")
    assert (status, err) == (0, "")
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("drop", "blocks width hidden activation norm data epochs seed force json"),
        ("inspect", "hash json"),
        ("couple", "input json"),
        (
            "assemble",
            "data like input link target inputs activation norm method start rows choose seed "
            "noise threads budget out resume force json report",
        ),
        ("verify", "data target inputs link noise json"),
        ("align", "like method data input weighing scales polar polar-steps seed out resume force json"),
        (
            "merge",
            "like data method weights layer decay steps answers star mend no-mend input seed plan out anyway resume "
            "force json",
        ),
        ("path", "like data method input places layers mend seed report force json"),
    ],
)
def test_a_verb_has_exactly_these_flags(verb, flags):
    import typer

    from reknit.cli.app import app

    command = typer.main.get_command(app).commands[verb]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert options == {f"--{flag}" for flag in flags.split()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy(arguments):
    code = """
from reknit.cli import main
status = main(sys.argv[1:])
print([name for name in ("torch", "polars", "plotly", "sklearn", "scipy") if name in sys.modules], file=sys.stderr)
sys.exit(status)
"""
    done = in_a_process(*arguments, code=f"exec({code!r})")
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == "[]\n"


def test_python_m_reknit_is_the_command():
    done = subprocess.run([sys.executable, "-m", "reknit", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"reknit {__version__}\n", "")
    done = subprocess.run([sys.executable, "-m", "reknit", "frob"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


USAGE = [
    ([], "", "Missing command", "reknit"),
    (["frob"], "", "No such command 'frob'", "reknit"),
    (["--frob"], "--frob", "No such option: --frob", "reknit"),
    (["drop"], "OUT", "Missing argument 'OUT'", "reknit drop"),
    (["drop", "x", "--blok", "3"], "--blok", "No such option: --blok", "reknit drop"),
    (["drop", "x", "--blocks"], "--blocks", "Option '--blocks' requires an argument", "reknit drop"),
    (["drop", "x", "--blocks", "many"], "--blocks", "nteger", "reknit drop"),
    (["drop", "x", "y"], "", "unexpected extra argument", "reknit drop"),
    (["verify", "x"], "--data", "Missing option '--data'", "reknit verify"),
    (["assemble", "x", "--data", "y", "--budget", "long"], "--budget", "", "reknit assemble"),
    (["verify", "--data", "y"], "DIR", "Missing argument 'DIR'", "reknit verify"),
    (["inspect"], "PATH...", "Missing argument 'PATH...'", "reknit inspect"),
]


@pytest.mark.parametrize(("arguments", "where", "problem", "command"), USAGE)
def test_usage_errors_are_one_sentence_on_stderr(capsys, arguments, where, problem, command):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"reknit: {where}")
    assert problem in err
    assert err.endswith(f"See {command} --help.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "where", "problem", "command"), USAGE)
def test_usage_errors_are_an_object_where_json_was_asked_for(capsys, arguments, where, problem, command):
    status, out, err = run(capsys, *arguments[:1], "--json", *arguments[1:])
    assert (status, err) == (2, "")
    answer = strict(out)
    assert set(answer) == {"problem", "where", "remedy"}
    if arguments and arguments[0] in VERBS:
        assert problem in answer["problem"]
        assert answer["where"] == where
        assert answer["remedy"] == f"See {command} --help"


@pytest.mark.parametrize("arguments", [["--version"], ["drop", "--json"], ["drop", "--help"]])
def test_a_reader_that_has_gone_is_no_traceback(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "reknit", *arguments]
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode != 0
