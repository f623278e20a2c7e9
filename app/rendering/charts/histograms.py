"""Histograms as SVG: drawn on the server, coloured by the style sheet, readable without either."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np

from app.rendering.charts import plots
from app.rendering.charts.plots import MOST_TICKS, round_values, tick
from app.rendering.numbers import compact, count
from sae_core.harvest.records import Histogram


@dataclass(frozen=True)
class Frame:
    """Measures of a histogram.

    Attributes:
        width: width of the whole picture, in units of its own like all that follows.
        height: height of the whole picture.
        left: space left of the bars, where the scale of the counts stands.
        right: space right of the bars.
        top: space above the bars.
        bottom: space below the bars, where the scale of the values stands.
        levels: at most how many counts are marked on the scale.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    levels: int

    @property
    def inner(self) -> int:
        """Width of all bars."""
        return self.width - self.left - self.right

    @property
    def tall(self) -> int:
        """Height of the highest bar."""
        return self.height - self.top - self.bottom


SMALL = Frame(300, 138, 44, 6, 8, 36, 4)
LARGE = Frame(plots.WIDTH, plots.HEIGHT, plots.LEFT, plots.RIGHT, plots.TOP, plots.BOTTOM, 6)
SPARK_WIDTH, SPARK_HEIGHT = 120, 22


def _bars(heights: list[float], width: float, height: float, gap: float) -> list[str]:
    """One closed path for each bar, from the bottom up; empty for a bucket with no count."""
    step = width / max(1, len(heights))
    return [
        f"M{i * step + gap / 2:.1f} {height:.1f}v-{share * height:.1f}h{step - gap:.1f}"
        f"v{share * height:.1f}z"
        if share > 0
        else ""
        for i, share in enumerate(heights)
    ]


def _shares(counts: list[int], log: bool) -> list[float]:
    """Heights of the bars from 0 to 1; on a log axis a single count still shows."""
    top = max(counts, default=0)
    if top == 0:
        return [0.0] * len(counts)
    if not log:
        return [number / top for number in counts]
    scale = math.log10(top) + _FLOOR
    return [(math.log10(n) + _FLOOR) / scale if n else 0.0 for n in counts]


_FLOOR = 0.3


def sparkline(histogram: Histogram) -> str:
    """A small histogram for a table row, log counts, without axes."""
    shares = _shares(histogram.counts.tolist(), log=True)
    if not any(shares):
        return ""
    path = "".join(_bars(shares, SPARK_WIDTH, SPARK_HEIGHT, 0))
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" width="{SPARK_WIDTH}" '
        f'height="{SPARK_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/></svg>'
    )


def chart(
    histogram: Histogram,
    title: str,
    x_title: str,
    y_title: str,
    log: bool,
    frame: Frame = SMALL,
    whole: bool = False,
    powers: bool = False,
) -> str:
    """A histogram with axes, titles and the count of each bucket on hover.

    Args:
        histogram: what to draw.
        title: what it is, for those who cannot see it.
        x_title: title of the horizontal axis, with its unit.
        y_title: title of the vertical axis.
        log: whether counts are drawn on a log scale.
        frame: measures of the picture.
        whole: whether the values are whole numbers, each bucket from its own on up to the next.
        powers: whether they are logarithms, so that only whole ones are marked.
    """
    counts: list[int] = histogram.counts.tolist()
    shares = _shares(counts, log)
    edges = np.linspace(histogram.low, histogram.high, len(counts) + 1).tolist()
    bars = "".join(
        f'<path d="{path}"><title>{_range(edges[i], edges[i + 1], whole)}: '
        f"{count(counts[i])}</title></path>"
        for i, path in enumerate(_bars(shares, frame.inner, frame.tall, 1))
        if path
    )
    summary = (
        f"{title}. {count(sum(counts))} values from {tick(histogram.low)} to "
        f"{tick(histogram.high - whole)}, at most {count(max(counts, default=0))} in one bucket."
    )
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{escape(summary)}">'
        f'<g transform="translate({frame.left} {frame.top})">'
        f"{_levels(counts, log, frame)}"
        f'<g class="bars">{bars}</g>'
        f"{_scale(histogram, frame, whole, powers)}</g>"
        f'<text x="{frame.left + frame.inner / 2:.0f}" y="{frame.height - 3}" class="axis" '
        f'text-anchor="middle">{escape(x_title)}</text>'
        f'<text x="{-(frame.top + frame.tall / 2):.0f}" y="9" transform="rotate(-90)" class="axis" '
        f'text-anchor="middle">{escape(y_title)}</text></svg>'
    )


def _range(low: float, high: float, whole: bool) -> str:
    """What a bucket holds."""
    if not whole:
        return f"{tick(low)} to {tick(high)}"
    first, last = count(round(low)), count(round(high) - 1)
    return first if first == last else f"{first} to {last}"


def _levels(counts: list[int], log: bool, frame: Frame) -> str:
    """Horizontal lines with their counts: powers of ten, or round whole numbers."""
    top = max(counts, default=0)
    if top == 0:
        return ""
    if log:
        powers = range(math.floor(math.log10(top)) + 1)
        every = max(1, math.ceil(len(powers) / frame.levels))
        scale = math.log10(top) + _FLOOR
        marks = [(10.0**power, (power + _FLOOR) / scale) for power in powers if power % every == 0]
    else:
        values = round_values(0, top, frame.levels, whole=True)
        marks = [(value, value / top) for value in values if value]
    return "".join(
        f'<path class="grid" d="M0 {frame.tall * (1 - share):.1f}h{frame.inner}"/>'
        f'<text x="-4" y="{frame.tall * (1 - share) + 3:.1f}" text-anchor="end">'
        f"{compact(value)}</text>"
        for value, share in marks
    )


def _scale(histogram: Histogram, frame: Frame, whole: bool, powers: bool) -> str:
    """The horizontal axis with round values; a whole number stands below the middle of its own."""
    low, length = histogram.low, histogram.high - histogram.low
    labels = marks = ""
    for value in round_values(low, histogram.high - whole, MOST_TICKS, whole or powers):
        at = frame.inner * (value + whole / 2 - low) / length if length > 0 else 0.0
        anchor = "end" if at > frame.inner - 3 else "middle"
        labels += (
            f'<text x="{at:.1f}" y="{frame.tall + 12}" text-anchor="{anchor}">{tick(value)}</text>'
        )
        marks += f"M{at:.1f} {frame.tall}v3"
    return f'<path class="base" d="M0 {frame.tall}h{frame.inner}{marks}"/>{labels}'
