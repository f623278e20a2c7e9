"""Dots with whiskers: a figure and its intervals on a scale that rows of a table share."""

from __future__ import annotations

import math

from markupsafe import Markup

from app.rendering.markup import trusted

WIDTH, HEIGHT = 220, 22
_EDGE = 8
_MIDDLE = HEIGHT / 2


def whisker(
    value: float, inner: tuple[float, float], outer: tuple[float, float], scale: tuple[float, float]
) -> Markup:
    """A figure as a dot, its interval as a bar, the wider one as a line with ends.

    Args:
        value: what is drawn.
        inner: its interval; NaN: none is drawn.
        outer: the wider one; likewise.
        scale: the smallest and largest value that rows share; 0 has a line where it is within.
    """
    low, high = scale
    if math.isnan(value) or not high > low:
        return Markup("")

    def at(x: float) -> float:
        share = min(1.0, max(0.0, (x - low) / (high - low)))
        return _EDGE + share * (WIDTH - 2 * _EDGE)

    parts = []
    if low <= 0 <= high:
        parts.append(f'<path class="mid" d="M{at(0):.1f} 1v{HEIGHT - 2}"/>')
    if not math.isnan(outer[0]):
        begin, end = at(outer[0]), at(outer[1])
        parts.append(
            f'<path class="joint" d="M{begin:.1f} {_MIDDLE - 4}v8m0 -4H{end:.1f}m0 -4v8"/>'
        )
    if not math.isnan(inner[0]):
        begin, end = at(inner[0]), at(inner[1])
        parts.append(f'<path class="own" d="M{begin:.1f} {_MIDDLE}H{max(end, begin + 1):.1f}"/>')
    parts.append(f'<circle cx="{at(value):.1f}" cy="{_MIDDLE}" r="3.6"/>')
    return trusted(
        f'<svg class="whisker" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def common_scale(values: list[float]) -> tuple[float, float]:
    """The smallest scale that holds 0 and some values, those that are no number left out."""
    known = [value for value in values if not math.isnan(value)]
    return min([0.0, *known]), max([0.0, *known])
