"""Small bars: where on a prompt a feature fires, shares, and signed values."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.rendering.contexts import ACTIVATION_LEVELS
from app.rendering.markup import trusted

BAR = 100
HALF = 50


def fires(positions: NDArray[np.int32], levels: NDArray[np.intp], n: int) -> Markup:
    """Where on a prompt of n tokens a feature fires: a bar for each token, as high as its orange
    is deep (1 to 16)."""
    bars = "".join(
        f"M{position} {ACTIVATION_LEVELS}v-{level}h1v{level}z"
        for position, level in zip(positions.tolist(), levels.tolist(), strict=True)
    )
    return trusted(
        f'<svg class="fires" viewBox="0 0 {n} {ACTIVATION_LEVELS}" preserveAspectRatio="none" '
        f'aria-hidden="true"><path d="{bars}"/></svg>'
    )


def share_bar(share: float) -> Markup:
    """A share of one as a bar; beyond one it is full."""
    width = min(1.0, max(0.0, share)) * BAR
    return trusted(
        f'<svg class="share" viewBox="0 0 {BAR} 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="all" d="M0 0h{BAR}v8H0z"/><path d="M0 0h{width:.3g}v8H0z"/></svg>'
    )


def signed_bar(value: float, largest: float, sure: bool) -> Markup:
    """A change as a bar from the middle to the right (positive) or left (negative).

    Args:
        value: what is drawn.
        largest: magnitude that fills a half.
        sure: whether it is exact; an estimate is drawn in outline.
    """
    width = HALF * min(1.0, abs(value) / largest) if largest > 0 and value == value else 0.0
    kind = ("helps" if value >= 0 else "hurts") + ("" if sure else " rough")
    start = HALF if value >= 0 else HALF - width
    return trusted(
        f'<svg class="change" viewBox="0 0 {BAR} 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="mid" d="M{HALF} 0v8"/>'
        f'<path class="{kind}" d="M{start:.2f} 1h{width:.2f}v6h-{width:.2f}z"/></svg>'
    )
