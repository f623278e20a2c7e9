"""Underlines: in which steps the change of a token's loss is drawn, and from where on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.store.types.catalogue import DictionaryView

EFFECT_STEPS = (0.005, 0.02, 0.06, 0.2, 0.6, 2.0)
"""Changes of the loss, in nats, from which an underline is one step thicker."""

_STEPS = np.array(EFFECT_STEPS, dtype=np.float32)
# Rounding has heavy tails: beyond twice its root mean square lie up to 6 % of what is drawn.
_BEYOND = 3.0


@dataclass(frozen=True)
class Underlines:
    """What of a change of the loss is drawn, and what is rounding.

    Attributes:
        dtype: that the model runs in.
        noise: how far rounding alone moves the loss of a token, root mean square in nats; 0 in
            float32 and float64; None: it was never measured.
    """

    dtype: str = "float32"
    noise: float | None = 0.0

    @classmethod
    def of(cls, dictionary: DictionaryView) -> Underlines:
        """Those of a dictionary's features."""
        return cls(dictionary.model_dtype, dictionary.loss_noise)

    @property
    def rounding(self) -> float:
        """Changes smaller than this may be rounding, nats."""
        return _BEYOND * (self.noise or 0.0)

    @property
    def least(self) -> float:
        """The smallest change that is drawn, nats."""
        return max(EFFECT_STEPS[0], self.rounding)

    def levels(self, changes: NDArray[np.float32]) -> NDArray[np.intp]:
        """Each change's step: 0 is not drawn, 1 to 6 raises the loss, -1 to -6 lowers it."""
        sizes = np.abs(changes)
        levels = _STEPS.searchsorted(sizes, side="right")
        levels[sizes < np.float32(self.least)] = 0
        return np.where(changes < 0, -levels, levels)


ALL = Underlines()
"""Those of a model that runs in float32."""
