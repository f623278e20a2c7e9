"""`featurescope map`: lays out a dictionary's features in two dimensions."""

from __future__ import annotations

import argparse

from app.cli.options import Commands


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "map",
        help="lay out a dictionary's features in two dimensions",
        description="Places features so that those whose decoder directions are alike lie "
        "together, by UMAP, and keeps the map for its page /d/MODEL/DICTIONARY/map. The same seed "
        "gives the same map on the same machine. Needs `featurescope[map]`.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument("--seed", type=int, default=0, help="of the layout (default: 0)")
    parser.set_defaults(command=run, interrupted="Interrupted; the map of before, if any, stays.")


def run(arguments: argparse.Namespace) -> None:
    """Lay out, and say what."""
    from app.cli.targets import split_target
    from app.errors import InvalidRequest
    from app.jobs.harvested.map import make_map
    from app.settings import read_settings

    if not 0 <= arguments.seed < 1 << 32:
        raise InvalidRequest("A seed is a whole number from 0 to 4,294,967,295.")
    made = make_map(read_settings(), *split_target(arguments.target), arguments.seed)
    print(f"{made.placed:,} features of {made.title} are laid out (by {made.method}).")
    if made.nowhere:
        print(
            f"{made.nowhere:,} have no direction, their decoder rows being 0: they have no place."
        )
