"""`featurescope verify`: stored figures against the weights."""

from __future__ import annotations

import argparse

from app.cli.options import Commands, add_device, tokens, whole


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "verify", help="compute a sample of stored figures again from the weights, and compare"
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument(
        "--features", type=whole(1), default=32, help="how many to draw (default: %(default)s)"
    )
    parser.add_argument(
        "--corpus",
        metavar="TEXT",
        help="the harvested text, as harvest was given it: densities are counted again, too",
    )
    parser.add_argument(
        "--column", default="text", help="of .jsonl, .parquet, .arrow (default: %(default)s)"
    )
    parser.add_argument(
        "--tokens",
        type=tokens,
        default=16_384,
        help="how much of that text to count on, such as 40k (default: %(default)s)",
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted.")


def run(arguments: argparse.Namespace) -> None:
    """Verify and print one line for each kind of figure."""
    import sys

    from app.cli.targets import split_target
    from app.errors import StoreError
    from app.jobs.harvested.verify import verify
    from app.settings import read_settings

    model, dictionary = split_target(arguments.target)
    result = verify(
        read_settings(device=arguments.device),
        model,
        dictionary,
        arguments.features,
        arguments.seed,
        arguments.corpus,
        arguments.column,
        arguments.tokens,
        say=lambda text: print(f"{text} …", file=sys.stderr),
    )
    for check in result.checks:
        verdict = "as stored" if check.differ == 0 else f"{check.differ:,} DIFFER"
        worst = f", most at {check.where}: {100 * check.largest:.2g} %" if check.where else ""
        print(f"{verdict:>12}  {check.what} ({check.compared:,} compared{worst})")
    if result.differ:
        raise StoreError(
            f"{result.title}: {result.differ:,} stored figures are not what its weights give. "
            "Harvest it again with --replace, or restore the store from a copy."
        )
    print(f"{result.title}: {len(result.features)} features are what their weights give.")
