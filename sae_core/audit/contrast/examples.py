"""Which features tell two sets of texts apart: AUROC, tested on texts that did not choose them.

1. Each feature is its largest activation on each text, 0 where it does not fire.
2. The texts are halved: of those on which it must fire, and of those on which it must not, every
   second one is held out.
3. On the first half all features are ranked by AUROC, the probability that a text of the one kind
   has more than one of the other, ties counted half.
4. The first `MOST_TESTED` are tested on the held-out half by the Mann-Whitney test (Mann and
   Whitney 1947), one-sided. The null is the exact distribution over all ways to deal out these
   texts, ties included; beyond `ranks.MOST_EXACT` texts its normal approximation, corrected for
   ties and continuity.
5. Their p-values are corrected after Benjamini and Hochberg (1995). The choice on the first half
   does not depend on the second, so that only the features that were tested count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.audit.contrast.ranks import auroc, benjamini_hochberg, mann_whitney

MOST_TESTED = 10
LEAST_TEXTS = 4  # of either kind: two in each half


@dataclass(frozen=True)
class ContrastedFeature:
    """A feature that was tested.

    Attributes:
        feature: its index.
        chosen: AUROC on the half that chose it.
        held_out: AUROC on the other half.
        p_value: of the held-out half, one-sided.
        corrected: the same after Benjamini and Hochberg over the features that were tested.
        mean_on: mean of its maximum over all texts on which it must fire, model units.
        mean_off: over all on which it must not.
    """

    feature: int
    chosen: float
    held_out: float
    p_value: float
    corrected: float
    mean_on: float
    mean_off: float


@dataclass(frozen=True)
class Contrast:
    """The features that tell the texts apart best.

    Attributes:
        features: those that were tested, in the order of their rank on the half that chose them.
        fired: how many features fire on any text at all.
        least_p: the smallest p-value that so many held-out texts can have.
    """

    features: tuple[ContrastedFeature, ...]
    fired: int
    least_p: float


def contrast(
    on: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]],
    off: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]],
) -> Contrast:
    """Rank and test the features that fire on some texts and not on others.

    Args:
        on: of each text on which it must fire, the features that fire and their largest
            activations; at least `LEAST_TEXTS`.
        off: of each on which it must not; at least `LEAST_TEXTS`.
    """
    texts = [*on, *off]
    features = np.unique(np.concatenate([ids for ids, _ in texts]))
    maxima = np.zeros((len(texts), len(features)), dtype=np.float64)
    for row, (ids, values) in enumerate(texts):
        maxima[row, np.searchsorted(features, ids)] = values
    wanted = np.arange(len(texts)) < len(on)
    held = np.concatenate([np.arange(len(on)), np.arange(len(off))]) % 2 == 1
    chosen = auroc(maxima[~held], wanted[~held])
    means = [maxima[~held & part].mean(axis=0) for part in (wanted, ~wanted)]
    spread = (means[0] - means[1]) / np.maximum(maxima.max(axis=0), 1e-30)
    best = np.lexsort((features, -spread, -chosen))[:MOST_TESTED]
    tested = maxima[np.ix_(held, best)]
    p_values = [mann_whitney(column, wanted[held]) for column in tested.T]
    corrected = benjamini_hochberg(np.array(p_values))
    areas = auroc(tested, wanted[held])
    return Contrast(
        tuple(
            ContrastedFeature(
                feature=int(features[place]),
                chosen=float(chosen[place]),
                held_out=float(areas[n]),
                p_value=p_values[n],
                corrected=float(corrected[n]),
                mean_on=float(maxima[wanted, place].mean()),
                mean_off=float(maxima[~wanted, place].mean()),
            )
            for n, place in enumerate(best.tolist())
        ),
        fired=len(features),
        least_p=1 / math.comb(int(held.sum()), int((held & wanted).sum())),
    )
