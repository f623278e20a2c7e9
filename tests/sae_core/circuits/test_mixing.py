"""Values mixed over positions by a constant pattern: our rule for batches, and plain products."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sae_core.circuits.frozen import mixing
from sae_core.circuits.frozen.freezing import Freezing

N_POS, WIDTH, HEADS, BATCH = 11, 3, 2, 5


def _pattern(kind: str) -> Tensor:
    scores = torch.randn(1, HEADS, N_POS, N_POS, dtype=torch.float64)
    allowed = torch.ones(N_POS, N_POS, dtype=torch.bool)
    if kind != "all":
        allowed = allowed.tril()
    if kind == "window":
        allowed &= ~torch.ones_like(allowed).tril(-3)
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)


@pytest.mark.parametrize("kind", ["all", "causal", "window"])
@pytest.mark.parametrize("reached", [slice(None), slice(5, 6), slice(0, 0)])
def test_a_batch_of_gradients_goes_back_through_the_transposed_pattern(
    monkeypatch: pytest.MonkeyPatch, kind: str, reached: slice
) -> None:
    monkeypatch.setattr(mixing, "_STRETCH", 4)
    torch.manual_seed(1)
    pattern = _pattern(kind)
    value = torch.randn(1, HEADS, N_POS, WIDTH, dtype=torch.float64, requires_grad=True)
    out = mixing.mixed(pattern, value)
    weights = torch.zeros(BATCH, *out.shape, dtype=torch.float64)
    weights[..., reached, :] = torch.randn_like(weights)[..., reached, :]
    by_value = torch.vmap(lambda w: torch.autograd.grad(out, value, w, retain_graph=True)[0])

    assert torch.equal(out, pattern @ value)
    expected = torch.einsum("xhqk,bxhqw->bxhkw", pattern, weights)
    torch.testing.assert_close(by_value(weights), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
def test_both_ways_to_write_attention_mix_by_the_rule(fused: bool) -> None:
    query, key, value = (torch.randn(1, HEADS, N_POS, WIDTH) for _ in range(3))
    value.requires_grad_()
    with Freezing():
        if fused:
            out = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            scores = (query @ key.mT).masked_fill(~torch.ones(N_POS, N_POS).tril().bool(), -1e9)
            out = torch.matmul(functional.dropout(scores.softmax(dim=-1), 0.1, False), value)

    assert type(out.grad_fn).__name__ == "_MixedBackward"
