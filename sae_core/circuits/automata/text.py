"""A text with what fires on each of its tokens, and the half of its documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_SEED = 0  # of the halves


@dataclass(frozen=True)
class FiringText:
    """A text with what fires on it.

    Attributes:
        tokens: ids, one window after the other, int64 [n_tokens].
        windows: of each token, int64 [n_tokens], never falling.
        documents: number of each token's document from 0, int64 [n_tokens].
        bounds: token n has `features[bounds[n]:bounds[n + 1]]`, int64 [n_tokens + 1].
        features: that fire, int64.
    """

    tokens: Numbers
    windows: Numbers
    documents: Numbers
    bounds: Numbers
    features: Numbers

    @cached_property
    def followed_places(self) -> NDArray[np.bool_]:
        """Whether each token has a next one in its window."""
        return np.append(self.windows[1:] == self.windows[:-1], False)

    @property
    def at(self) -> Numbers:
        """The place of each firing, in the order of `features`."""
        return np.repeat(np.arange(len(self.tokens)), np.diff(self.bounds))

    def halves(self) -> tuple[FiringText, FiringText]:
        """Two texts of half of the documents each, by a draw that is always the same; the first
        has one more where their number is odd."""
        known, number = np.unique(self.documents, return_inverse=True)
        drawn = np.random.default_rng(_SEED).permutation(len(known))
        first = (drawn < -(-len(known) // 2))[number]
        return self._part(first), self._part(~first)

    def _part(self, chosen: NDArray[np.bool_]) -> FiringText:
        """The chosen tokens, whole windows, with what fires on them."""
        counts = np.diff(self.bounds)
        return FiringText(
            tokens=self.tokens[chosen],
            windows=self.windows[chosen],
            documents=self.documents[chosen],
            bounds=np.concatenate([[0], np.cumsum(counts[chosen])]),
            features=self.features[np.repeat(chosen, counts)],
        )
