"""`featurescope over-training`: when a dictionary's features appear while its model is trained."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.options import Commands, add_device, whole


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "over-training",
        help="when features appear while a model is trained",
        description="Trains a dictionary for each checkpoint of a model as the last one's was, "
        "from scratch, matches the last one's features with them, and keeps when each appears, "
        "how well its rule fits there, and the loss, for the page /over-training/NAME. Neurons "
        "are matched without training. Interrupted, the same command goes on.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="of the last checkpoint")
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="of an earlier one; the last number in its name is its step",
    )
    parser.add_argument("--name", help="part of its address (default: the dictionary's)")
    parser.add_argument(
        "--trained",
        type=whole(10_000),
        default=500_000,
        metavar="N",
        help="tokens that each dictionary is trained on (default: 500000)",
    )
    parser.add_argument(
        "--tokens",
        type=whole(1_000),
        default=65_536,
        metavar="N",
        help="held-out tokens that features are matched on (default: 65536)",
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of all of it")
    add_device(parser)
    parser.set_defaults(
        command=run, interrupted="Interrupted; the same command goes on from where it was."
    )


def run(arguments: argparse.Namespace) -> None:
    """Follow, and say when features appear."""
    from app.cli.targets import split_target
    from app.jobs.moments.follow import FollowSpec, follow
    from app.pages.compare.moments.view import MomentsPage
    from app.settings import read_settings

    settings = read_settings(device=arguments.device)
    spec = FollowSpec(
        *split_target(arguments.target),
        tuple(arguments.checkpoints),
        arguments.name,
        arguments.trained,
        arguments.tokens,
        arguments.seed,
    )
    page = MomentsPage(follow(settings, spec))
    for line in page.lines:
        print(line)
    print(f"Its page is {page.address()} of `featurescope serve`.")
