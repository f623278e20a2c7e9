"""When features appear while a model is trained; no torch, so that pages can ask.

The ceiling of a feature is its match with the last moment's own second training, another seed. A
feature

    is found again         if its ceiling exceeds the last moment's null;
    appears at moment m    if at m and at every later one its match exceeds the null and half its
                           ceiling (`appearance` makes matches and nulls).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEVER = -1

Numbers = NDArray[np.float64]


def appearances(values: Numbers, nulls: Numbers, ceiling: Numbers) -> NDArray[np.int64]:
    """The moment at which each feature appears, int64 [n]; `NEVER`: it is not found again.

    Args:
        values: correlations by moment, the last one's with its own second training,
            float64 [moments, n].
        nulls: of each moment, float64 [moments].
        ceiling: of each feature, float64 [n].
    """
    bar = np.maximum(np.nan_to_num(nulls, nan=np.inf)[:, None], 0.5 * ceiling)
    above = np.nan_to_num(values, nan=-np.inf) > bar
    stays = np.logical_and.accumulate(above[::-1], axis=0)[::-1]
    first = np.where(stays.any(axis=0), stays.argmax(axis=0), NEVER)
    result: NDArray[np.int64] = np.where(np.nan_to_num(ceiling, nan=-1) > nulls[-1], first, NEVER)
    return result
