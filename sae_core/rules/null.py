"""What the learner reaches by chance: rules for shuffled firings.

A shuffled feature fires as often, as strongly and as long in a row as a real one, but at other
tokens: in each half of the text its firings are moved on together, round the end to the beginning,
by a number of tokens drawn at random. What it fires on then means nothing, whatever the learner
makes of it. Such features, taken evenly from a dictionary's features in the order of their
frequency, are the pool; a rule is compared with those of its neighbours in that order.

The p-value is conformal (Vovk, Gammerman, Shafer 2005): of n comparisons and the rule itself the
share whose F1 is as large as the rule's. A shuffled feature is as likely to stand at any place
among shuffled ones about as frequent. What counts as above its null (`ABOVE`) is strict enough that
at most one in twenty is called so, whatever chance made of the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae_core.rules.places import RuleText
from sae_core.rules.record import ABOVE, NullTest

POOL = 300
NEAREST = 99


def shuffled(text: RuleText, places: NDArray[np.int64], seed: tuple[int, ...]) -> NDArray[np.int64]:
    """Firings moved round each half by a random number of tokens, ascending, int64 [n]."""
    random = np.random.default_rng(seed)
    moved = []
    for half in (text.learnt, text.held_out):
        inside = places[(places >= half.begin) & (places < half.end)]
        step = int(random.integers(half.n_tokens)) if half.n_tokens else 0
        moved.append(half.begin + (inside - half.begin + step) % max(1, half.n_tokens))
    return np.sort(np.concatenate(moved))


def pool_features(firings: NDArray[np.int64], fewest: int) -> NDArray[np.int64]:
    """The features that are shuffled, evenly from those that fire so often, rarest first."""
    alive = np.flatnonzero(firings >= fewest)
    if not len(alive):
        return alive
    ordered = alive[np.argsort(firings[alive], kind="stable")]
    return ordered[(np.arange(POOL) * len(ordered)) // POOL]


class NullPool:
    """The F1 scores of shuffled features.

    Args:
        firings: how often each fires, int64 [n].
        scores: F1 of each one's rule on held-out documents, float64 [n].
    """

    def __init__(self, firings: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self._frequency = np.log(np.maximum(1, firings).astype(np.float64))
        self._scores = scores

    def compare(self, firings: int, f1: float) -> NullTest:
        """What a rule with this F1, of a feature that fires so often, is worth."""
        away = np.abs(self._frequency - np.log(max(1, firings)))
        near = self._scores[np.argsort(away, kind="stable")[:NEAREST]]
        n = len(near)
        allowed = int(ABOVE * (n + 1) + 1e-9)  # how many may reach it, itself counted
        falling = np.sort(near)[::-1]
        middle = 0.5 * (falling[n // 2] + falling[(n - 1) // 2]) if n else 0.0
        return NullTest(
            median=float(middle),
            threshold=float(falling[allowed - 1]) if 0 < allowed <= n else None,
            count=n,
            p_value=(1 + int(np.count_nonzero(near >= f1))) / (1 + n),
        )
