"""Positive entries of large matrices, as `nonzero` finds them."""

from __future__ import annotations

import pytest
import torch

from sae_core.training.sparse.positive import positive_entries


@pytest.mark.parametrize("shape", [(16, 24), (3, 5), (1, 8), (7, 1), (4, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("offset", [-9.0, -1.0, 0.0, 9.0])
def test_they_are_those_of_nonzero(
    shape: tuple[int, int], dtype: torch.dtype, offset: float
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + offset
    matrix = matrix.to(dtype)
    for found, wanted in zip(
        positive_entries(matrix), (matrix > 0).nonzero(as_tuple=True), strict=True
    ):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zeros_of_either_sign_are_not_positive_and_tiny_numbers_are(dtype: torch.dtype) -> None:
    matrix = torch.tensor([[0.0, -0.0, 1e-38, -1e-38, 1.0, -1.0, 3.0, -3.0]], dtype=dtype)
    assert positive_entries(matrix)[1].tolist() == [2, 4, 6]
