"""`featurescope embed`: makes a dictionary searchable by meaning."""

from __future__ import annotations

import argparse

from app.cli.options import Commands


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "embed",
        help="make a dictionary searchable by meaning",
        description="Turns labels, rules and summaries into vectors with a small sentence model on "
        "the CPU. Give it again after a harvest, or when labels have changed.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument(
        "--sentences",
        default="",
        metavar="MODEL",
        help="folder or Hub repository of a sentence-embedding model (default: the one that "
        "`featurescope[meaning]` installs)",
    )
    parser.set_defaults(command=run, interrupted="Interrupted; the vectors of before stay.")


def run(arguments: argparse.Namespace) -> None:
    """Embed, and say how much."""
    from app.cli.targets import split_target
    from app.jobs.harvested.embed import embed
    from app.settings import read_settings

    model, name = split_target(arguments.target)
    count = embed(read_settings(), model, name, arguments.sentences)
    print(f"{count:,} texts of {model}/{name} can be searched by meaning.")
