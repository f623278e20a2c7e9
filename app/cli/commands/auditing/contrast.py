"""`featurescope contrast`: what tells two sets of texts apart, and whether a feature is needed."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, whole

if TYPE_CHECKING:
    from app.jobs.audit.contrast import ContrastSpec
    from app.store.store import Store
    from app.store.written.audit.contrasts.records import ContrastView, TextSet

_LARGEST = 16 * 2**20  # bytes of a file
_SHOWN = 10  # features in the terminal
AS_JSON = (".jsonl", ".ndjson", ".json")
_EXAMPLES = (
    "polite-rude",
    "question-statement",
    "code-prose",
    "deception-honesty",
    "sycophancy-disagreement",
)


def share(word: str) -> float:
    """Reads a number between 0 and 1."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number between 0 and 1")
    return number


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "contrast",
        help="find the features that tell two sets of texts apart, beside a linear probe",
        description="Tests on half of the texts every feature that fires on enough of them, "
        "corrected for all tests together, looks at the best on the other half, and asks a linear "
        "probe on the raw activation the same. Its page is /contrast/NAME.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument(
        "sets",
        nargs="*",
        metavar="FIRST SECOND",
        help='two files: one text a line, or JSON lines with "text" where the name ends in '
        '.jsonl; texts of one "group" stay in one half',
    )
    parser.add_argument("--example", choices=_EXAMPLES, help="sets of our own writing instead")
    parser.add_argument("--name", metavar="NAME", help="what it is called (default: as the sets)")
    parser.add_argument(
        "--q",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of false discoveries that is allowed (default: 0.05)",
    )
    parser.add_argument(
        "--features",
        type=whole(1, 500),
        default=50,
        metavar="N",
        help="how many are looked at on the held-out texts (default: 50)",
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=0, metavar="N", help="of the halves"
    )
    parser.add_argument(
        "--list", metavar="NAME", help="put the features that tell the sets apart into this list"
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was kept.")


def run(arguments: argparse.Namespace) -> None:
    """Contrast two sets, print what tells them apart, and fill a list."""
    from app.jobs.audit.contrast import find_contrast, keep_list
    from app.rendering.addresses import contrast_address, list_address
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device)
    with open_store(settings) as store:
        spec = _spec(store, arguments)
        view = find_contrast(store, spec, settings.device, settings.worker_threads)
        _say(view)
        if arguments.list is not None:
            kept = keep_list(store, view, spec.dictionary, arguments.list)
            print(f"The list {list_address(kept.name)} has those that tell the sets apart.")
        print(f"Its page is {contrast_address(view.name)} of `featurescope serve`.")


def _spec(store: Store, arguments: argparse.Namespace) -> ContrastSpec:
    from app.cli.targets import split_target
    from app.jobs.audit.contrast import ContrastSpec

    dictionary = store.dictionary(*split_target(arguments.target))
    first, second = _sets(arguments)
    return ContrastSpec(
        dictionary=dictionary,
        title=arguments.name or arguments.example or f"{first.name} against {second.name}",
        first=first,
        second=second,
        wanted_q=arguments.q,
        most=arguments.features,
        seed=arguments.seed,
    )


def _sets(arguments: argparse.Namespace) -> tuple[TextSet, TextSet]:
    from app.errors import InvalidRequest
    from app.jobs.audit.contrast import read_texts
    from app.store.written.audit.contrasts.records import TextSet
    from sae_core.audit.contrast.written import written_sets

    if (arguments.example is None) != (len(arguments.sets) == 2) or len(arguments.sets) > 2:
        raise InvalidRequest("Give two files of texts, FIRST and SECOND, or --example.")
    if arguments.example is None:
        read = [
            read_texts(read_lines(path), path.stem, path.suffix.lower() in AS_JSON)
            for path in map(Path, arguments.sets)
        ]
    else:
        names = arguments.example.split("-")
        read = [
            TextSet(name, own.texts, own.forms)
            for name, own in zip(names, written_sets(arguments.example), strict=True)
        ]
    return read[0], read[1]


def read_lines(path: Path) -> list[str]:
    """The lines of a file of texts.

    Raises:
        InvalidRequest: it is too large, or cannot be read as text.
    """
    from app.errors import InvalidRequest

    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidRequest(f"A file of texts has at most {_LARGEST // 2**20} MiB.")
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read as text: {error}.") from error


def _say(view: ContrastView) -> None:
    """What tells the sets apart, in the terminal."""
    from app.pages.audit.contrast.view import contrast_page

    page = contrast_page(view)
    print(page.summary)
    for row in page.features[:_SHOWN]:
        print(f"  {row.sentence}")
    print(page.beside)
