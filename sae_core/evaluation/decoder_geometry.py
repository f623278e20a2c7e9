"""How the decoder's directions lie: are features almost orthogonal?

Random directions are the measure: the cosine t of two independent directions, uniform on the sphere
in d dimensions, has the density (1 - t^2)^((d-3)/2) up to a constant, so (t + 1) / 2 follows the
Beta((d-1)/2, (d-1)/2) distribution (Muirhead 1982, theorem 1.5.7), and the largest of n such
cosines with one direction has that distribution function's n-th power for its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor
from torch.nn import functional

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.evaluation.figures import BucketCounts, DecoderGeometry, RandomDirections

N_COSINES = 80
N_NEAREST = 40
BLOCK = 2_048
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@torch.inference_mode()
def decoder_geometry(dictionary: Dictionary, block: int = BLOCK) -> DecoderGeometry | None:
    """Cosines of all pairs of decoder rows, and of each row with its nearest other one.

    Memory: a few times `block` * (`block` + d_out) floats, whatever d_sae is. Time grows with
    d_sae^2 * d_out. Rows that are 0 have no direction and are left out.

    Args:
        dictionary: the one whose decoder rows are compared.
        block: how many rows are compared at a time.

    Returns:
        None where fewer than two rows have a direction.
    """
    directed = _directed(dictionary, block)
    n = len(directed)
    if n < 2:
        return None
    # Every pair once: blocks on the diagonal and above it.
    counts = np.zeros(N_COSINES, dtype=np.int64)
    nearest = torch.full((n,), -1.0, device=directed.device)
    total = squares = 0.0
    for i, left in _unit_rows(dictionary, directed, block, 0):
        for j, right in _unit_rows(dictionary, directed, block, i.start):
            cosine = (left @ right.T).clamp_(-1.0, 1.0)
            if i == j:
                # A block with itself: pairs above the diagonal, and no row is its own neighbour.
                above = torch.ones_like(cosine, dtype=torch.bool).triu(1)
                each, cosine = cosine[above], cosine.fill_diagonal_(-1.0)
            else:
                each = cosine
                nearest[j] = torch.maximum(nearest[j], cosine.amax(dim=0))
            nearest[i] = torch.maximum(nearest[i], cosine.amax(dim=1))
            counts += torch.histc(each, N_COSINES, -1.0, 1.0).cpu().numpy().astype(np.int64)
            total += float(each.sum(dtype=torch.float64))
            squares += float(each.square().sum(dtype=torch.float64))
    # Negative cosines of nearest rows are rare enough that most plots begin at 0.
    n_pairs = n * (n - 1) // 2
    nearest_cosines = nearest.double().cpu().numpy()
    low = 0.0 if nearest_cosines.min() >= 0 else -1.0
    nearest_counts, _ = np.histogram(nearest_cosines, N_NEAREST, (low, 1.0))
    return DecoderGeometry(
        d_in=dictionary.d_out,
        n_directions=n,
        mean=total / n_pairs,
        root_mean_square=(squares / n_pairs) ** 0.5,
        cosines=BucketCounts(-1.0, 1.0, tuple(counts.tolist())),
        nearest=BucketCounts(low, 1.0, tuple(nearest_counts.tolist())),
        nearest_quantiles=tuple(np.quantile(nearest_cosines, QUANTILES).tolist()),
        random=_random_directions(dictionary.d_out, n, low) if dictionary.d_out > 1 else None,
    )


def _directed(dictionary: Dictionary, block: int) -> Tensor:
    """The features whose decoder rows are not 0, int64 [n]."""
    features = torch.arange(dictionary.d_sae, device=dictionary.b_dec.device)
    parts = torch.split(features, block)
    return torch.cat([part[dictionary.rows_of(part).norm(dim=-1) > 0] for part in parts])


def _unit_rows(
    dictionary: Dictionary, features: Tensor, block: int, begin: int
) -> Iterator[tuple[slice, Tensor]]:
    """Decoder rows of the features [n] from `begin` on, at unit norm, float32, block by block."""
    for start in range(begin, len(features), block):
        part = features[start : start + block]
        rows = functional.normalize(dictionary.rows_of(part).float(), dim=-1)
        yield slice(start, start + len(part)), rows


def _random_directions(d_in: int, n: int, low: float) -> RandomDirections:
    """What n independent random directions in d_in > 1 dimensions would give on average."""
    n_pairs = n * (n - 1) / 2

    def pair(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distribution function of one pair's cosine."""
        half: NDArray[np.float64] = special.betainc(
            (d_in - 1) / 2, (d_in - 1) / 2, (cosine + 1) / 2
        )
        return half

    def largest(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distribution function of the largest of one direction's n - 1 cosines."""
        return pair(cosine) ** (n - 1)

    median = special.betaincinv((d_in - 1) / 2, (d_in - 1) / 2, 0.5 ** (1 / (n - 1)))
    return RandomDirections(
        cosines=tuple((n_pairs * np.diff(pair(np.linspace(-1, 1, N_COSINES + 1)))).tolist()),
        nearest=tuple((n * np.diff(largest(np.linspace(low, 1, N_NEAREST + 1)))).tolist()),
        nearest_median=float(2 * median - 1),
    )
