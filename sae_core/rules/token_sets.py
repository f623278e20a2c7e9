"""Which tokens to name in a condition: the set with the largest share F_w, exactly.

For a weight w, F_w = (1 + w) hits / (w n + covered) of the best set of at most k tokens follows
from Dinkelbach's method (Management Science 13, 1967): for a guess F take the k tokens largest in
(1 + w) hits - F covered, if positive; their F_w is the next guess. w = 1 is the F1 score; a larger
one counts firings that are left out for more.

There are a hundred tokens to choose from at most, mostly a dozen: bare numbers are quicker than
arrays here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_IN_SET = 8
_ROUNDS = 8


def best_set(
    hits: Sequence[float], totals: Sequence[float], hits_before: float, base: float, weight: float
) -> list[int]:
    """Which tokens to take, at most `MOST_IN_SET`, for the largest F_w; indices.

    Args:
        hits: firings on each token.
        totals: how often each stands there.
        hits_before: firings that are described without any of them.
        base: w n, and what is covered without any of them.
        weight: w.
    """
    gain = [(1 + weight) * own for own in hits]
    before = (1 + weight) * hits_before
    # The best token alone is the first guess.
    alone = [(own + before) / (base + all_) for own, all_ in zip(gain, totals, strict=True)]
    best = max(alone, default=0.0)
    if best <= before / base:
        return []
    chosen = [alone.index(best)]
    for _ in range(_ROUNDS):
        surplus = [own - best * all_ for own, all_ in zip(gain, totals, strict=True)]
        at = [n for n, value in enumerate(surplus) if value > 0]
        if len(at) > MOST_IN_SET:
            falling = -np.array([surplus[n] for n in at])
            first = np.argpartition(falling, MOST_IN_SET - 1)[:MOST_IN_SET]
            at = [at[n] for n in first.tolist()]
        value = (total([gain[n] for n in at]) + before) / (base + total([totals[n] for n in at]))
        if value <= best * (1 + 1e-12):
            break
        best, chosen = value, at
    return chosen


def total(values: Sequence[float]) -> float:
    """The sum of at most `MOST_IN_SET` values, rounded as numpy rounds it."""
    if len(values) < MOST_IN_SET:
        plain = 0.0  # not `sum`, which rounds otherwise from Python 3.12 on
        for value in values:
            plain += value
        return plain
    a, b, c, d, e, f, g, h = values
    return ((a + b) + (c + d)) + ((e + f) + (g + h))
