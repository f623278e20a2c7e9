"""Cosines in blocks against all of them at once, and against directions that are drawn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.dictionary import Output
from sae_core.evaluation.decoder_geometry import QUANTILES, decoder_geometry
from tests.sae_core.tiny_dictionaries import random_dictionary

HOOK = "blocks.0.mlp.hook_post"


def _dictionary(rows: torch.Tensor) -> StandardDictionary:
    made = StandardDictionary(HOOK, rows.shape[1], rows.shape[0])
    with torch.no_grad():
        made.W_dec.copy_(rows)
    return made.requires_grad_(False)


@pytest.mark.parametrize("block", [5, 7, 24, 100])
def test_blocks_equal_all_pairs_at_once(block: int) -> None:
    dictionary = random_dictionary(HOOK, 6)
    with torch.no_grad():
        dictionary.W_dec[[3, 11]] = 0.0
        dictionary.W_dec[20] = -2.0 * dictionary.W_dec[4]
    found = decoder_geometry(dictionary, block)
    assert found is not None
    rows = dictionary.W_dec.double().numpy()
    rows = rows[np.linalg.norm(rows, axis=1) > 0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    pairs = cosine[np.triu_indices(len(rows), 1)]
    assert found.n_directions == len(rows) == 22
    assert list(found.cosines.counts) == np.histogram(pairs, 80, (-1, 1))[0].tolist()
    assert found.mean == pytest.approx(pairs.mean(), abs=1e-6)
    assert found.root_mean_square == pytest.approx(np.sqrt((pairs**2).mean()), rel=1e-6)
    nearest = (cosine - 3 * np.eye(len(rows))).max(axis=1)
    assert sum(found.nearest.counts) == 22
    expected = np.histogram(nearest, 40, (found.nearest.low, 1.0))[0]
    assert list(found.nearest.counts) == expected.tolist()
    assert found.nearest_quantiles == pytest.approx(np.quantile(nearest, QUANTILES), abs=1e-6)


@pytest.mark.parametrize("d_in", [2, 3, 24])
def test_random_directions_are_as_expected(d_in: int) -> None:
    rows = torch.randn(1_500, d_in, generator=torch.Generator().manual_seed(d_in))
    found = decoder_geometry(_dictionary(rows), 512)
    assert found is not None
    assert found.random is not None
    for counts, expected in (
        (found.cosines.counts, found.random.cosines),
        (found.nearest.counts, found.random.nearest),
    ):
        assert sum(expected) == pytest.approx(sum(counts), rel=1e-6)
        seen, wanted = np.cumsum(counts) / sum(counts), np.cumsum(expected) / sum(counts)
        assert np.abs(seen - wanted).max() < 0.05
    assert found.root_mean_square == pytest.approx(d_in**-0.5, rel=0.05)
    assert found.random.nearest_median == pytest.approx(found.nearest_quantiles[2], abs=0.02)
    assert all(low <= high for low, high in pairwise(found.nearest_quantiles))


def test_directions_of_a_transcoder_lie_where_it_writes() -> None:
    written = StandardDictionary(HOOK, 24, 200, False, Output("blocks.1.hook_mlp_out", 5))
    with torch.no_grad():
        written.W_dec.copy_(torch.randn(200, 5, generator=torch.Generator().manual_seed(0)))
    assert decoder_geometry(written) == decoder_geometry(_dictionary(written.W_dec))


def test_neurons_are_orthogonal() -> None:
    found = decoder_geometry(NeuronBasis(HOOK, 9), 4)
    assert found is not None
    assert (found.mean, found.root_mean_square) == (0.0, 0.0)
    assert found.nearest_quantiles == (0.0,) * 5
    assert found.cosines.counts[40] == 36


def test_one_direction_has_no_neighbour_and_one_dimension_no_measure() -> None:
    assert decoder_geometry(_dictionary(torch.eye(3)[[0]])) is None
    assert decoder_geometry(_dictionary(torch.zeros(4, 3))) is None
    line = decoder_geometry(_dictionary(torch.tensor([[1.0], [-2.0], [3.0]])))
    assert line is not None
    assert line.random is None
    assert line.mean == pytest.approx(-1 / 3)
