"""All firings of a dictionary on a text, token after token and feature after feature."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sae_core.dictionaries.dictionary import Firings


class FiringCollector:
    """Takes the firings of consecutive batches of tokens.

    Memory: 8 bytes a firing.

    Args:
        d_sae: features of the dictionary.
    """

    def __init__(self, d_sae: int) -> None:
        self._d_sae = d_sae
        self._features: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.float32]] = []
        self._counts: list[NDArray[np.int64]] = []

    def append(self, firings: Firings, n_tokens: int) -> None:
        """Add a batch of so many tokens; its firings are ordered by token."""
        self._features.append(firings.features.cpu().numpy().astype(np.int32))
        self._values.append(firings.values.cpu().numpy())
        self._counts.append(np.bincount(firings.rows.cpu().numpy(), minlength=n_tokens))

    def finish(self) -> TokenFirings:
        """All that was added, as one; the collector is empty afterwards."""
        counts = np.concatenate([np.zeros(1, np.int64), *self._counts])
        features = np.concatenate([np.zeros(0, np.int32), *self._features])
        values = np.concatenate([np.zeros(0, np.float32), *self._values])
        self._features, self._values, self._counts = [], [], []
        shape = (len(counts) - 1, self._d_sae)
        return TokenFirings(sparse.csr_array((values, features, np.cumsum(counts)), shape=shape))


class TokenFirings:
    """Activations of all features on the same tokens.

    Args:
        by_token: float32 [n_tokens, d_sae], >= 0, without entries that are 0.
    """

    def __init__(self, by_token: sparse.csr_array) -> None:
        self.by_token = by_token

    @property
    def n_tokens(self) -> int:
        """Tokens that were read."""
        return int(self.by_token.shape[0])

    @property
    def d_sae(self) -> int:
        """Features of the dictionary, silent ones included."""
        return int(self.by_token.shape[1])

    @cached_property
    def by_feature(self) -> sparse.csr_array:
        """The same, [d_sae, n_tokens]."""
        return sparse.csr_array(self.by_token.T.tocsr())

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Tokens on which each feature fires, [d_sae]."""
        return np.bincount(self.by_token.indices, minlength=self.d_sae).astype(np.int64)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean activation of each feature over all tokens, [d_sae]."""
        sums = np.bincount(self.by_token.indices, self.by_token.data, self.d_sae)
        return np.asarray(sums / max(1, self.n_tokens))

    @cached_property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation of each feature over all tokens, [d_sae]; 0 where it never changes."""
        squares = self.by_token.data.astype(np.float64) ** 2
        sums = np.bincount(self.by_token.indices, squares, self.d_sae)
        mean_squares = sums / max(1, self.n_tokens)
        variances = mean_squares - self.means**2
        # What rounding leaves of a feature that never changes is no deviation.
        return np.sqrt(np.where(variances > 1e-12 * mean_squares, variances, 0.0))

    def shifted(self, n_tokens: int) -> TokenFirings:
        """The same activations, each so many tokens earlier; the first ones come last."""
        at = n_tokens % max(1, self.n_tokens)
        rows = sparse.vstack([self.by_token[at:], self.by_token[:at]], format="csr")
        return TokenFirings(sparse.csr_array(rows))
