"""Histograms as SVG: drawn on the server, coloured by the style sheet, readable without either."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from app.rendering_numbers import MINUS, compact, count
from sae_core.records import Histogram

WIDTH, HEIGHT = 300, 138
LEFT, RIGHT, TOP, BOTTOM = 44, 6, 8, 36
SPARK_WIDTH, SPARK_HEIGHT = 120, 22


def _tick(value: float) -> str:
    """A figure under an axis."""
    return "0" if value == 0 else f"{value:.3g}".replace("-", MINUS)


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


def chart(histogram: Histogram, title: str, x_title: str, y_title: str, log: bool) -> str:
    """A histogram with axes, titles and the count of each bucket on hover.

    Args:
        histogram: what to draw.
        title: what it is, for those who cannot see it.
        x_title: of the horizontal axis, with its unit.
        y_title: of the vertical axis.
        log: whether counts are drawn on a log scale.
    """
    counts: list[int] = histogram.counts.tolist()
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    shares = _shares(counts, log)
    edges = np.linspace(histogram.low, histogram.high, len(counts) + 1).tolist()
    bars = "".join(
        f'<path d="{path}"><title>{_tick(edges[i])} to {_tick(edges[i + 1])}: '
        f"{count(counts[i])}</title></path>"
        for i, path in enumerate(_bars(shares, plot_width, plot_height, 1))
        if path
    )
    summary = (
        f"{title}. {count(sum(counts))} values from {_tick(histogram.low)} to "
        f"{_tick(histogram.high)}, at most {count(max(counts, default=0))} in one bucket."
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(summary)}">'
        f'<g transform="translate({LEFT} {TOP})">'
        f"{_levels(counts, log, plot_width, plot_height)}"
        f'<g class="bars">{bars}</g>'
        f"{_scale(histogram, plot_width, plot_height)}</g>"
        f'<text x="{LEFT + plot_width / 2:.0f}" y="{HEIGHT - 3}" class="axis" '
        f'text-anchor="middle">{escape(x_title)}</text>'
        f'<text x="{-(TOP + plot_height / 2):.0f}" y="9" transform="rotate(-90)" class="axis" '
        f'text-anchor="middle">{escape(y_title)}</text></svg>'
    )


def _levels(counts: list[int], log: bool, width: int, height: int) -> str:
    """Horizontal lines with their counts: powers of ten, or half and full height."""
    top = max(counts, default=0)
    if top == 0:
        return ""
    if log:
        powers = range(math.floor(math.log10(top)) + 1)
        every = max(1, math.ceil(len(powers) / 4))
        scale = math.log10(top) + _FLOOR
        marks = [(10**power, (power + _FLOOR) / scale) for power in powers if power % every == 0]
    else:
        marks = [(top / 2, 0.5), (top, 1.0)]
    return "".join(
        f'<path class="grid" d="M0 {height * (1 - share):.1f}h{width}"/>'
        f'<text x="-4" y="{height * (1 - share) + 3:.1f}" text-anchor="end">{compact(value)}</text>'
        for value, share in marks
    )


def _scale(histogram: Histogram, width: int, height: int) -> str:
    """The horizontal axis: both ends, and zero or the middle between them."""
    low, high = histogram.low, histogram.high
    ticks = [(low, 0.0, "start" if low else "middle"), (high, 1.0, "end")]
    if low < 0 < high:
        if 0.15 < -low / (high - low) < 0.85:
            ticks.append((0.0, -low / (high - low), "middle"))
    elif high > low:
        ticks.append(((low + high) / 2, 0.5, "middle"))
    labels = "".join(
        f'<text x="{width * share:.1f}" y="{height + 12}" text-anchor="{anchor}">'
        f"{_tick(value)}</text>"
        for value, share, anchor in ticks
    )
    marks = "".join(f"M{width * share:.1f} {height}v3" for _, share, _ in ticks)
    return f'<path class="base" d="M0 {height}h{width}{marks}"/>{labels}'
