"""Lines and marks over two axes as SVG: drawn on the server, coloured by the style sheet.

A style, 0 to `STYLES` - 1, is a colour, a dash pattern and the shape of a mark together, so that
colour is never the only difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.rendering.numbers import MINUS, compact

STYLES = 8
MOST_POINTS = 200  # of a line; more are not seen
MOST_TICKS = 6  # of an axis
WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 38
_INNER, _TALL = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_SHAPES = (
    "M-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
    "M-{s} -{s}h{t}v{t}h-{t}z",
    "M0 -{w}L{w} {r}H-{w}z",
    "M0 -{w}L{w} 0L0 {w}L-{w} 0z",
    "M0 {w}L{w} -{r}H-{w}z",
    "M-{w} -{q}h{m}v-{m}h{n}v{m}h{m}v{n}h-{m}v{m}h-{n}v-{m}h-{m}z",
    "M-{w} -{h}L0 -{w}L{w} -{h}L{s} {w}L-{s} {w}z",
    "M-{w} -{h}L0 -{w}L{w} -{h}V{h}L0 {w}L-{w} {h}z",
)


@dataclass(frozen=True)
class Axis:
    """One direction of a plot.

    Attributes:
        title: what it shows, with its unit.
        log: whether it is logarithmic; what is not positive is left out.
        zero: whether a linear one begins at 0.
        ticks: what is marked; empty: round values.
    """

    title: str
    log: bool = False
    zero: bool = True
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """Connected points.

    Attributes:
        name: shown on hover.
        style: 0 to `STYLES` - 1.
        points: (x, y) in order; those that are no number are gaps.
        faint: whether it stays behind the others.
    """

    name: str
    style: int
    points: Sequence[tuple[float, float]]
    faint: bool = False


@dataclass(frozen=True)
class Mark:
    """One point by itself.

    Attributes:
        name: shown on hover.
        style: 0 to `STYLES` - 1.
        x: its value on the horizontal axis.
        y: its value on the vertical axis.
        size: radius in units of the plot.
        hollow: whether only its outline is drawn.
    """

    name: str
    style: int
    x: float
    y: float
    size: float = 4.5
    hollow: bool = False


class _Scale:
    """From values to a share of an axis' length."""

    def __init__(self, axis: Axis, values: Sequence[float]) -> None:
        shown = [v for v in values if math.isfinite(v) and (v > 0 or not axis.log)]
        self.log, self._given = axis.log, axis.ticks
        self.empty = not shown
        low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
        if axis.log:
            low, high = (low / 1.12, high * 1.12) if shown else (1.0, 10.0)
        elif axis.zero and low >= 0:
            low, high = 0.0, high * 1.05
        else:
            margin = 0.05 * (high - low)
            low, high = low - margin, high + margin
        self.low, self.high = low, high if high > low else low + 1.0

    def has(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.log)

    def share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Values inside the axis: those given, or round ones."""
        if self._given:
            return [value for value in self._given if self.low <= value <= self.high]
        if not self.log:
            return round_values(self.low, self.high, MOST_TICKS)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8)):
            multiples = [d * 10.0**p for p in powers for d in digits]
            inside = [value for value in multiples if self.low <= value <= self.high]
            if len(inside) > 2:
                return inside[:: math.ceil(len(inside) / 7)]
        return inside or [self.low, self.high]


def plot(
    title: str, x: Axis, y: Axis, lines: Sequence[Line] = (), marks: Sequence[Mark] = ()
) -> str:
    """Lines and marks with axes; names are shown on hover.

    Args:
        title: what it is, for those who cannot see it; a table beside it holds the figures.
        x: horizontal axis.
        y: vertical axis.
        lines: drawn first.
        marks: drawn upon them.
    """
    points = [point for line in lines for point in line.points] + [(m.x, m.y) for m in marks]
    across = _Scale(x, [point[0] for point in points])
    up = _Scale(y, [point[1] for point in points])
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<g transform="translate({LEFT} {TOP})">{_axes(across, up)}'
        f"{''.join(_line(line, across, up) for line in lines)}"
        f"{''.join(_mark(mark, across, up) for mark in marks)}</g>"
        f'<text x="{LEFT + _INNER / 2:.0f}" y="{HEIGHT - 4}" class="axis" text-anchor="middle">'
        f"{escape(x.title)}</text>"
        f'<text x="{-(TOP + _TALL / 2):.0f}" y="11" transform="rotate(-90)" class="axis" '
        f'text-anchor="middle">{escape(y.title)}</text>'
        + ("" if points else f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}">nothing yet</text>')
        + "</svg>"
    )


def swatch(style: int, mark: bool = True) -> str:
    """A small picture of a style for a key: its line and, where it has one, its mark."""
    shape = f'transform="translate(15 7)" d="{_shape(style, 4.5)}"' if mark else ""
    marked = f'<path class="mark s{style % STYLES}" {shape}/>' if mark else ""
    return (
        '<svg class="swatch" viewBox="0 0 30 14" width="30" height="14" aria-hidden="true">'
        f'<path class="line s{style % STYLES}" d="M0 7h30"/>{marked}</svg>'
    )


def round_values(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, as many as there can be,
    at most so many; with `whole` whole numbers alone."""
    rough = (high - low) / most
    if not rough > 0:
        return [low]
    power = math.floor(math.log10(max(rough, 1.0) if whole else rough))
    for step in (digit * 10.0**p for p in (power, power + 1) for digit in (1, 2, 5)):
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [n * step for n in range(first, last + 1)]


