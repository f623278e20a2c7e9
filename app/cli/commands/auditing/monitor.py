"""`featurescope monitor`: an alarm with a false-positive rate that is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.commands.auditing.contrast import AS_JSON, read_lines, share
from app.cli.options import Commands, add_device, features, whole

if TYPE_CHECKING:
    from app.jobs.audit.monitor import MonitorSpec
    from app.store.store import Store
    from app.store.written.audit.contrasts.records import TextSet
    from app.store.written.audit.monitors.records import MonitorView

_POOLINGS = ("max", "mean", "last")


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "monitor",
        help="make an alarm of features, a list or a contrast, with a known false-positive rate",
        description="Chooses a threshold for the rate that is asked for on half of a corpus's "
        "documents, and states on the other half what the rate is, with an exact interval. Its "
        "page is /monitors/NAME; `featurescope watch NAME` watches a stream of texts.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--feature", type=features, metavar="N", help="features to watch, such as 12 or 3,17,40-49"
    )
    which.add_argument("--list", metavar="NAME", help="those of a list that are of this dictionary")
    which.add_argument("--contrast", metavar="NAME", help="what tells a contrast's sets apart")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="with --contrast: a linear probe on the raw activation, not its features",
    )
    parser.add_argument("--name", metavar="NAME", help="what it is called (default: as its source)")
    parser.add_argument(
        "--rate",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="wanted false-positive rate (default: 0.01)",
    )
    parser.add_argument(
        "--pooling",
        choices=_POOLINGS,
        help="over a text's tokens (default: mean for a probe, as the contrast's best feature for "
        "its features, else max)",
    )
    parser.add_argument(
        "--corpus", metavar="TEXT", help="text that the rate is of (default: the harvest's)"
    )
    parser.add_argument(
        "--context",
        type=whole(2),
        metavar="N",
        help="tokens in a text at most (default: as it was harvested)",
    )
    parser.add_argument(
        "--texts",
        type=whole(1, 1_000_000),
        default=4_000,
        metavar="N",
        help="how many texts are read at most (default: 4000)",
    )
    parser.add_argument(
        "--positives",
        type=Path,
        metavar="FILE",
        help='texts that should raise the alarm: one a line, or JSON lines with "text"',
    )
    parser.add_argument(
        "--negatives", type=Path, metavar="FILE", help="texts that should not, likewise"
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=0, metavar="N", help="of texts and halves"
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was kept.")


def run(arguments: argparse.Namespace) -> None:
    """Make a monitor and print what can be promised of it."""
    from app.jobs.audit.monitor import make_monitor
    from app.rendering.addresses import monitor_address
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device)
    with open_store(settings) as store:
        view = make_monitor(settings, store, _spec(store, arguments))
        _say(store, view)
    print(f"Its page is {monitor_address(view.name)} of `featurescope serve`.")
    print(f"It watches a stream with `featurescope watch {view.name}`.")


def _say(store: Store, view: MonitorView) -> None:
    """What the monitor promises, in the terminal."""
    from app.pages.audit.monitors.view import monitor_page

    page = monitor_page(view, store)
    print(page.watches)
    print(page.promise)
    for sentence in page.labelled:
        print(sentence)


def _spec(store: Store, arguments: argparse.Namespace) -> MonitorSpec:
    from app.cli.targets import split_target
    from app.jobs.audit.monitor import MonitorSource, MonitorSpec
    from sae_core.audit.monitors.monitor import LevelPooling

    dictionary = store.dictionary(*split_target(arguments.target))
    source = MonitorSource(
        tuple(arguments.feature or ()),
        arguments.list or "",
        arguments.contrast or "",
        arguments.probe,
    )
    named = source.list or source.contrast
    named = named or "features " + ", ".join(map(str, source.features[:6]))
    return MonitorSpec(
        dictionary=dictionary,
        title=arguments.name or named,
        source=source,
        rate=arguments.rate,
        corpus=arguments.corpus,
        n_ctx=arguments.context,
        texts=arguments.texts,
        pooling=LevelPooling(arguments.pooling) if arguments.pooling else None,
        positives=_texts(arguments.positives),
        negatives=_texts(arguments.negatives),
        seed=arguments.seed,
    )


def _texts(path: Path | None) -> TextSet | None:
    from app.jobs.audit.contrast import read_texts

    if path is None:
        return None
    return read_texts(read_lines(path), path.stem, path.suffix.lower() in AS_JSON)
