"""`featurescope report`: findings as one signed page and JSON that others can verify."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from app.cli.options import Commands

FINDINGS = {
    "feature": ("MODEL/DICTIONARY/12", "figures and contexts of a feature"),
    "label": ("MODEL/DICTIONARY/12", "what is said that a feature means"),
    "list": ("NAME", "the features of a list, by the name in its address"),
    "contrast": ("NAME", "what tells two sets of texts apart, with the texts"),
    "monitor": ("NAME", "what it reads, and the false-positive rate asked and observed"),
    "experiment": ("NAME", "what steering does on many prompts, with the value of each"),
    "graph": ("MODEL/NAME", "the strongest edges of an attribution graph"),
    "circuit": ("MODEL/NAME", "what a task's right answers are owed to"),
}
"""What can be chosen: the option's name, what it takes, and what it does."""


def _with(kind: str) -> Callable[[str], tuple[str, str]]:
    """What reads an option's value together with the kind that it is of."""
    return lambda name: (kind, name)


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "report",
        help="put findings into one signed page and JSON that others can verify",
        description="Each finding says what is claimed, its figures and texts, what made it, and "
        "the checksums of model, tokenizer, dictionary and text. `featurescope verify-report` "
        "holds the file against its signature and computes its figures again.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the files, without ending")
    for kind, (takes, does) in FINDINGS.items():
        parser.add_argument(
            f"--{kind}",
            dest="chosen",
            action="append",
            type=_with(kind),
            metavar=takes,
            help=f"{does}; several: repeat it",
        )
    parser.add_argument("--title", metavar="TEXT", help="of the report (default: NAME)")
    parser.add_argument("--note", default="", metavar="TEXT", help="what you say of it")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="folder for both files, or one that ends in .html or .json (default: here)",
    )
    parser.add_argument(
        "--key", action="store_true", help="print the public key that reports are signed with"
    )
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was written.")


def run(arguments: argparse.Namespace) -> None:
    """Write a report, or print the public key."""
    from app.errors import InvalidRequest
    from app.exchange.report.collection import collect, sign
    from app.exchange.report.files import report_paths, write_report
    from app.exchange.report.signing import open_key
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings()
    if arguments.key:
        key = open_key(settings.home)
        print(f"{key.pem}fingerprint {key.fingerprint}")
        return
    if arguments.name is None:
        raise InvalidRequest("Give the report a NAME, and findings such as --contrast NAME.")
    paths = report_paths(arguments.name, arguments.out)
    with open_store(settings, upgrade=False) as store:
        key = open_key(settings.home)
        title = arguments.name if arguments.title is None else arguments.title
        report = collect(store, arguments.chosen or [], title, arguments.note, key)
    write_report(sign(report, key), paths)
    print(f"{len(report.findings)} findings, signed with the key {key.fingerprint}:")
    for path in paths:
        print(f"  {path}")
