"""Figures of a report beside the same ones computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.exchange.report.document import Path, leaves


class FigureVerdict(StrEnum):
    """What came of a figure."""

    EQUAL = "equal"
    DIFFERS = "differs"
    UNKNOWN = "cannot be recomputed here"


@dataclass(frozen=True)
class NearFigure:
    """A figure computed again, which may be a little off.

    Attributes:
        value: as it is here.
        within: how far off it may be.
        why: it may be, in words.
    """

    value: float
    within: float
    why: str


@dataclass(frozen=True)
class NotHere:
    """A figure, or all figures below a path, that cannot be computed here; `reason` says why."""

    reason: str


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of a report and what became of it.

    Attributes:
        path: of the figure in its finding's `found`.
        verdict: what came of it.
        reported: its value in the report; None: it has none there.
        here: its value here; None: there is none, or it is not known.
        reason: the tolerance and why, or why it cannot be known here.
    """

    path: Path
    verdict: FigureVerdict
    reported: Any
    here: Any
    reason: str


def compare(reported: Any, here: Any, path: Path = ()) -> Iterator[ComparedFigure]:
    """Leaf by leaf: what a report says, and what came out here, with `NearFigure` where it may be
    off and `NotHere` where it is not known. Numbers without a tolerance are the same or differ."""
    if isinstance(here, NotHere):
        for below, value in leaves(reported, path):
            yield ComparedFigure(below, FigureVerdict.UNKNOWN, value, None, here.reason)
    elif isinstance(here, dict) and isinstance(reported, dict):
        for key in sorted(here.keys() | reported.keys()):
            yield from _both(reported, here, key in reported, key in here, (*path, key))
    elif isinstance(here, list | tuple) and isinstance(reported, list | tuple):
        for place in range(max(len(here), len(reported))):
            there = place < len(reported), place < len(here)
            yield from _both(reported, here, *there, (*path, place))
    elif isinstance(here, NearFigure):
        yield _near(reported, here, path)
    else:
        same = reported == here and isinstance(reported, bool) == isinstance(here, bool)
        verdict = FigureVerdict.EQUAL if same else FigureVerdict.DIFFERS
        yield ComparedFigure(path, verdict, reported, here, "has to be the same")


def _both(
    reported: Any, here: Any, in_report: bool, is_here: bool, path: Path
) -> Iterator[ComparedFigure]:
    key = path[-1]
    if in_report and is_here:
        yield from compare(reported[key], here[key], path)
    elif in_report:
        for below, value in leaves(reported[key], path):
            yield ComparedFigure(
                below, FigureVerdict.DIFFERS, value, None, "there is no such figure here"
            )
    else:
        yield ComparedFigure(
            path, FigureVerdict.DIFFERS, None, _plain(here[key]), "the report lacks it"
        )


def _near(reported: Any, here: NearFigure, path: Path) -> ComparedFigure:
    number = isinstance(reported, int | float) and not isinstance(reported, bool)
    same = number and abs(reported - here.value) <= here.within
    return ComparedFigure(
        path,
        FigureVerdict.EQUAL if same else FigureVerdict.DIFFERS,
        reported,
        here.value,
        f"may be off by {here.within:.2g}: {here.why}",
    )


def _plain(value: Any) -> Any:
    """A value for a sentence, without its tolerance."""
    return value.value if isinstance(value, NearFigure) else value
