"""Repeated pools: the model runs once, every epoch has the same tokens in another order."""

from __future__ import annotations

import torch

from sae_core.training.data.pools import TextPools
from sae_core.training.data.repeated import RepeatedPools
from tests.sae_core.training.unique_text import unique_text


def test_every_epoch_has_the_same_rows_in_another_order() -> None:
    model, windows = unique_text([5, 40, 1, 16, 23, 8, 8, 61])
    pools = TextPools(model, "blocks.0.mlp.hook_post", windows, 0, 32, torch.float32)
    repeated = RepeatedPools(pools, pools.per_epoch, seed=0)
    assert pools.per_epoch > 1
    for part in range(pools.per_epoch):
        first, second = repeated.pool(part), repeated.pool(part + pools.per_epoch)
        assert torch.equal(first, pools.pool(part))
        assert repeated.n_tokens(part + pools.per_epoch) == len(first)
        assert not torch.equal(first, second)
        assert torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)
        assert torch.equal(second, repeated.pool(part + pools.per_epoch))
    assert repeated.identity != pools.identity
