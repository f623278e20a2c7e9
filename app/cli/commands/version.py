"""`featurescope version`: which version is installed."""

from __future__ import annotations

import argparse

from app import __version__
from app.cli.options import Commands


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("version", help="print the version")
    parser.set_defaults(command=run, interrupted="Interrupted.")


def run(_arguments: argparse.Namespace) -> None:
    """Print the version."""
    print(f"featurescope {__version__}")
