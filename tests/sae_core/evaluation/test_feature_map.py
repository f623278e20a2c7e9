"""Layouts: alike directions lie together, whatever else a decoder holds; the same seed repeats."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.errors import MapError
from sae_core.evaluation import feature_map
from sae_core.evaluation.feature_map import GRID, NOWHERE, lay_out, nearest_directions

HOOK = "blocks.0.mlp.hook_post"


def _dictionary(rows: torch.Tensor) -> StandardDictionary:
    made = StandardDictionary(HOOK, rows.shape[1], rows.shape[0])
    with torch.no_grad():
        made.W_dec.copy_(rows)
    return made.requires_grad_(False)


def _rows(n: int, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block", [1, 5, 7, 30, 100])
def test_neighbours_in_blocks_are_those_of_all_pairs(block: int) -> None:
    rows = torch.nn.functional.normalize(_rows(30), dim=-1)
    cosine = rows @ rows.T - 9 * torch.eye(30)
    values, places = cosine.topk(4, dim=1)
    indices, cosines = nearest_directions(rows, 4, block)
    assert indices.tolist() == places.tolist()
    assert np.allclose(cosines, values.numpy(), atol=1e-6)


def test_what_is_alike_lies_together_and_the_same_seed_repeats() -> None:
    rows = 0.3 * _rows(60)
    rows[:30, 0] += 3.0
    rows[30:, 1] += 3.0
    rows[7] *= 1e-30  # as long or short as they like: only directions count
    rows[8] *= 1e30
    rows[40] = 0.0
    rows[41, 3] = float("nan")
    dictionary = _dictionary(rows)
    layout = lay_out(dictionary, seed=3, block=16, quiet=True)
    assert (layout.method, layout.neighbours, layout.epochs) == ("umap", 15, 500)
    places = layout.places.astype(float)
    assert (layout.places[[40, 41]] == NOWHERE).all()
    there = layout.places[:, 0] != NOWHERE
    assert there.sum() == 58
    assert layout.places[there].max() <= GRID
    middles = [places[:30].mean(axis=0), places[30:][there[30:]].mean(axis=0)]
    nearer = np.argmin([np.linalg.norm(places - m, axis=1) for m in middles], axis=0)
    assert nearer[there].tolist() == [0] * 30 + [1] * 28
    again = lay_out(dictionary, seed=3, block=16, quiet=True)
    assert np.array_equal(layout.places, again.places)
    other = lay_out(dictionary, seed=4, block=16, quiet=True)
    assert not np.array_equal(layout.places, other.places)


def test_equal_directions_are_laid_out() -> None:
    rows = _rows(1).repeat(24, 1)
    layout = lay_out(_dictionary(rows), quiet=True)
    assert (layout.places != NOWHERE).all()


@pytest.mark.parametrize("n", [1, 2, 3, 15])
def test_a_few_features_need_no_umap(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(feature_map, "version", missing)
    layout = lay_out(_dictionary(_rows(n)), quiet=True)
    assert layout.method == "principal components"
    assert layout.version == ""
    assert len({tuple(place) for place in layout.places.tolist()}) == n
    assert (layout.places != NOWHERE).all()
    with pytest.raises(MapError, match=r"pip install 'featurescope\[map\]'"):
        lay_out(_dictionary(_rows(16)), quiet=True)


def test_one_dimension_and_none() -> None:
    assert (lay_out(_dictionary(_rows(5, 1)), quiet=True).places != NOWHERE).all()
    with pytest.raises(MapError, match="No feature here has a direction"):
        lay_out(_dictionary(torch.zeros(4, 3)), quiet=True)


def test_the_head_that_most_of_a_direction_lies_in() -> None:
    rows = torch.zeros(4, 6)
    rows[0, 1], rows[1, 2], rows[3, 5] = 1.0, -2.0, 0.5
    rows[0, 4] = 0.9
    layout = lay_out(_dictionary(rows), n_heads=3, quiet=True)
    assert layout.heads.tolist() == [0, 1, 0, 2]
    assert lay_out(_dictionary(rows), quiet=True).heads.size == 0
