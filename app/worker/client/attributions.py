"""Which features are responsible for one prediction: estimates, then exact changes as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.events import Attributed, Estimated, Progress, Result


@dataclass(frozen=True)
class KnownEffects:
    """What is known of some features at one moment; never changed.

    Attributes:
        log_probability: what the undisturbed model gives the prediction, nats; NaN before the
            first event.
        features: every feature in question, ascending, int32 [n].
        estimates: first-order changes, float32 [n].
        exact: exact changes, float32 [n]; NaN where not known yet.
    """

    log_probability: float
    features: NDArray[np.int32]
    estimates: NDArray[np.float32]
    exact: NDArray[np.float32]

    @property
    def known(self) -> int:
        """How many exact changes have arrived."""
        return int(np.isfinite(self.exact).sum())

    @property
    def begun(self) -> bool:
        """Whether the estimates are there."""
        return not math.isnan(self.log_probability)

    @property
    def complete(self) -> bool:
        """Whether every change is exact."""
        return self.begun and self.known == len(self.features)


_NOTHING = KnownEffects(
    math.nan, np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32)
)


class Attribution:
    """The answer to an AttributeRequest, as far as it has arrived.

    Changes are log p_clean - log p_ablated of the prediction in question, nats; positive: the
    feature helped. One thread takes events in while others read: whoever needs several values that
    belong together reads them from one `effects`.

    Attributes:
        effects: what is known by now, replaced as a whole by each event.
    """

    def __init__(self) -> None:
        self.effects = _NOTHING

    def take(self, event: Result | Progress) -> None:
        """Take in one event of the answer.

        Raises:
            ValueError: the event contradicts those before.
        """
        if isinstance(event, Estimated):
            features = unpack_int32(event.features)
            estimates = unpack_float32(event.loss_change)
            if len(features) != len(estimates) or (np.diff(features) <= 0).any():
                raise ValueError("columns of the estimates differ, or are not in order")
            unknown = np.full(len(features), np.nan, np.float32)
            self.effects = KnownEffects(event.log_probability, features, estimates, unknown)
        elif isinstance(event, Attributed):
            before = self.effects
            features = unpack_int32(event.features)
            changes = unpack_float32(event.loss_change)
            if len(features) != len(changes) or not np.isin(features, before.features).all():
                raise ValueError("exact changes of features that are not in question")
            exact = before.exact.copy()
            exact[np.searchsorted(before.features, features)] = changes
            self.effects = replace(before, exact=exact)

    @property
    def known(self) -> int:
        """How many exact changes have arrived."""
        return self.effects.known

    @property
    def begun(self) -> bool:
        """Whether the estimates are there."""
        return self.effects.begun

    @property
    def complete(self) -> bool:
        """Whether every change is exact."""
        return self.effects.complete

    @property
    def nbytes(self) -> int:
        """Memory that it takes; final as soon as it has begun."""
        return 3 * self.effects.exact.nbytes

    def of(self, feature: int) -> tuple[float, float]:
        """Estimate and exact change of one feature; NaN where there is none."""
        now = self.effects
        place = int(np.searchsorted(now.features, feature))
        if place == len(now.features) or now.features[place] != feature:
            return math.nan, math.nan
        return float(now.estimates[place]), float(now.exact[place])
