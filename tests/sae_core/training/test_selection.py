"""Selection in groups against torch.topk and comparisons of everything."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.training.sparse.selection import above, largest, largest_of_batch


def pre_activations(d_sae: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(37, d_sae, generator=draw).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("d_sae", "k"), [(512, 1), (512, 7), (512, 16), (512, 40), (512, 400), (50, 5), (50, 40)]
)
def test_the_largest_of_each_token(d_sae: int, k: int, dtype: torch.dtype) -> None:
    pre = pre_activations(d_sae, dtype)
    values, features = largest(pre, k)
    expected = torch.relu(pre).topk(k, dim=-1).values
    assert torch.equal(values.sort(dim=-1, descending=True).values, expected)
    assert torch.equal(torch.relu(pre).gather(1, features), values)
    assert all(len(row.unique()) == k for row in features)


def test_rows_of_equal_values_and_of_nan_give_k_features() -> None:
    pre = pre_activations(512)
    pre[0], pre[1, :100] = 0.0, 5.0
    values, features = largest(pre, 8)
    assert len(features[0].unique()) == len(features[1].unique()) == 8
    assert torch.equal(values[1], torch.full((8,), 5.0))
    pre[2, 3] = float("nan")
    assert bool(largest(pre, 8)[0][2].isnan().any())


@pytest.mark.parametrize("d_sae", [64, 50])
@pytest.mark.parametrize("bound", [1e-30, 1.5, 100.0])
def test_entries_above_a_bound(d_sae: int, bound: float) -> None:
    pre = pre_activations(d_sae)
    found = above(pre, torch.tensor(bound))
    assert torch.equal(found.rows, found.rows.sort().values)
    rebuilt = torch.zeros_like(pre)
    rebuilt[found.rows, found.features] = found.values
    assert torch.equal(rebuilt, pre * (pre >= bound))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("d_sae", [64, 50])
@pytest.mark.parametrize("guess", [0.0, 0.3, 2.2, 50.0])
@pytest.mark.parametrize("count", [1, 100, 37 * 5, 37 * 40])
def test_the_largest_of_a_batch(count: int, guess: float, d_sae: int, dtype: torch.dtype) -> None:
    pre = pre_activations(d_sae, dtype)
    found = largest_of_batch(pre, count, torch.tensor(guess))
    expected = torch.relu(pre).flatten().topk(count).values
    assert torch.equal(found.values.sort(descending=True).values, expected[expected > 0])
    assert torch.equal(pre[found.rows, found.features], found.values)
    assert torch.equal(found.rows, found.rows.sort().values)
    assert len((found.rows * d_sae + found.features).unique()) == len(found.values)
