"""Figures of a report computed again from another store, all of them or some drawn at random."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tqdm import tqdm

from app.errors import FeaturescopeError
from app.exchange.report.bench import CannotRecompute, RecomputingBench
from app.exchange.report.comparison import ComparedFigure, FigureVerdict, NotHere, compare
from app.exchange.report.document import Path, leaves
from app.exchange.report.files import ReportFile
from app.exchange.report.findings.kinds import kind_of
from app.exchange.report.schema import DictionaryFacts

Place = tuple[int, Path]
"""Number of a finding from 0, and a path in its `found`; -1 and a path in `dictionaries`."""
WEIGHTS = -1
_NAMES = ("model", "name")


@dataclass(frozen=True)
class VerifiedReport:
    """What came of a report's figures.

    Attributes:
        figures: those that were drawn, each with its finding's number from 0, or `WEIGHTS`.
        total: how many there are to draw from.
        stated: texts and numbers that people state, which nothing can recompute.
    """

    figures: tuple[tuple[int, ComparedFigure], ...]
    total: int
    stated: int

    def of(self, verdict: FigureVerdict) -> list[tuple[int, ComparedFigure]]:
        """The figures with one verdict."""
        return [one for one in self.figures if one[1].verdict == verdict]


def verify_figures(
    file: ReportFile, bench: RecomputingBench, sample: int | None, seed: int
) -> VerifiedReport:
    """Compute figures again, with a bar, finding after finding.

    Checksums and sizes of dictionaries and texts are all compared. A finding is computed as a
    whole once one of its figures is drawn.

    Args:
        file: as read.
        bench: another store, to compute with.
        sample: how many figures are drawn; None: all.
        seed: of the draw.
    """
    every = _places(file)
    chosen = set(every if sample is None else _drawn(every, sample, seed))
    figures = [(WEIGHTS, figure) for figure in _weights(file, bench)]
    touched = sorted({finding for finding, _ in chosen})
    for number in tqdm(touched, desc="recomputing", unit="findings", disable=len(touched) < 2):
        figures += [
            (number, figure)
            for figure in _again(file, number, bench)
            if (number, figure.path) in chosen
            # What the report lacks is nothing that could be drawn.
            or (figure.reported is None and figure.verdict is not FigureVerdict.EQUAL)
        ]
    stated = sum(len([*leaves(raw.stated)]) for raw in file.report.findings)
    return VerifiedReport(tuple(figures), len(every), stated)


def _places(file: ReportFile) -> list[Place]:
    return [
        (number, path)
        for number, raw in enumerate(file.report.findings)
        for path, _ in leaves(raw.found)
    ]


def _drawn(places: Sequence[Place], sample: int, seed: int) -> list[Place]:
    """Some places: of every finding about as many, and in it of every kind of figure: a context has
    a hundred tokens, and a feature one density."""
    draw = random.Random(seed)  # noqa: S311
    piles: dict[int, dict[tuple[Any, ...], list[Place]]] = defaultdict(lambda: defaultdict(list))
    for number, path in places:
        kind = tuple(step if isinstance(step, str) else "*" for step in path[:3])
        piles[number][kind].append((number, path))
    for own in piles.values():
        for pile in own.values():
            draw.shuffle(pile)
    return _in_turn([_in_turn([*own.values()], draw) for own in piles.values()], draw)[:sample]


def _in_turn(piles: list[list[Place]], draw: random.Random) -> list[Place]:
    """One of each pile, then another of each, and so on; piles in the order drawn."""
    draw.shuffle(piles)
    rounds = zip_longest(*piles)
    return [place for one in rounds for place in one if place is not None]


def _weights(file: ReportFile, bench: RecomputingBench) -> Iterator[ComparedFigure]:
    """Checksums, sizes and texts against the store's; names may be others there."""
    for place, facts in enumerate(file.report.dictionaries):
        reported = _unnamed(facts)
        yield from compare(reported, _weights_here(facts, bench), (place,))


def _weights_here(facts: DictionaryFacts, bench: RecomputingBench) -> Any:
    try:
        there = bench.facts_here(facts)
    except CannotRecompute as error:
        return NotHere(str(error))
    here = _unnamed(there)
    if facts.text is None or there.text is None:
        here["text"] = NotHere(f"nothing was harvested of {facts.title} on one of the two sides")
    elif facts.text.fingerprint != there.text.fingerprint:
        here["text"] = NotHere(f"{facts.title} was harvested here on another text")
    return here


def _unnamed(facts: DictionaryFacts) -> dict[str, Any]:
    value = facts.model_dump(mode="json")
    return {name: inside for name, inside in value.items() if name not in _NAMES}


def _again(file: ReportFile, number: int, bench: RecomputingBench) -> Iterator[ComparedFigure]:
    raw = file.report.findings[number]
    here: Any
    try:
        here = kind_of(raw).recompute(file.findings[number], bench)
    except FeaturescopeError as error:
        here = NotHere(str(error).rstrip("."))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Whoever signs can ask for what no model takes: positions or tokens that are none.
        here = NotHere(f"it asks for what cannot be computed: {str(error)[:200]}")
    yield from compare(raw.found, here)
