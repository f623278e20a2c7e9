"""A dictionary's evaluation, worked out for its page: rows, plots, sentences and the command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup

from app.pages.dictionary.evaluation_command import evaluation_command
from app.pages.dictionary.evaluation_rows import Row, rows
from app.rendering.charts.histograms import LARGE, chart
from app.rendering.charts.plots import Axis, Line, Mark, plot, swatch
from app.rendering.markup import trusted
from app.rendering.numbers import number, percent, quotient
from app.store.types.catalogue import DictionaryView
from app.store.types.evaluation import StoredEvaluation, stored_evaluation
from sae_core.evaluation.figures import BandEffects, BucketCounts, EvaluationDetails
from sae_core.harvest.records import N_BANDS, Histogram

WEAK_BANDS = 5


@dataclass(frozen=True)
class Figure:
    """A plot with its words.

    Attributes:
        name: its heading.
        unit: what it counts, beside the heading.
        svg: the plot.
        key: what its lines are: a small picture and a name for each.
        reading: how to read it, one sentence.
        finding: what it says of this dictionary.
    """

    name: str
    unit: str
    svg: Markup
    key: tuple[tuple[Markup, str], ...]
    reading: str
    finding: str


@dataclass(frozen=True)
class BandRow:
    """An activation band in the table.

    Attributes:
        name: such as `10/11 to 11/11`.
        firings: its share of all firings, as written.
        activation: its share of the sum of all activations.
        share: of the loss effect.
        interval: its 95 % interval; empty: there is none.
    """

    name: str
    firings: str
    activation: str
    share: str
    interval: str


class EvaluationPage:
    """What the evaluation page of a dictionary shows.

    Args:
        dictionary: the dictionary.
    """

    def __init__(self, dictionary: DictionaryView) -> None:
        self.dictionary = dictionary
        self.noun = "neuron" if dictionary.is_neurons else "feature"

    @cached_property
    def evaluation(self) -> StoredEvaluation | None:
        """The figures; None: it has not been evaluated."""
        return stored_evaluation(self.dictionary.evaluation)

    @property
    def details(self) -> EvaluationDetails | None:
        """What is more than a number."""
        return self.evaluation.details if self.evaluation else None

    @property
    def resampled(self) -> bool:
        """Whether its intervals are an older version's, from documents drawn anew."""
        details = self.details
        return bool(details and details.intervals and details.interval_method is None)

    @property
    def rows(self) -> list[Row]:
        """The figures that are one number each."""
        return rows(self.evaluation) if self.evaluation else []

    @property
    def command(self) -> str:
        """What computes all of it again and keeps it."""
        return evaluation_command(self.dictionary, self.evaluation)

    @cached_property
    def figures(self) -> list[Figure]:
        """The plots, in order."""
        if not (details := self.details):
            return []
        figures = [self._positions(details), self._active(details), self._densities(details)]
        if details.bands and details.bands.shares[0] is not None:
            figures.insert(0, self._bands(details.bands))
        if details.decoder:
            figures += [self._cosines(details), self._nearest(details)]
        return figures

    @property
    def bands(self) -> list[BandRow]:
        """The activation bands, the strongest first."""
        if not (self.details and (bands := self.details.bands)):
            return []
        total = max(1, sum(bands.firings))
        return [
            BandRow(
                f"{b}/{N_BANDS} to {b + 1}/{N_BANDS}",
                percent(bands.firings[b] / total),
                percent(bands.activation[b]),
                quotient(bands.shares[b]),
                _ends(bands.intervals[b]),
            )
            for b in reversed(range(N_BANDS))
        ]

    def _bands(self, bands: BandEffects) -> Figure:
        total = sum(bands.firings)
        middles = [(b + 0.5) / N_BANDS for b in range(N_BANDS)]
        shares = [
            (middle, 100 * (s or 0.0)) for middle, s in zip(middles, bands.shares, strict=True)
        ]
        firings = [(m, 100 * f / total) for m, f in zip(middles, bands.firings, strict=True)]
        whiskers = [
            Line(f"95 % interval: {_ends(ends)}", 0, [(m, 100 * end) for end in ends], faint=True)
            for m, ends in zip(middles, bands.intervals, strict=True)
            if ends
        ]
        marks = [
            Mark(f"band {b}: {quotient(bands.shares[b])} of the loss effect", 0, *at)
            for b, at in enumerate(shares)
        ]
        held = sum(bands.firings[:WEAK_BANDS]) / total
        carried = sum(s or 0.0 for s in bands.shares[:WEAK_BANDS])
        return Figure(
            "Do low activations matter?",
            "share of the loss effect by activation",
            trusted(
                plot(
                    "Share of the loss effect and of the firings in each activation band; the "
                    "table below holds the figures",
                    Axis("activation, as a share of the " + self.noun + "'s maximum"),
                    Axis("per cent"),
                    [
                        *whiskers,
                        Line("share of the loss effect", 0, shares),
                        Line("share of the firings", 1, firings),
                    ],
                    marks,
                )
            ),
            (_key(0, "loss effect"), _key(1, "firings")),
            "Bands are taken out of the reconstruction one after another, the weakest first; a "
            "band's share is how much the loss rises when it goes, of the rise when all are gone.",
            f"Activations up to {WEAK_BANDS}/{N_BANDS} of the maximum are {percent(held)} of the "
            f"firings and carry {quotient(carried)} of the loss effect.",
        )

    def _positions(self, details: EvaluationDetails) -> Figure:
        fit = details.positions
        at = [start + (fit.width - 1) / 2 for start in fit.starts]
        lines = [Line("FVU", 0, list(zip(at, fit.fvu, strict=True)))]
        for end, name in ((0, "lower"), (1, "upper")):
            ends = [i[end] if i else math.nan for i in fit.intervals]
            lines.append(
                Line(f"{name} end of the 95 % interval", 7, list(zip(at, ends, strict=True)), True)
            )
        low, high = number(min(fit.fvu)), number(max(fit.fvu))
        later = number(float(np.median(fit.fvu[len(fit.fvu) // 2 :])))
        return Figure(
            "Fit by position",
            "FVU",
            trusted(
                plot(
                    f"FVU by position in the window, from {low} to {high}",
                    Axis("position in the window, tokens"),
                    Axis("FVU"),
                    lines,
                )
            ),
            (_key(0, "FVU"), _key(7, "95 % interval")),
            "A level line means that the dictionary reads the start of a text as well as its "
            "middle; higher is worse.",
            f"{number(fit.fvu[0])} where text begins, {later} in the second half of the window"
            + (f"; positions in groups of {fit.width}." if fit.width > 1 else "."),
        )

    def _active(self, details: EvaluationDetails) -> Figure:
        active = details.active
        fifth, _, median, _, last = active.quantiles
        return Figure(
            "Active " + self.noun + "s on a token",
            "L0",
            _chart(
                active.counts,
                f"Tokens by number of active {self.noun}s",
                f"active {self.noun}s on a token",
                "tokens",
                whole=True,
            ),
            (),
            "One bar means that every token is given the same number; a long right tail, that some "
            "tokens need many.",
            f"Median {median}; nine in ten tokens lie between {fifth} and {last}.",
        )

    def _densities(self, details: EvaluationDetails) -> Figure:
        counts = details.densities.counts
        alive = sum(counts.counts)
        return Figure(
            "How often " + self.noun + "s fire",
            "density",
            _chart(
                counts,
                f"{self.noun.capitalize()}s by density",
                "log10 of the share of tokens on which it fires",
                self.noun + "s",
                powers=True,
            ),
            (),
            f"−2 is one token in a hundred; {self.noun}s near 0 fire on almost every token and "
            "seldom mean one thing, those far left were seen too seldom to tell.",
            f"{alive:,} {self.noun}s fire; {details.densities.dead:,} do not fire on this text.",
        )

    def _cosines(self, details: EvaluationDetails) -> Figure:
        decoder = details.decoder
        assert decoder is not None
        expected = decoder.random.cosines if decoder.random else ()
        return Figure(
            "Are " + self.noun + "s almost orthogonal?",
            "cosines of all pairs",
            trusted(
                plot(
                    f"Pairs of {self.noun}s by the cosine of their decoder rows",
                    Axis("cosine of two decoder rows", zero=False),
                    Axis("pairs, log scale", log=True),
                    _beside_random(decoder.cosines, expected),
                )
            ),
            (_key(0, "this dictionary"), _key(1, "random directions")),
            "Where the curve is wider than that of random directions, "
            f"{self.noun}s share directions; 0 is orthogonal, 1 the same direction.",
            f"Root mean square {number(decoder.root_mean_square, 4)}; random directions in "
            f"{decoder.d_in:,} dimensions: {number(decoder.d_in**-0.5, 4)}.",
        )

    def _nearest(self, details: EvaluationDetails) -> Figure:
        decoder = details.decoder
        assert decoder is not None
        random = decoder.random
        median = decoder.nearest_quantiles[2]
        return Figure(
            "Nearest neighbours",
            f"cosine with the nearest other {self.noun}",
            trusted(
                plot(
                    f"{self.noun.capitalize()}s by cosine with the nearest other one",
                    Axis(f"cosine with the nearest other {self.noun}", zero=False),
                    Axis(self.noun + "s"),
                    _beside_random(decoder.nearest, random.nearest if random else ()),
                )
            ),
            (_key(0, "this dictionary"), _key(1, "random directions")),
            f"{self.noun.capitalize()}s at the far right have a near double; a hump right of "
            "random directions means families that point similar ways.",
            f"Median {number(median, 3)}"
            + (f"; of random directions: {number(random.nearest_median, 3)}." if random else "."),
        )


def _chart(
    counts: BucketCounts,
    title: str,
    x_title: str,
    y_title: str,
    whole: bool = False,
    powers: bool = False,
) -> Markup:
    histogram = Histogram(counts.low, counts.high, np.array(counts.counts, dtype=np.int64))
    return trusted(chart(histogram, title, x_title, y_title, False, LARGE, whole, powers))


def _beside_random(counts: BucketCounts, expected: tuple[float, ...]) -> list[Line]:
    """A distribution and that of random directions, over the buckets that either fills."""
    width = (counts.high - counts.low) / len(counts.counts)
    filled = [
        b for b, n in enumerate(counts.counts) if n > 0 or (b < len(expected) and expected[b] >= 1)
    ]
    lines = []
    for name, style, values in (
        ("this dictionary", 0, [float(n) for n in counts.counts]),
        ("random directions, expected", 1, [n if n >= 1 else 0.0 for n in expected]),
    ):
        if values:
            shown = range(filled[0], filled[-1] + 1)
            points = [(counts.low + (b + 0.5) * width, values[b]) for b in shown]
            lines.append(Line(name, style, points))
    return lines


def _key(style: int, name: str) -> tuple[Markup, str]:
    return trusted(swatch(style)), name


def _ends(interval: tuple[float, float] | None) -> str:
    return " to ".join(map(quotient, interval)) if interval else ""
