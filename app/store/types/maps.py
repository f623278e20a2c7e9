"""Where the features of a dictionary lie: frozen values, no queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRID = 65_534
"""The last step of either axis of a map."""
NOWHERE = 65_535
"""In the place of a feature that has no direction."""


@dataclass(frozen=True)
class MapRecord:
    """What is known of a map besides the places.

    Attributes:
        checksum: of the weights that were laid out.
        digest: SHA-256 of everything in it.
        parameters: how it was made: JSON values.
    """

    checksum: str
    digest: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureMap:
    """A map.

    Attributes:
        record: what else is known of it.
        places: x to the right and y downwards, uint16 [d_sae, 2], 0 to `GRID`; `NOWHERE` where a
            feature has no direction.
        heads: the attention head that most of a direction lies in, uint16 [d_sae]; empty where
            directions are not made of heads.
    """

    record: MapRecord
    places: NDArray[np.uint16]
    heads: NDArray[np.uint16]

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Whether each feature has a place."""
        placed: NDArray[np.bool_] = self.places[:, 0] != NOWHERE
        return placed
