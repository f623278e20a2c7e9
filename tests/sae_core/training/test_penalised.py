"""Standard, gated and JumpReLU: sparse steps against autograd, dense training and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sae_core.training import penalised
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.methods import methods
from sae_core.training.methods.jumprelu import JumpReLU
from sae_core.training.optimizer import Adam
from sae_core.training.penalised import Penalised
from sae_core.training.trainer import train
from tests.sae_core.training.method_checks import assert_figures, assert_gradients, autograd_of
from tests.sae_core.training.synthetic import SyntheticStream

FAMILY = ["standard", "gated", "jumprelu"]
D_IN, D_SAE, N = 12, 40, 30


def method_of(architecture: str, noise: float = 0.2, **changes: object) -> Penalised:
    """In float64, near its calibrated start."""
    settings = {"d_sae": D_SAE, "l0": 6, "precision": "float32", "batch": N} | changes
    config = TrainingConfig(architecture, **settings)  # type: ignore[arg-type]
    method = methods()[architecture](config, D_IN, dtype=torch.float64)
    assert isinstance(method, Penalised)
    x = inputs()
    method.start(x.mean(dim=0))
    method.calibrate(x)
    draw = torch.Generator().manual_seed(1)
    for name, parameter in method.parameters.items():
        size = noise / 10 if name == "log_threshold" else noise
        parameter.add_(size * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return method


def inputs(seed: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(N, D_IN, generator=draw, dtype=torch.float64) + 0.3


@pytest.mark.parametrize("n_dead", [0, 5])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("architecture", FAMILY)
def test_gradients_are_those_of_autograd(
    architecture: str, dense: bool, n_dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalised, "DENSE_SHARE", 0.0 if dense else 1.0)
    method, x = method_of(architecture), inputs()
    method.state["silent"][:n_dead] = method.config.dead_after
    assert_gradients(method, x, 0.3)


@pytest.mark.parametrize("architecture", FAMILY)
def test_figures_of_a_step(architecture: str) -> None:
    assert_figures(method_of(architecture), inputs(), 0.3)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("architecture", FAMILY)
def test_another_gradient_of_x_hat_takes_the_place(
    architecture: str, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalised, "DENSE_SHARE", 0.0 if dense else 1.0)
    method, x = method_of(architecture), inputs()
    seen: list[Tensor] = []

    def twice(x_hat: Tensor, gradient: Tensor) -> Tensor:
        seen.append(x_hat)
        return 2 * gradient

    once, redirected = method.step(x, 0.0), method.step(x, 0.0, twice)
    acts = method.activations(x)
    torch.testing.assert_close(
        seen[0], acts @ method.parameters["W_dec"] + method.parameters["b_dec"]
    )
    torch.testing.assert_close(redirected.gradients["W_dec"], 2 * once.gradients["W_dec"])


@pytest.mark.parametrize("architecture", FAMILY)
def test_nothing_active_is_no_error(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    method.parameters[method.bias].fill_(-1e3)
    result = method.step(x, 0.3)
    assert float(result.l0) == 0
    loss, gradients = autograd_of(method, x, 0.3)
    torch.testing.assert_close(result.loss, loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(result.gradients[name], gradient)


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("architecture", FAMILY)
def test_fifty_sparse_steps_are_fifty_dense_ones(architecture: str, rough: bool) -> None:
    """Screened in bfloat16 too: the screen is wide enough for the rounding."""
    config = TrainingConfig(
        architecture,
        d_sae=64,
        l0=6,
        batch=128,
        tokens=50 * 128,
        precision="bfloat16" if rough else "float32",
    )
    trained = []
    for dense in (False, True):
        method = methods()[architecture](config, 16)
        assert isinstance(method, Penalised)
        method.start(torch.full((16,), 0.3))
        method.calibrate(_batch(0))
        adam = Adam(method.parameters)
        for step in range(50):
            x, weight = _batch(step), method.weight_at(step)
            result = method.step(x, weight)
            gradients = autograd_of(method, x, weight)[1] if dense else result.gradients
            method.constrain_gradients(gradients)
            adam.step(gradients, 1e-3)
            method.constrain()
            method.after_step(step, x, result, adam)
        trained.append(method.parameters)
    for name, parameter in trained[0].items():
        assert float((parameter - trained[1][name]).abs().max()) < 1e-5, name


def _batch(number: int) -> Tensor:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(128, 16, generator=draw) + 0.3


@pytest.mark.parametrize("architecture", FAMILY)
def test_units_are_folded_into_the_dictionary(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    method.constrain()
    scale, shift = 0.7, torch.linspace(-1, 2, D_IN, dtype=torch.float64)
    dictionary = method.finished("blocks.0.mlp.hook_post", scale, shift)
    assert dictionary.architecture == architecture
    norms = method.parameters["W_dec"].norm(dim=-1)
    acts = method.activations(x)
    model = x / scale + shift
    torch.testing.assert_close(dictionary.encode(model), acts * norms / scale)
    torch.testing.assert_close(dictionary.W_dec.norm(dim=-1), torch.ones_like(norms))
    x_hat = acts @ method.parameters["W_dec"] + method.parameters["b_dec"]
    torch.testing.assert_close(dictionary(model), x_hat / scale + shift)


@pytest.mark.parametrize("architecture", FAMILY)
def test_the_order_of_features_does_not_matter(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    result = method.step(x, 0.3)
    order = torch.randperm(D_SAE, generator=torch.Generator().manual_seed(0))
    for name, parameter in method.parameters.items():
        if name != "b_dec":
            parameter.copy_(parameter[order])
    permuted = method.step(x, 0.3)
    torch.testing.assert_close(permuted.loss, result.loss)
    torch.testing.assert_close(permuted.gradients["W_enc"], result.gradients["W_enc"][order])
    torch.testing.assert_close(permuted.gradients["b_dec"], result.gradients["b_dec"])


def test_larger_inputs_are_the_same_problem_in_other_units() -> None:
    """The L1 weight scales like the inputs, that of L0 like their square."""
    for architecture, power in (("standard", 1), ("gated", 1), ("jumprelu", 2)):
        method, x = method_of(architecture, noise=0.0), inputs()
        loss = method.loss(x, 0.3)
        larger = method_of(architecture, noise=0.0)
        larger.start(3 * x.mean(dim=0))
        larger.calibrate(3 * x)
        torch.testing.assert_close(larger.loss(3 * x, 0.3 * 3**power), 9 * loss)
        torch.testing.assert_close(
            larger.weight_at(larger.config.steps), method.weight_at(method.config.steps) * 3**power
        )


@pytest.mark.parametrize("architecture", FAMILY)
def test_every_feature_starts_at_the_wanted_density(architecture: str) -> None:
    config = TrainingConfig(architecture, d_sae=D_SAE, l0=4, precision="float32")
    method = methods()[architecture](config, D_IN, dtype=torch.float64)
    x = torch.cat([inputs(seed) for seed in range(10)])
    method.start(x.mean(dim=0))
    method.calibrate(x)
    densities = (method.activations(x) > 0).double().mean(dim=0)
    torch.testing.assert_close(densities, torch.full_like(densities, 4 / D_SAE))


def _by_hand(architecture: str, **parameters: Sequence[float | Sequence[float]]) -> Penalised:
    config = TrainingConfig(architecture, d_sae=2, l0=1, precision="float32")
    method = methods()[architecture](config, 2, dtype=torch.float64)
    assert isinstance(method, Penalised)
    for name, value in parameters.items():
        method.parameters[name].copy_(torch.tensor(value, dtype=torch.float64))
    return method


def test_the_standard_loss_on_numbers_worked_out_by_hand() -> None:
    """x = (3, 1): f = (2, 1) of pre-activations 2 and 1; x_hat = 2 (2, 0) + (0, 1) + (0, 0)."""
    method = _by_hand(
        "standard", W_enc=[[1, 0], [0, 1]], b_enc=[-1, 0], W_dec=[[2, 0], [0, 1]], b_dec=[0, 0]
    )
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    # ||(3, 1) - (4, 1)||^2 = 1; penalty 2 * 2 + 1 * 1 = 5.
    assert float(method.loss(x, 0.5)) == 1 + 0.5 * 5
    assert float(method.step(x, 0.5).loss) == 3.5


def test_the_gated_loss_on_numbers_worked_out_by_hand() -> None:
    """Gates 3 - 1 = 2 and 1 - 2 < 0; magnitude 3 * 2 - 1 = 5; x_hat = (5, 0), the gate's (2, 0)."""
    method = _by_hand(
        "gated",
        W_enc=[[1, 0], [0, 1]],
        b_gate=[-1, -2],
        b_mag=[-1, 0],
        r_mag=[math.log(2), 0],
        W_dec=[[1, 0], [0, 1]],
        b_dec=[0, 0],
    )
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    # 4 + 1 for the reconstruction, 0.5 * 2 for the L1 norm, 1 + 1 by the gate.
    assert float(method.loss(x, 0.5)) == pytest.approx(5 + 1 + 2)
    assert float(method.step(x, 0.5).loss) == pytest.approx(8)


