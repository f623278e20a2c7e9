"""`featurescope export`: a dictionary, some features, or the whole store, for elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import Commands, features

if TYPE_CHECKING:
    from app.store.store import Store

FORMATS = ("neuronpedia", "html", "saelens", "delphi", "explanations")


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "export",
        help="write a dictionary, some features or the whole store for use elsewhere",
        description="neuronpedia: a folder of batch-N.json as SAEDashboard writes it. html: some "
        "features in one file that needs neither server nor network. saelens: the weights as a "
        "folder that SAELens opens. delphi: labels of `featurescope explain` with their scores, as "
        "delphi keeps them. explanations: all labels in one file (.jsonl or .jsonl.gz), as "
        "Neuronpedia exports them. --bundle: the whole store in one file, for `featurescope "
        "import` on any database.",
    )
    parser.add_argument(
        "target", nargs="?", metavar="MODEL/DICTIONARY", help="as the pages name them"
    )
    parser.add_argument("--format", choices=FORMATS, help="of the dictionary or its features")
    parser.add_argument("--out", type=Path, metavar="PATH", help="folder or file to write")
    parser.add_argument(
        "--features", type=features, metavar="LIST", help="for html: which ones, as 3,17,40-49"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="the whole store instead")
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was written.")


def run(arguments: argparse.Namespace) -> None:
    """Write the dictionary, the features or the whole store."""
    from app.rendering.numbers import size
    from app.settings import read_settings
    from app.store.store import open_store
    from app.store.upkeep.bundle import export_bundle

    _check(arguments)
    with open_store(read_settings(), upgrade=False) as store:
        if arguments.bundle is None:
            _dictionary(store, arguments)
            return
        manifest = export_bundle(store.engine, arguments.bundle)
    print(
        f"{arguments.bundle}: {manifest.rows:,} rows in {len(manifest.parts):,} parts, "
        f"{size(arguments.bundle.stat().st_size)}; content {manifest.content}"
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that contradict each other or are missing."""
    from app.errors import InvalidRequest

    single = (arguments.target, arguments.format, arguments.out)
    if arguments.bundle is not None:
        if any(part is not None for part in (*single, arguments.features)):
            raise InvalidRequest(
                "--bundle takes the whole store: give it alone, or MODEL/DICTIONARY with --format "
                "and --out."
            )
    elif None in single:
        raise InvalidRequest(
            "Give MODEL/DICTIONARY with --format and --out, or --bundle FILE for the whole store."
        )
    elif (arguments.format == "html") != (arguments.features is not None):
        raise InvalidRequest(
            "--features goes with --format html: which features shall the file hold?"
        )


def _dictionary(store: Store, arguments: argparse.Namespace) -> None:
    from app.cli.targets import split_target
    from app.rendering.numbers import size

    out = arguments.out
    view = store.dictionary(*split_target(arguments.target))
    if arguments.format == "saelens":
        from app.exchange.saelens import export_weights

        export_weights(view, out)
        print(f"{out}: the weights of {view.title}, SHA-256 {view.checksum}")
    elif arguments.format == "html":
        from app.exchange.html.write import export_html

        n_bytes = export_html(store, view, arguments.features, out)
        count = len(set(arguments.features))
        print(f"{out}: {count:,} features, {size(n_bytes)}, {size(n_bytes // count)} each")
    elif arguments.format == "delphi":
        from app.exchange.delphi.write import write_delphi

        count = write_delphi(view, store.explanations.of(view), out)
        print(f"{out}: explanations of {count:,} features of {view.title}")
    elif arguments.format == "explanations":
        from app.exchange.neuronpedia.explanations import export_explanations

        count = export_explanations(store, view, out)
        print(f"{out}: {count:,} labels of {view.title}")
    else:
        from app.exchange.neuronpedia.write import export_dictionary

        export_dictionary(
            store,
            view,
            out,
            say=lambda n: print(f"\r{n:,} of {view.d_sae:,}", end="", file=sys.stderr),
        )
        print(file=sys.stderr)
        print(f"{out}: {view.d_sae:,} features of {view.title}")
