"""What every training method is held to: autograd's gradients, and figures of a step by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.training.method import Method


def autograd_of(method: Method, x: Tensor, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The published loss and its gradients, by autograd through the dense computation."""
    leaves = {name: p.clone().requires_grad_() for name, p in method.parameters.items()}
    own, method.parameters = method.parameters, leaves
    loss = method.loss(x, weight)
    method.parameters = own
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return loss.detach(), dict(zip(leaves, gradients, strict=True))


def assert_gradients(method: Method, x: Tensor, weight: float) -> None:
    """The sparse step's loss and gradients are autograd's, and none is zero throughout."""
    result = method.step(x, weight)
    loss, gradients = autograd_of(method, x, weight)
    torch.testing.assert_close(result.loss, loss, rtol=1e-12, atol=0)
    assert result.gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert bool(gradient.any()), name
        torch.testing.assert_close(result.gradients[name], gradient, rtol=1e-9, atol=1e-12)


def assert_figures(method: Method, x: Tensor, weight: float) -> None:
    """Error, L0 and who fired are those of the dense activations."""
    result, acts = method.step(x, weight), method.activations(x)
    x_hat = acts @ method.parameters["W_dec"] + method.parameters["b_dec"]
    torch.testing.assert_close(result.error, (x - x_hat).pow(2).sum(dim=-1).mean())
    assert float(result.l0) == pytest.approx(float((acts > 0).sum() / len(x)))
    assert torch.equal(result.fired, (acts > 0).any(dim=0))