def test_the_jumprelu_loss_and_its_pull_on_thresholds_by_hand() -> None:
    """Pre-activations 3 and 1, thresholds 2.9 and 1.05: f = (3, 0), both near their jump."""
    method = _by_hand(
        "jumprelu",
        W_enc=[[1, 0], [0, 1]],
        b_enc=[0, 0],
        W_dec=[[1, 0], [0, 1]],
        b_dec=[0, 0],
        log_threshold=[math.log(2.9) / 10, math.log(1.05) / 10],
    )
    assert isinstance(method, JumpReLU)
    method.state["bandwidth"].fill_(0.5)
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    assert float(method.loss(x, 0.5)) == pytest.approx(1 + 0.5)
    result = method.step(x, 0.5)
    assert float(result.loss) == pytest.approx(1.5)
    # dL/dtheta = -(theta dL/df + weight) / bandwidth, dL/df = (0, -2); dtheta/dt = 10 theta.
    first = -(2.9 * 0 + 0.5) / 0.5 * 10 * 2.9
    second = -(1.05 * -2 + 0.5) / 0.5 * 10 * 1.05
    torch.testing.assert_close(
        result.gradients["log_threshold"], torch.tensor([first, second], dtype=torch.float64)
    )
    # A threshold further off than half the bandwidth feels nothing: 0.1 and 0.05 away.
    method.state["bandwidth"].fill_(0.15)
    pulls = method.step(x, 0.5).gradients["log_threshold"]
    assert (float(pulls[0]), bool(pulls[1] != 0)) == (0.0, True)


