"""The command line: one file per verb; parses, calls, prints."""

from reknit.cli.app import main

__all__ = ["main"]
