"""The screened encoder against the dense one, where it is easy and where it is hard."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.architectures.topk import TopKDictionary
from sae_core.screening import ScreenedTopK, screened
from tests.sae_core.tiny_dictionaries import random_dictionary


def _dictionary(d_in: int = 64, d_sae: int = 1024, k: int = 16) -> TopKDictionary:
    draw = torch.Generator().manual_seed(0)
    dictionary = TopKDictionary("hook", d_in, d_sae, k)
    for parameter in dictionary.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) / 4
    return dictionary.requires_grad_(False)


def _same(dictionary: TopKDictionary, x: Tensor) -> None:
    found = ScreenedTopK(dictionary).encode_sparse(x)
    rebuilt = torch.zeros(len(x), dictionary.d_sae)
    rebuilt[found.rows, found.features] = found.values
    dense = dictionary.encode(x)
    assert torch.allclose(rebuilt, dense, atol=1e-4)
    # Where the two choose differently, the candidates are equal to float32 rounding.
    swapped = (rebuilt > 0) != (dense > 0)
    assert swapped.sum() <= 2 * len(x) // 1000
    assert (found.rows.diff() >= 0).all()


def test_ordinary_activations() -> None:
    draw = torch.Generator().manual_seed(1)
    _same(_dictionary(), torch.randn(2000, 64, generator=draw).relu())


def test_features_that_bfloat16_cannot_tell_apart() -> None:
    # A hundred near copies of each direction: the screen proves nothing, the dense way decides.
    dictionary = _dictionary()
    draw = torch.Generator().manual_seed(2)
    few = torch.randn(64, 10, generator=draw)
    copies = few.repeat(1, 103)[:, :1024]
    dictionary.W_enc.data = copies + 1e-3 * torch.randn(64, 1024, generator=draw)
    dictionary.b_enc.data.zero_()
    x = torch.randn(300, 64, generator=draw)
    found = ScreenedTopK(dictionary).encode_sparse(x)
    rebuilt = torch.zeros(300, 1024)
    rebuilt[found.rows, found.features] = found.values
    exact = (x.double() - dictionary.b_dec.double()) @ dictionary.W_enc.double()
    best = exact.topk(16, dim=-1)
    expected = torch.zeros_like(exact).scatter_(-1, best.indices, best.values.relu())
    # At most a tie at float32 rounding may fall the other way.
    assert ((rebuilt - expected).abs() > 1e-3).sum() <= 4


def test_rows_on_which_almost_nothing_fires() -> None:
    dictionary = _dictionary()
    dictionary.b_enc.data -= 1.5
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(500, 64, generator=draw) * torch.linspace(0, 2, 500)[:, None]
    assert (dictionary.encode(x) > 0).sum(dim=-1).min() < 9
    _same(dictionary, x)


@pytest.mark.parametrize("architecture", ["standard", "neurons", "topk"])
def test_dictionaries_that_do_not_gain_are_left_alone(architecture: str) -> None:
    dictionary = random_dictionary("hook", 12, architecture=architecture)
    assert screened(dictionary) is dictionary
