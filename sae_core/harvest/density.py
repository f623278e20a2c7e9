"""How often a feature fires, and how sure a text of limited length makes one of it."""

from __future__ import annotations

import math

_Z95 = 1.959963984540054  # of the normal distribution: 95 % lie within ± this


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The ends of the 95 % Wilson score interval of a share; (0, 1) without trials."""
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    z2 = _Z95 * _Z95
    centre = share + z2 / (2 * trials)
    spread = _Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    scale = 1 + z2 / trials
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if successes == trials else min(1.0, (centre + spread) / scale)
    return low, high
