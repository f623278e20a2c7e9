"""`featurescope import`: a dictionary without its model, or a whole store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from app.cli.options import Commands


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "import",
        help="take in a Neuronpedia or SAEDashboard export, or another store's bundle",
        description="A bundle made by `featurescope export --bundle` goes into an empty store, or "
        "adds its labels, comments and lists to those of a store that holds the same. A folder of "
        "batch-N.json (or of features/, activations/ and explanations/ in lines) becomes a "
        "dictionary that can be browsed without its model. A file of explanations in lines (.jsonl "
        "or .jsonl.gz) becomes labels of a dictionary that is here.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a bundle, a folder or a batch")
    parser.add_argument("--name", help="what the pages call the dictionary (default: as it says)")
    parser.add_argument("--model-name", help="what the pages call the model (default: as it says)")
    parser.add_argument("--hook-point", help="where the dictionary reads, if the export is silent")
    parser.add_argument(
        "--replace", action="store_true", help="let another import of the same name go"
    )
    parser.add_argument(
        "--to", metavar="MODEL/DICTIONARY", help="whose features a file of explanations is about"
    )
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="of a bundle take labels, comments and lists alone, into whatever store there is",
    )
    parser.set_defaults(
        command=run, interrupted="Interrupted. Give the same command again to go on."
    )


def run(arguments: argparse.Namespace) -> None:
    """Recognise the kind of file or folder and take it into the store."""
    from app.cli.targets import split_target
    from app.errors import InvalidRequest
    from app.exchange.delphi.files import is_delphi
    from app.exchange.delphi.read import import_delphi
    from app.exchange.neuronpedia.explanations import import_explanations
    from app.exchange.neuronpedia.files import find_export
    from app.exchange.neuronpedia.read import Names, import_export
    from app.rendering.addresses import dictionary_address
    from app.settings import read_settings
    from app.store.names import check_name
    from app.store.store import open_store
    from app.store.upkeep.bundle import import_bundle
    from app.store.upkeep.bundle_file import is_bundle
    from app.store.upkeep.holdings import holdings

    def say(text: str) -> None:
        print(f"{text} …", file=sys.stderr)

    for name in (arguments.name, arguments.model_name):
        if name is not None:
            check_name(name)
    settings = read_settings()
    if is_bundle(arguments.path):
        with open_store(settings) as store:
            manifest = import_bundle(store.engine, arguments.path, say, arguments.labels_only)
            written = holdings(store.engine).written
        if arguments.labels_only:
            print(
                f"The store holds {written.labels:,} labels, {written.comments:,} comments, "
                f"{written.lists:,} lists and {written.ratings:,} ratings now."
            )
            return
        print(f"The store holds {manifest.rows:,} rows now; content {manifest.content}")
        return
    if arguments.to is not None:
        with open_store(settings) as store:
            view = store.dictionary(*split_target(arguments.to))
            if is_delphi(arguments.path):
                count = import_delphi(store, view, arguments.path)
                print(f"{view.title}: explanations of {count:,} features, from delphi.")
                return
            taken = import_explanations(store, view, arguments.path)
        print(
            f"{view.title}: {taken.new:,} labels are new, {taken.known:,} were there already, "
            f"{taken.beyond:,} are of features that it does not have."
        )
        return
    files = find_export(arguments.path)
    if files is None:
        raise InvalidRequest(
            f"{arguments.path} is nothing that can be imported: a bundle, a folder with "
            "batch-N.json or features/batch-N.jsonl files, or, with --to, a file of explanations."
        )
    names = Names(arguments.model_name, arguments.name, arguments.hook_point)
    with open_store(settings) as store:
        view = import_export(store, files, names, arguments.replace, say)
    print(f"{view.title} is imported: {view.d_sae:,} features, {view.alive:,} of them alive.")
    for sentence in view.details["lacks"]:
        print(f"  not in the source: {sentence}")
    print(f"`featurescope serve` shows it at {dictionary_address(view.model, view.name)}")
