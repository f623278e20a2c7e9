"""How often a feature fires, and how sure a text of limited length makes one of it.

Tokens of one document resemble each other: a feature of HTML tags fires on many tokens of a few
documents. The document is therefore the unit, and an interval that counts tokens as independent
draws (Wilson's own) holds the truth far too seldom: `python -m benchmarks.density` compares both on
real documents.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_TAIL = 0.025  # on each side of a 95 % interval
_Z95 = 1.959963984540054  # of the normal distribution: 95 % lie within ± this


def wilson_interval(successes: float, trials: float, quantile: float = _Z95) -> tuple[float, float]:
    """The ends of the Wilson score interval of a share; (0, 1) without trials.

    Args:
        successes: how many trials succeeded; need not be a whole number.
        trials: how many independent trials there were, or were worth.
        quantile: how many standard errors the interval reaches to each side; 95 % by default.
    """
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    z2 = quantile * quantile
    centre = share + z2 / (2 * trials)
    spread = quantile * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    scale = 1 + z2 / trials
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if successes == trials else min(1.0, (centre + spread) / scale)
    return low, high


class DocumentTokens:
    """The harvested tokens of each document, and intervals of densities over them.

    Args:
        tokens: harvested text tokens of each document, all > 0, int64 [n_documents].
    """

    def __init__(self, tokens: NDArray[np.int64]) -> None:
        self.n_documents = len(tokens)
        self._tokens = tokens.astype(np.float64)
        self._total = float(self._tokens.sum())
        self._squares = float((self._tokens**2).sum())
        self._fourths = float((self._tokens**4).sum())

    def density_interval(
        self, documents: NDArray[np.int64], firings: NDArray[np.int64]
    ) -> tuple[float, float] | None:
        """The 95 % interval of a feature's density over documents like these.

        The density is a ratio of sums over documents, p = sum f_d / sum n_d; its variance is that
        of the residuals e_d = f_d - p n_d (the ratio estimator, Cochran 1977, chapter 6). The text
        is worth as many independent tokens as have that variance, p (1 - p) / var(p), at most as
        many as there are; Wilson's interval is taken of these (Korn and Graubard 1998), with
        Student's quantile for the residuals' own degrees of freedom, (sum e_d^2)^2 / sum e_d^4
        (Satterthwaite 1946): few documents that hold most firings tell little.

        Args:
            documents: places, among those given to the constructor, of the documents in which the
                feature fires, each once, int64 [n].
            firings: how often it fires in each of these, > 0, int64 [n].

        Returns:
            The two ends; None: it never fires, or there is one document alone, which does not say
            how documents differ.
        """
        if self.n_documents < 2 or not len(documents):
            return None
        from scipy.special import stdtrit  # slow to import, and pages import this module

        share = float(firings.sum()) / self._total
        # Documents without a firing have the residual -p n_d; those with one replace it.
        absent = share * self._tokens[documents]
        residuals = firings - absent
        squares = share**2 * self._squares + float((residuals**2 - absent**2).sum())
        fourths = share**4 * self._fourths + float((residuals**4 - absent**4).sum())
        correction = self.n_documents / (self.n_documents - 1)
        variance = correction * max(0.0, squares) / self._total**2
        worth = self._total
        freedom = self.n_documents - 1.0
        if variance > 0 and fourths > 0:
            worth = min(worth, share * (1 - share) / variance)
            freedom = min(freedom, max(1.0, squares**2 / fourths))
        return wilson_interval(share * worth, worth, -float(stdtrit(freedom, _TAIL)))