def thinned(
    points: Sequence[tuple[float, float]], most: int = MOST_POINTS
) -> list[tuple[float, float]]:
    """At most so many of the points, evenly, the first and the last among them."""
    n = len(points)
    if n <= most:
        return list(points)
    return [points[round(i * (n - 1) / (most - 1))] for i in range(most)]


def tick(value: float) -> str:
    """A round value as it stands beside an axis."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return compact(value) if value > 0 else MINUS + compact(-value)
    text = f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"
    return text.replace("-", MINUS)


def _axes(across: _Scale, up: _Scale) -> str:
    parts = []
    # The vertical axis: a line across the plot at each of its ticks.
    for value in () if up.empty else up.ticks():
        at = _TALL * (1 - up.share(value))
        parts.append(
            f'<path class="grid" d="M0 {at:.1f}h{_INNER}"/>'
            f'<text x="-5" y="{at + 3.5:.1f}" text-anchor="end">{tick(value)}</text>'
        )
    # The horizontal axis: one path holds the base line and all of its short marks.
    marks = ""
    for value in () if across.empty else across.ticks():
        at = _INNER * across.share(value)
        marks += f"M{at:.1f} {_TALL}v4"
        parts.append(
            f'<text x="{at:.1f}" y="{_TALL + 15}" text-anchor="middle">{tick(value)}</text>'
        )
    return f'{"".join(parts)}<path class="base" d="M0 {_TALL}h{_INNER}{marks}"/>'


def _line(line: Line, across: _Scale, up: _Scale) -> str:
    path, begins = "", True
    for x, y in line.points:
        if across.has(x) and up.has(y):
            at = f"{_INNER * across.share(x):.1f} {_TALL * (1 - up.share(y)):.1f}"
            path += f"{'M' if begins else 'L'}{at}"
            begins = False
        else:
            begins = True
    if not path:
        return ""
    faint = " faint" if line.faint else ""
    return (
        f'<path class="line s{line.style % STYLES}{faint}" d="{path}">'
        f"<title>{escape(line.name)}</title></path>"
    )


def _mark(mark: Mark, across: _Scale, up: _Scale) -> str:
    if not (across.has(mark.x) and up.has(mark.y)):
        return ""
    x, y = _INNER * across.share(mark.x), _TALL * (1 - up.share(mark.y))
    hollow = " hollow" if mark.hollow else ""
    return (
        f'<path class="mark s{mark.style % STYLES}{hollow}" '
        f'transform="translate({x:.1f} {y:.1f})" d="{_shape(mark.style, mark.size)}">'
        f"<title>{escape(mark.name)}</title></path>"
    )


def _shape(style: int, r: float) -> str:
    """The outline of a style's mark around 0; all styles cover about the same area.

    `r` is the radius of the circle, which is the first style; lengths of the others follow from it.
    """
    sizes = {
        "r": r,
        "d": 2 * r,
        "s": 0.88 * r,
        "t": 1.76 * r,
        "w": 1.18 * r,
        "q": 0.38 * r,
        "m": 0.8 * r,
        "n": 0.76 * r,
        "h": 0.55 * r,
    }
    return _SHAPES[style % STYLES].format(**{k: f"{v:.2f}" for k, v in sizes.items()})
