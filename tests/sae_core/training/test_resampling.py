"""Dead features that begin again: which inputs they are drawn from, and in which state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.training.config import TrainingConfig
from sae_core.training.methods import methods
from sae_core.training.optimizer import Adam
from sae_core.training.penalised import Penalised
from sae_core.training.resampling import ENCODER_NORM, poorly_explained, resampling_due

D_IN, D_SAE, BATCH = 8, 24, 64


def test_errors_are_drawn_by_their_squared_loss() -> None:
    """Losses 1 and 2 have the chances 1 : 4."""
    errors = torch.tensor([[1.0, 0.0], [0.0, 2.0**0.5]])
    first = torch.cat([poorly_explained(errors, 1, 0, step) for step in range(2000)])
    assert float(first.float().mean()) == pytest.approx(0.8, abs=0.04)


def test_no_error_is_drawn_twice_and_perfect_ones_never() -> None:
    errors = torch.cat([torch.eye(5), torch.zeros(3, 5)])
    drawn = poorly_explained(errors, 7, 0, 0)
    assert drawn.sort().values.tolist() == [0, 1, 2, 3, 4]
    assert len(poorly_explained(torch.zeros(3, 5), 2, 0, 0)) == 0


def test_the_draw_depends_on_seed_and_step_alone() -> None:
    errors = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    first = poorly_explained(errors, 5, 3, 9)
    torch.manual_seed(2)
    assert torch.equal(first, poorly_explained(errors, 5, 3, 9))
    assert not torch.equal(first, poorly_explained(errors, 5, 3, 10))
    assert not torch.equal(first, poorly_explained(errors, 5, 4, 9))


def test_it_is_due_every_so_many_tokens_in_the_first_half() -> None:
    due = [step for step in range(100) if resampling_due(step, batch=10, every=95, steps=100)]
    # Tokens done are 10 (step + 1): they pass 95, 190, 285, 380 and 475.
    assert due == [9, 18, 28, 37, 47]


def _batch(number: int) -> Tensor:
    return torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("architecture", ["standard", "gated"])
def test_dead_features_begin_again(architecture: str) -> None:
    config = TrainingConfig(
        architecture,
        d_sae=D_SAE,
        l0=4,
        tokens=40 * BATCH,
        batch=BATCH,
        dead_after=5 * BATCH,
        precision="float32",
    )
    method = methods()[architecture](config, D_IN)
    assert isinstance(method, Penalised)
    method.start(torch.zeros(D_IN))
    method.calibrate(_batch(0))
    dead = torch.tensor([3, 7])
    adam = Adam(method.parameters)
    for step in range(5):
        method.parameters[method.bias][dead] = -100.0
        x = _batch(step)
        result = method.step(x, 1.0)
        adam.step(result.gradients, 1e-3)
        if step == 4:
            before = {name: p.clone() for name, p in method.parameters.items()}
            assert method.dead.sum() == 0
        method.after_step(step, x, result, adam)
    assert not bool(method.dead.any())
    alive = torch.ones(D_SAE, dtype=torch.bool)
    alive[dead] = False
    moments = adam.tensors()
    for name, parameter in method.parameters.items():
        if name == "b_dec":
            assert torch.equal(parameter, before[name])
            continue
        assert torch.equal(parameter[alive], before[name][alive])
        assert not bool(moments[f"{name}.exp_avg"][dead].any())
        assert not bool(moments[f"{name}.exp_avg_sq"][dead].any())
        assert bool(moments[f"{name}.exp_avg"][alive].any())
    p = method.parameters
    mean_norm = before["W_enc"][alive].norm(dim=-1).mean()
    torch.testing.assert_close(p["W_dec"][dead].norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(p["W_enc"][dead], p["W_dec"][dead] * ENCODER_NORM * mean_norm)
    shares = (method.activations(_batch(4))[:, dead] > 0).float().mean(dim=0)
    torch.testing.assert_close(shares, torch.full((2,), 11 / BATCH))
