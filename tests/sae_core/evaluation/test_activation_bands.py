from __future__ import annotations

import numpy as np
import torch

from sae_core.dictionaries.dictionary import Firings
from sae_core.evaluation.activation_bands import bands_of, from_band_up
from sae_core.harvest.records import N_BANDS
from sae_core.harvest.sampling import band_edges


def _firings(n: int = 4_000, d_sae: int = 9) -> tuple[Firings, torch.Tensor]:
    """Firings, many of them exactly on an edge, with the maxima."""
    draw = np.random.default_rng(0)
    features = torch.from_numpy(draw.integers(0, d_sae, n))
    maxima = torch.from_numpy(draw.gamma(2.0, 2.0, d_sae).astype(np.float32))
    share = torch.from_numpy(draw.random(n).astype(np.float32)).clamp_min(1e-6)
    share[::3] = torch.from_numpy(draw.integers(1, N_BANDS + 1, len(share[::3])) / N_BANDS).float()
    rows = torch.from_numpy(np.sort(draw.integers(0, n // 4, n)))
    return Firings(rows, features, share * maxima[features]), maxima


def test_bands_are_those_of_a_features_page() -> None:
    firings, maxima = _firings()
    found = bands_of(firings, maxima).numpy()
    for feature in range(len(maxima)):
        edges = band_edges(float(maxima[feature]))
        mine = (firings.features == feature).numpy()
        values = firings.values.numpy()[mine].astype(np.float64)
        assert np.array_equal(found[mine], np.searchsorted(edges[1:-1], values, side="left"))


def test_a_band_and_those_above_it() -> None:
    firings, maxima = _firings()
    bands = bands_of(firings, maxima)
    assert len(from_band_up(firings, bands, 0).values) == len(bands)
    assert len(from_band_up(firings, bands, N_BANDS).values) == 0
    kept = from_band_up(firings, bands, 4)
    assert torch.equal(kept.values, firings.values[bands >= 4])
    assert torch.equal(bands_of(kept, maxima), bands[bands >= 4])
    assert torch.equal(kept.rows, kept.rows.sort().values)
