"""Random directions fire as often as they were asked to."""

from __future__ import annotations

import pytest
import torch

from sae_core.dictionaries.random_directions import random_directions


def test_each_direction_fires_as_often_as_it_should() -> None:
    torch.manual_seed(0)
    sample = torch.randn(4000, 24) @ torch.randn(24, 24) + 3.0
    densities = [0.25, 0.1, 0.01, 0.001]
    made = random_directions("blocks.0.hook_resid_post", sample, densities, seed=5)
    fired = made.encode(sample) > 0
    for share, density in zip(fired.float().mean(0).tolist(), densities, strict=True):
        assert share == pytest.approx(density, abs=1.5 / 4000)
    assert torch.allclose(made.decoder_rows.norm(dim=-1), torch.ones(4))
    # The activation is the projection of the centred x onto the direction.
    x = sample[:7].double()
    centred = (x - sample.double().mean(0)) @ made.decoder_rows.double().T
    assert torch.allclose(made.pre_activations(sample[:7]).double(), centred, atol=1e-3)


def test_the_seed_decides() -> None:
    sample = torch.randn(2000, 8)
    one, same, other = (random_directions("h", sample, [0.1], seed) for seed in (1, 1, 2))
    assert torch.equal(one.W_enc, same.W_enc)
    assert not torch.equal(one.W_enc, other.W_enc)
