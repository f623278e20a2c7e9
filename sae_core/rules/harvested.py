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
ENOUGH_FIRINGS = 32_768
"""On less of it where its features fire so often, in the mean, on less."""
_MANY = 100_000
_BITS = np.uint64(32)


class HarvestedText:
    """The text of a harvest; harvests of the same windows share it.

    Args:
        windows: of the corpus.
        numbers: of those that are looked at, the log's first ones in its order, int64 [n].
        vocabulary: of the model.
        seed: what the split into halves is made from.

    Attributes:
        text: attributes of its tokens.
        place_of_slot: place of each of the log's slots in it, int32; -1 for what is no text.
    """

    def __init__(
        self, windows: Windows, numbers: NDArray[np.int64], vocabulary: Vocabulary, seed: int
    ) -> None:
        attributes, places = window_attributes(windows, numbers, vocabulary)
        self.text = RuleText(attributes, seed)
        moved = np.append(self.text.place_of, -1)
        self.place_of_slot: NDArray[np.int32] = moved[places.ravel()].astype(np.int32)


def looked_at(windows: Windows, log: FiringLog) -> NDArray[np.int64]:
    """Which windows of a harvest rules look at: enough of its first ones, in its order, int64 [n].

    Args:
        windows: of the corpus.
        log: of the harvest, whole.
    """
    counts = log.counts()
    each = int(counts.sum()) / max(1, log.n_tokens * int(np.count_nonzero(counts)))
    most = min(MOST_TOKENS, ENOUGH_FIRINGS / each) if each else MOST_TOKENS
    numbers = log.windows
    lengths = np.cumsum(windows.lengths(numbers))
    return numbers[: max(1, int(np.searchsorted(lengths, most, side="right")))]


class HarvestedFirings:
    """The firings of a harvest by place in its text, as far as rules look at it.

    Args:
        harvested: its text.
        log: of the harvest, whole.
    """

    def __init__(self, harvested: HarvestedText, log: FiringLog) -> None:
        self.text = harvested.text
        self._place_of_slot = harvested.place_of_slot
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
            # Sorted as one number each: the place, then the bits of the activation.
            pairs = (places.astype(np.uint64) << _BITS) | values.view(np.uint32)
            pairs.sort()
            return (pairs >> _BITS).astype(np.int64), pairs.astype(np.uint32).view(np.float32)
        at = np.zeros(len(self.text.attributes), dtype=np.float32)
        at[places] = values
        ordered = np.flatnonzero(at)
        return ordered, at[ordered]


def harvest_labeller(
    harvested: HarvestedText, log: FiringLog, visible: Callable[[int], str], seed: int
) -> RuleLabeller:
    """What learns and tests rules for the features of a harvest.

    Args:
        harvested: its text.
        log: of the harvest, whole.
        visible: how a token is shown in sentences.
        seed: of the shuffles.
    """
    firings = HarvestedFirings(harvested, log)
    return RuleLabeller(harvested.text, firings.counts, firings.read, visible, seed)
