"""TopK, BatchTopK and Matryoshka: sparse steps against autograd and dense training."""

from __future__ import annotations

import pytest
import torch

from sae_core.training.config import TrainingConfig
from sae_core.training.methods import methods
from sae_core.training.topk_family import TopKFamily

FAMILY = ["topk", "batchtopk", "matryoshka"]
D_IN, D_SAE, N = 12, 40, 30


def method_of(architecture: str, **changes: object) -> TopKFamily:
    """In float64, at random parameters, so that some values of the choice are negative."""
    settings = {"d_sae": D_SAE, "l0": 6, "precision": "float32", "batch": N} | changes
    config = TrainingConfig(architecture, **settings)  # type: ignore[arg-type]
    method = methods()[architecture](config, D_IN, dtype=torch.float64)
    draw = torch.Generator().manual_seed(1)
    for parameter in method.parameters.values():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    assert isinstance(method, TopKFamily)
    return method


def inputs(seed: int = 2) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(N, D_IN, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("n_dead", [0, 3, 20])
@pytest.mark.parametrize("architecture", FAMILY)
def test_gradients_are_those_of_autograd(architecture: str, n_dead: int) -> None:
    method, x = method_of(architecture), inputs()
    method.state["silent"][:n_dead] = method.config.dead_after
    result = method.step(x, 0.0)
    for parameter in method.parameters.values():
        parameter.requires_grad_()
    loss = method.loss(x, 0.0)
    torch.autograd.backward(loss)
    torch.testing.assert_close(result.loss, loss.detach(), rtol=1e-12, atol=0)
    for name, parameter in method.parameters.items():
        assert parameter.grad is not None
        torch.testing.assert_close(result.gradients[name], parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("architecture", FAMILY)
def test_figures_of_a_step(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    result, acts = method.step(x, 0.0), method.activations(x)
    x_hat = acts @ method.parameters["W_dec"] + method.parameters["b_dec"]
    torch.testing.assert_close(result.error, (x - x_hat).pow(2).sum(dim=-1).mean())
    assert float(result.l0) == pytest.approx(float((acts > 0).sum() / N))
    assert torch.equal(result.fired, (acts > 0).any(dim=0))


@pytest.mark.parametrize("architecture", FAMILY)
def test_units_are_folded_into_the_dictionary(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    method.constrain()
    method.step(x, 0.0)
    if "threshold" in method.state:  # the least that stayed; a JumpReLU asks for more than that
        method.state["threshold"] *= 1 - 1e-9
    scale, shift = 0.7, torch.linspace(-1, 2, D_IN, dtype=torch.float64)
    dictionary = method.finished("blocks.0.mlp.hook_post", scale, shift)
    acts = method.activations(x)
    model = x / scale + shift
    torch.testing.assert_close(dictionary.encode(model), acts / scale)
    x_hat = acts @ method.parameters["W_dec"] + method.parameters["b_dec"]
    torch.testing.assert_close(dictionary(model), x_hat / scale + shift)
