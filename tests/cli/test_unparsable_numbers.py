"""An option that wants a number and is given none: what was given is quoted, and which kind of number is wanted."""

import json

import pytest

from reknit.cli import main

DROP, ASSEMBLE = ["drop", "x"], ["assemble", "x", "--data", "y"]


@pytest.mark.parametrize(
    ("arguments", "option", "problem"),
    [
        ([*DROP, "--blocks", "many"], "--blocks", "'many' is not a valid integer"),
        ([*DROP, "--blocks=1.5"], "--blocks", "'1.5' is not a valid integer"),
        ([*DROP, "--blocks", "3", "--blocks", ""], "--blocks", "'' is not a valid integer"),
        ([*ASSEMBLE, "--budget", "long"], "--budget", "'long' is not a valid number"),
        ([*ASSEMBLE, "--noise=0.1", "--noise", "abc"], "--noise", "'abc' is not a valid number"),
        ([*ASSEMBLE, "--noise", "0.1", "--noise=abc"], "--noise", "'abc' is not a valid number"),
        ([*ASSEMBLE, "--noise=it's"], "--noise", '"it\'s" is not a valid number'),
    ],
)
def test_what_was_given_is_quoted(capsys, arguments, option, problem):
    remedy = f"See reknit {arguments[0]} --help"
    assert main(arguments) == 2
    assert tuple(capsys.readouterr()) == ("", f"reknit: {option}: {problem}. {remedy}.\n")
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"problem": problem, "where": option, "remedy": remedy}
