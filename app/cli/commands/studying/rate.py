"""`featurescope rate`: a language model as a blind rater of a study."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.endpoints import add_endpoint, costs_of, endpoint_of, spent
from app.cli.options import Commands

if TYPE_CHECKING:
    from app.store.types.ratings import RatingView


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "rate",
        help="let a language model rate the features of a study blind",
        description="Shows a model what the pages of /rate show people, and keeps its ratings "
        "beside theirs. What was answered is kept: the same command goes on after an "
        "interruption, and asks nothing twice.",
    )
    parser.add_argument(
        "study", metavar="STUDY", help="its id, the beginning of it, or its title, as /rate says"
    )
    parser.add_argument(
        "--name", default="", help="name that the ratings are kept under (default: the model's)"
    )
    add_endpoint(parser)
    parser.set_defaults(
        command=run,
        interrupted="Interrupted. What was answered is kept; the same command goes on from there.",
    )


def run(arguments: argparse.Namespace) -> None:
    """Rate, keep, and print each rating as soon as it has come."""
    from app.jobs.rating.run import rate_study
    from app.settings import read_settings

    settings = read_settings()
    costs = costs_of(arguments)
    rated = rate_study(
        settings,
        arguments.study,
        endpoint_of(arguments),
        costs,
        rater=arguments.name,
        parallel=arguments.parallel,
        only_estimate=arguments.estimate,
    )
    if isinstance(rated, str):
        print(rated)
        return
    try:
        for rating in rated:
            print(line(rating), flush=True)
    finally:
        print(spent(costs))


def line(rating: RatingView) -> str:
    """An item with its rating, for the terminal; nothing tells whose it is."""
    from app.rendering.tokens import printable

    if rating.scores is None:
        return f"{rating.item[:8]}: no rating: {printable(rating.failure)}"
    return f"{rating.item[:8]}: {rating.scores.total} points: {printable(rating.interpretation)}"