@pytest.mark.parametrize("architecture", FAMILY)
def test_a_resumed_training_ends_with_the_same_weights(architecture: str, tmp_path: Path) -> None:
    """Resampling, steering and the lift of dead features included."""
    config = TrainingConfig(architecture, d_sae=48, l0=1, tokens=40 * 64, batch=64, dead_after=64)

    class _Stop(Exception):
        pass

    def stop(point: TrainingPoint) -> None:
        if point.step >= 17:
            raise _Stop

    whole = train(SyntheticStream(), config, "h", tmp_path / "whole", point_every=1)
    with pytest.raises(_Stop):
        train(SyntheticStream(), config, "h", tmp_path / "parts", stop, point_every=1)
    parts = train(SyntheticStream(), config, "h", tmp_path / "parts", point_every=1)
    for name, tensor in whole.dictionary.state_dict().items():
        assert torch.equal(tensor, parts.dictionary.state_dict()[name]), name
    assert [p.penalty for p in whole.curve] == [p.penalty for p in parts.curve]
    assert max(p.dead_share for p in whole.curve) > 0


@pytest.mark.parametrize("architecture", FAMILY)
def test_training_comes_near_the_wanted_l0(architecture: str, tmp_path: Path) -> None:
    config = TrainingConfig(
        architecture, d_sae=48, l0=4, tokens=500 * 32, batch=32, learning_rate=3e-3
    )
    trained = train(SyntheticStream(size=32), config, "h", tmp_path / "checkpoint")
    assert trained.curve[-1].l0 == pytest.approx(4, rel=0.3)
    assert trained.curve[-1].fvu < trained.curve[0].fvu
