"""`featurescope toy`: the classic exercise, with a known answer."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.options import Commands
from app.errors import InvalidRequest

ARCHITECTURES = "topk,batchtopk,matryoshka,jumprelu,gated,standard"


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "toy", help="train on data whose true directions are known, and count those found"
    )
    parser.add_argument(
        "--size",
        choices=("small", "large"),
        default="small",
        help="32 directions in 8 dimensions, or 512 in 256 (default: %(default)s)",
    )
    parser.add_argument(
        "--architectures",
        default=ARCHITECTURES,
        metavar="NAMES",
        help="with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", default="0,1,2", metavar="NUMBERS", help="with commas between (default: 0,1,2)"
    )
    parser.add_argument(
        "--l0",
        type=float,
        default=2.0,
        metavar="NUMBER",
        help="latents active on a sample (default: 2)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write toy.json and toy.svg there, after each training",
    )
    parser.set_defaults(
        command=run,
        interrupted="Interrupted. With an --out, the same command goes on after the last line.",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train, compare and print; where a folder is given, write figures and a drawing."""
    from app.jobs.toy.report import report_toy

    try:
        seeds = [int(word) for word in arguments.seeds.split(",")]
    except ValueError:
        raise InvalidRequest(
            f"{arguments.seeds!r} is no list of seeds: give whole numbers such as 0,1,2."
        ) from None
    if wrong := [seed for seed in seeds if not 0 <= seed < 2**31]:
        raise InvalidRequest(f"Seeds are whole numbers from 0 to {2**31 - 1}, not {wrong[0]}.")
    names = [name.strip() for name in arguments.architectures.split(",")]
    report_toy(arguments.size, names, seeds, arguments.l0, arguments.out)
