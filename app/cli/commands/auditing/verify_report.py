"""`featurescope verify-report`: a report against its signature, and its figures computed again."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.options import Commands, add_device, whole

if TYPE_CHECKING:
    from app.exchange.report.comparison import ComparedFigure
    from app.exchange.report.files import ReportFile
    from app.exchange.report.verification import VerifiedReport

_SHOWN = 20  # figures in the terminal


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "verify-report",
        help="hold a report against its signature, and compute its figures again",
        description="The exit code is 0 where all is as it says, 1 where a figure comes out "
        "otherwise, 2 where it cannot be told: no report, a signature that does not fit, other "
        "weights.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the page or the JSON")
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="who has to have signed: a fingerprint, or a file with a public key",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="database to compute with, such as sqlite:////home/me/featurescope.db (default: as "
        "set by FEATURESCOPE_HOME)",
    )
    how_many = parser.add_mutually_exclusive_group()
    how_many.add_argument(
        "--sample",
        type=whole(0),
        default=100,
        metavar="N",
        help="figures that are drawn and computed again (default: %(default)s); 0: none",
    )
    how_many.add_argument("--all", action="store_true", help="compute all of them again")
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=0, metavar="N", help="of the draw"
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was changed.")


def run(arguments: argparse.Namespace) -> None:
    """Verify, and say what came of it."""
    from app.exchange.report.files import read_report

    file = read_report(arguments.file)
    _say_signed(file, arguments.key)
    for doubt in file.doubts:
        print(f"DOUBT: {doubt}")
    if arguments.sample or arguments.all:
        _recompute(file, arguments)
    else:
        print("Nothing was computed again.")
    _judge_doubts(file)


def _say_signed(file: ReportFile, key: str | None) -> None:
    from app.exchange.report.document import ReportError
    from app.exchange.report.signing import given_fingerprint
    from app.rendering.tokens import printable

    report = file.report
    own = report.key.fingerprint
    print(f"“{printable(report.title)}”, {len(report.findings)} findings, {report.made}")
    if key is None:
        print(
            f"Unchanged since it was signed by the key {own}; not compared with a key that you "
            "gave: anybody can sign. Ask whoever sent it for the fingerprint, and give it as --key."
        )
    elif given_fingerprint(key) == own:
        print(f"Unchanged since it was signed by the key that you gave, {own}.")
    else:
        raise ReportError(
            f"It was signed by the key {own}, not by the one that you gave: somebody else made or "
            "changed it."
        )
    code = report.code
    same = "the source that runs here" if file.same_code else "another source than runs here"
    print(f"Made by Featurescope {printable(code.version)}, {same} ({code.source[:12]}…).")


def _recompute(file: ReportFile, arguments: argparse.Namespace) -> None:
    from app.exchange.report.bench import RecomputingBench
    from app.exchange.report.comparison import FigureVerdict
    from app.exchange.report.document import ReportDiffers, ReportError
    from app.exchange.report.verification import verify_figures
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device, database_url=arguments.store)
    with open_store(settings, upgrade=False) as store:
        bench = RecomputingBench(store, settings.device)
        sample = None if arguments.all else arguments.sample
        made = verify_figures(file, bench, sample, arguments.seed)
    _say_figures(made)
    if differ := made.of(FigureVerdict.DIFFERS):
        raise ReportDiffers(
            f"{len(differ):,} of {len(made.figures):,} figures come out otherwise than the report "
            "says."
        )
    if unknown := made.of(FigureVerdict.UNKNOWN):
        raise ReportError(
            f"{len(unknown):,} of {len(made.figures):,} figures cannot be computed again here; the "
            "others are as the report says."
        )
    print(f"All {len(made.figures):,} figures are as the report says.")


def _say_figures(made: VerifiedReport) -> None:
    from app.exchange.report.comparison import FigureVerdict

    drawn = len([1 for number, _ in made.figures if number >= 0])
    print(
        f"{drawn:,} of {made.total:,} figures of findings were computed again, "
        f"{len(made.figures) - drawn:,} facts of weights and texts compared:"
    )
    for verdict in FigureVerdict:
        print(f"{len(made.of(verdict)):>10,}  {verdict}")
    differ = made.of(FigureVerdict.DIFFERS)
    for number, figure in differ[:_SHOWN]:
        print(f"  {_place(number, figure)}: {_told(figure)} ({figure.reason})")
    if len(differ) > _SHOWN:
        print(f"  and {len(differ) - _SHOWN:,} more")
    reasons = Counter(figure.reason for _, figure in made.of(FigureVerdict.UNKNOWN))
    for reason, count in reasons.most_common(_SHOWN):
        print(f"  {count:,} cannot be computed again: {reason}")
    print(
        f"Title, note and {made.stated:,} labels, names and notes are what people say: the "
        "signature holds them, no computation does."
    )


def _place(number: int, figure: ComparedFigure) -> str:
    from app.rendering.tokens import printable

    where = "weights and texts" if number < 0 else f"finding {number + 1}"
    return printable(f"{where}, {' / '.join(map(str, figure.path))}"[:300])


def _told(figure: ComparedFigure) -> str:
    return f"{_short(figure.reported)} in the report, {_short(figure.here)} here"


def _short(value: Any) -> str:
    from app.rendering.tokens import printable

    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value)[:80])


def _judge_doubts(file: ReportFile) -> None:
    from app.exchange.report.document import ReportError

    if file.doubts:
        raise ReportError(f"The figures are signed, but {len(file.doubts)} doubts remain.")
