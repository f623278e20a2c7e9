"""Which tokens a feature fires on, and which stand before those, counted over all of its firings.

For a feature with n firings, at positions p of windows of the text:

1. *fires on*: the share of the n firings whose token, at p, is t;
2. *fires after*: the share of the n firings whose token at p - 1, in the same window, is t.

Special tokens are never encoded, so that none is fired on; a firing behind one, or at a window's
first position, has nothing before it, and shares of *fires after* then add up to less than one.
Equal shares follow each other by token id, so that nothing depends on the order of the firings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae_core.harvest.records import Ranking
from sae_core.text.tokenized import Windows

N_FIRING_TOKENS = 10
# Sorting n numbers costs about as much as going through so many counts for each of them.
_COUNTS_A_FIRING = 8


class FiringTokens:
    """The tokens of a harvested text, looked up where features fire.

    Args:
        windows: the text cut into windows.
        harvested: number of each window of the log, in the log's order, int64 [n_windows].
        is_special: for each token of the vocabulary whether it counts as no text, [d_vocab].
    """

    def __init__(
        self, windows: Windows, harvested: NDArray[np.int64], is_special: NDArray[np.bool_]
    ) -> None:
        self._n_ctx = windows.n_ctx
        self._lead = windows.n_ctx - windows.n_text
        self._text = windows.corpus.tokens
        self._is_special = is_special
        of_document = windows.corpus.offsets[windows.document_of(harvested)]
        self._begins = of_document + windows.start_of(harvested)

    def rankings(self, slots: NDArray[np.int64]) -> tuple[Ranking, Ranking]:
        """The ten tokens that a feature fires on most, and the ten that stand before most.

        Args:
            slots: where it fires, `ordinal * n_ctx + position`, int64 [n].

        Returns:
            *Fires on* and *fires after*, as above: weights are shares of the n firings, largest
            first; both are empty for a feature that never fires.
        """
        ordinals, positions = np.divmod(slots, self._n_ctx)
        places = self._begins[ordinals] + positions - self._lead
        inside = positions > self._lead
        before = self._text[places[inside] - 1]
        before = before[~self._is_special[before]]
        return (
            self._ranking(self._text[places], len(slots)),
            self._ranking(before, len(slots)),
        )

    def _ranking(self, tokens: NDArray[np.unsignedinteger], firings: int) -> Ranking:
        d_vocab = len(self._is_special)
        if len(tokens) * _COUNTS_A_FIRING < d_vocab:
            ids, counts = np.unique(tokens, return_counts=True)
        else:
            every = np.bincount(tokens, minlength=d_vocab)
            ids = np.flatnonzero(every)
            counts = every[ids]
        order = np.argsort(-counts, kind="stable")[:N_FIRING_TOKENS]
        return Ranking(
            ids[order].astype(np.int32),
            (counts[order] / max(1, firings)).astype(np.float32),
            np.zeros(0, np.float32),
        )
