"""`featurescope harvest`: read a corpus and fill the store."""

from __future__ import annotations

import argparse

from app.cli.options import RESUME, Commands, add_dictionary, source_spec


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("harvest", help="read a corpus and fill the store")
    add_dictionary(parser)
    parser.add_argument(
        "--ablate",
        action="store_true",
        help="also compute the ablation effects of each feature's twenty strongest contexts",
    )
    parser.add_argument(
        "--no-rules", action="store_true", help="do not learn rules for the features"
    )
    parser.add_argument(
        "--no-phrases",
        action="store_true",
        help="do not keep text and firings, some 20 bytes a token, to search them by phrase",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="let another model or dictionary of the same name go",
    )
    parser.set_defaults(command=run, interrupted=RESUME)


def run(arguments: argparse.Namespace) -> None:
    """Harvest the dictionary and publish it in the store."""
    from app.jobs.harvest.harvest import harvest
    from app.settings import read_settings

    harvest(
        read_settings(device=arguments.device),
        source_spec(arguments),
        tokens=arguments.tokens,
        seed=arguments.seed,
        ablate_top=arguments.ablate,
        replace=arguments.replace,
        rules=not arguments.no_rules,
        phrases=not arguments.no_phrases,
    )
