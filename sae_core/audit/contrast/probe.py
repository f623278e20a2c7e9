"""A linear probe on the raw activation, the yardstick that a feature has to stand beside.

Logistic regression with an L2 penalty on standardised columns,

    minimise  sum log(1 + exp(-y (w . z + b))) + penalty / 2 ||w||^2,

the penalty chosen by cross-validation among the texts that the probe is fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from sae_core.audit.contrast.ranks import auroc

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
_FOLDS = 4
_STEPS = 200

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        direction: float64 [d], in units of the activation.
        offset: what is added.
        penalty: that was chosen.
    """

    direction: Numbers
    offset: float
    penalty: float

    def scores(self, x: Numbers) -> Numbers:
        """Log odds of the first set, [n], of pooled activations [n, d]."""
        scores: Numbers = x @ self.direction + self.offset
        return scores


def fit_probe(x: Numbers, wanted: NDArray[np.bool_], seed: int = 0) -> Probe:
    """Fit a probe.

    Args:
        x: pooled activations, float64 [n, d].
        wanted: which texts are of the first set, bool [n].
        seed: of the folds.
    """
    fold = _folds(wanted, seed)
    held = {
        penalty: np.mean(
            [
                auroc(
                    _fit(x[fold != n], wanted[fold != n], penalty).scores(x[fold == n])[:, None],
                    wanted[fold == n],
                )[0]
                for n in range(_FOLDS)
            ]
        )
        for penalty in PENALTIES
    }
    best = max(PENALTIES, key=lambda penalty: (held[penalty], penalty))
    return _fit(x, wanted, best)


def _folds(wanted: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """The fold of each text; each has texts of both sets."""
    rng, fold = np.random.default_rng(seed), np.zeros(len(wanted), dtype=np.int64)
    for group in (wanted, ~wanted):
        places = np.flatnonzero(group)
        fold[rng.permutation(places)] = np.arange(len(places)) % _FOLDS
    return fold


def _fit(x: Numbers, wanted: NDArray[np.bool_], penalty: float) -> Probe:
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z, sign = (x - centre) / scale, np.where(wanted, 1.0, -1.0)

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        margin = sign * (z @ weights[1:] + weights[0])
        slope = -sign * expit(-margin)
        own = np.append(slope.sum(), z.T @ slope + penalty * weights[1:])
        value = float(np.logaddexp(0, -margin).sum() + penalty / 2 * weights[1:] @ weights[1:])
        return value, own

    start = np.zeros(x.shape[1] + 1)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    direction = fitted[1:] / scale
    return Probe(direction, float(fitted[0] - direction @ centre), penalty)
