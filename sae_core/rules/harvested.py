"""A harvest as rules see it: its text split and indexed, its firings by place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sae_core.harvest.firing_log import FiringLog
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules.attributes import window_attributes
from sae_core.rules.labelling import Firings, RuleLabeller
from sae_core.rules.places import RuleText
from sae_core.text.tokenized import Windows

MOST_TOKENS = 4_000_000
"""Rules are learnt and tested on so much of a harvest: its first windows, drawn at random."""
_MANY = 20_000


class HarvestedFirings:
    """The firings of a harvest by place in its text, as far as rules look at it.

    Args:
        windows: of the corpus.
        log: of the harvest, whole.
        vocabulary: of the model.
        seed: what the split into halves is made from.

    Attributes:
        text: attributes of the harvested tokens.
        counts: firings of each feature in it, int64 [d_sae].
    """

    def __init__(self, windows: Windows, log: FiringLog, vocabulary: Vocabulary, seed: int) -> None:
        numbers = log.windows
        lengths = np.cumsum(windows.lengths(numbers))
        numbers = numbers[: max(1, int(np.searchsorted(lengths, MOST_TOKENS, side="right")))]
        attributes, places = window_attributes(windows, numbers, vocabulary)
        self.text = RuleText(attributes, seed)
        moved = np.append(self.text.place_of, -1)
        self._place_of_slot = moved[places.ravel()].astype(np.int32)
        self._log = log

    @property
    def counts(self) -> NDArray[np.int64]:
        """Firings of each feature in the whole harvest, int64 [d_sae]."""
        return self._log.counts()

    def read(self, feature: int) -> Firings:
        """Where a feature fires, ascending, and its activations there."""
        (firings,) = self._log.read(feature, feature + 1)
        inside = int(np.searchsorted(firings.slots, len(self._place_of_slot)))
        places = self._place_of_slot[firings.slots[:inside]]
        values = firings.values[:inside]
        if len(places) < _MANY:
            order = np.argsort(places, kind="stable")
            return places[order].astype(np.int64), values[order]
        at = np.zeros(len(self.text.attributes), dtype=np.float32)
        at[places] = values
        ordered = np.flatnonzero(at)
        return ordered, at[ordered]


def harvest_labeller(
    windows: Windows,
    log: FiringLog,
    vocabulary: Vocabulary,
    visible: Callable[[int], str],
    seed: int,
) -> RuleLabeller:
    """What learns and tests rules for the features of a harvest.

    Args:
        windows: of the corpus.
        log: of the harvest, whole.
        vocabulary: of the model.
        visible: how a token is shown in sentences.
        seed: of the split and the shuffles.
    """
    harvested = HarvestedFirings(windows, log, vocabulary, seed)
    return RuleLabeller(harvested.text, harvested.counts, harvested.read, visible, seed)
