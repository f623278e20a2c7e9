"""What toy dictionaries found, drawn: one curve a run, one panel an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from sae_core.toy.data import MATCHED

PANEL, HEIGHT = 200, 150
LEFT, TOP, GAP = 46, 34, 36
ACROSS, ROW = 3, HEIGHT + 40  # panels in a row, and its height
_STYLE = """
svg{font:12px system-ui,sans-serif;background:#fff;color:#1c1c1a}
text{fill:currentColor}.soft{fill:#6b6b66}.grid{stroke:#ddddd8;fill:none}
.run{stroke:#c2560c;fill:none;stroke-width:1.6}
.chance{stroke:#6b6b66;fill:none;stroke-dasharray:3 3}
.bar{stroke:#1d6fb8;fill:none}
@media (prefers-color-scheme:dark){svg{background:#161614;color:#ecece6}.soft{fill:#a3a39b}
.grid{stroke:#3a3a36}.run{stroke:#ff9a52}.chance{stroke:#a3a39b}.bar{stroke:#6db3f2}}
"""


def found_drawing(
    runs: Sequence[tuple[str, int, NDArray[np.float64]]],
    chance: NDArray[np.float64],
    title: str,
) -> str:
    """An SVG with the cosines of all runs' pairs, from the best down.

    Args:
        runs: architecture, seed and cosines [directions] of each.
        chance: the cosines that random rows reach [directions].
        title: what the data were.
    """
    panels: dict[str, list[NDArray[np.float64]]] = {}
    for name, _, cosines in runs:
        panels.setdefault(name, []).append(cosines)
    rows = max(1, -(-len(panels) // ACROSS))
    width = LEFT + ACROSS * (PANEL + GAP)
    height = TOP + rows * ROW + 8
    drawn = "".join(
        _panel(name, own, chance, LEFT + i % ACROSS * (PANEL + GAP), TOP + i // ACROSS * ROW)
        for i, (name, own) in enumerate(panels.items())
    )
    marks = "".join(
        f'<text x="{LEFT - 6}" y="{TOP + row * ROW + (1 - value) * HEIGHT + 4:.1f}" '
        f'text-anchor="end" class="soft">{value:g}</text>'
        for row in range(rows)
        for value in (0.0, 0.5, MATCHED)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>'
        f'<text x="4" y="16">{escape(title)}</text>{marks}{drawn}'
        f'<text x="{LEFT}" y="{height - 6}" class="soft">cosine of each true direction '
        f"with its own latent, best first; a line a seed; dashed: random rows; blue: {MATCHED}"
        "</text></svg>\n"
    )


def _panel(
    name: str,
    runs: Sequence[NDArray[np.float64]],
    chance: NDArray[np.float64],
    left: int,
    top: int,
) -> str:
    counts = ", ".join(str(int((cosines >= MATCHED).sum())) for cosines in runs)
    lines = "".join(f'<path class="run" d="{_curve(cosines)}"/>' for cosines in runs)
    bar = (1 - MATCHED) * HEIGHT
    return (
        f'<g transform="translate({left} {top})">'
        f'<path class="grid" d="M0 0h{PANEL}M0 {HEIGHT / 2}h{PANEL}M0 {HEIGHT}h{PANEL}"/>'
        f'<path class="bar" d="M0 {bar:.1f}h{PANEL}"/>'
        f'<path class="chance" d="{_curve(chance)}"/>{lines}'
        f'<text x="0" y="{HEIGHT + 16}">{escape(name)}: {counts} of {len(chance)}</text></g>'
    )


def _curve(cosines: NDArray[np.float64]) -> str:
    """A falling staircase over the panel's width; cosines below 0 lie on its floor."""
    ordered = np.sort(np.clip(cosines, 0.0, 1.0))[::-1]
    heights = ((1 - ordered) * HEIGHT).round(1)
    last = np.append(np.flatnonzero(np.diff(heights)), len(heights) - 1)  # of each stair
    ends = (last + 1) * PANEL / len(heights)
    stairs = "".join(
        f"V{y:g}H{x:.5g}" for y, x in zip(heights[last].tolist(), ends.tolist(), strict=True)
    )
    return f"M0 {heights[0]:g}{stairs}"
