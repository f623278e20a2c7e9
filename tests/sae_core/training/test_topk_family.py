"""TopK, BatchTopK and Matryoshka: sparse steps against autograd and dense training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.methods import methods
from sae_core.training.optimizer import Adam
from sae_core.training.topk_family import TopKFamily
from tests.sae_core.training.method_checks import assert_figures, assert_gradients, autograd_of

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


def inputs(seed: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(N, D_IN, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("n_dead", [0, 3, 20])
@pytest.mark.parametrize("architecture", FAMILY)
def test_gradients_are_those_of_autograd(architecture: str, n_dead: int) -> None:
    method, x = method_of(architecture), inputs()
    method.state["silent"][:n_dead] = method.config.dead_after
    assert_gradients(method, x, 0.0)


@pytest.mark.parametrize("architecture", FAMILY)
def test_figures_of_a_step(architecture: str) -> None:
    assert_figures(method_of(architecture), inputs(), 0.0)


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


@pytest.mark.parametrize("architecture", FAMILY)
def test_another_gradient_of_x_hat_takes_the_place(architecture: str) -> None:
    method, x = method_of(architecture), inputs()
    seen: list[Tensor] = []

    def other(x_hat: Tensor, gradient: Tensor) -> Tensor:
        seen.extend((x_hat, gradient.clone()))
        return gradient + 0.1 * x_hat

    p, gradients = method.parameters, method.step(x, 0.0, other).gradients
    x_hat = method.activations(x) @ p["W_dec"] + p["b_dec"]
    torch.testing.assert_close(seen[0], x_hat)
    torch.testing.assert_close(seen[1], 2 * (x_hat - x) / (N * len(method.borders)))
    # 0.1 * x_hat is the gradient of 0.05 * ||x_hat||^2.
    leaves = {name: p.clone().requires_grad_() for name, p in method.parameters.items()}
    method.parameters = leaves
    x_hat = method.activations(x) @ leaves["W_dec"] + leaves["b_dec"]
    expected = torch.autograd.grad(
        method.loss(x, 0.0) + 0.05 * x_hat.pow(2).sum(), list(leaves.values())
    )
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(gradients[name], gradient)


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [("topk", torch.float32), *((name, torch.float64) for name in FAMILY)],
)
def test_fifty_sparse_steps_are_fifty_dense_ones(architecture: str, dtype: torch.dtype) -> None:
    """With dead features among them, the dense steps by autograd.

    A choice over a whole batch is often so close that float32 rounding alone turns one, after which
    two trainings part: that is tested in float64.
    """
    config = TrainingConfig(
        architecture, d_sae=512, l0=6, batch=96, precision="float32", dead_after=960
    )
    trained = []
    for dense in (False, True):
        method = methods()[architecture](config, 24, dtype=dtype)
        assert isinstance(method, TopKFamily)
        adam, revived = Adam(method.parameters), 0
        for step in range(50):
            draw = torch.Generator().manual_seed(step)
            x = (torch.randn(96, 24, generator=draw) * torch.linspace(0.1, 2, 24)).to(dtype)
            revived += int(method.dead.any())
            result = method.step(x, 0.0)
            gradients = autograd_of(method, x, 0.0)[1] if dense else result.gradients
            method.constrain_gradients(gradients)
            adam.step(gradients, 1e-3)
            method.constrain()
            method.after_step(step, x, result, adam)
        assert revived
        trained.append(method.parameters)
    for name, parameter in trained[0].items():
        torch.testing.assert_close(parameter, trained[1][name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_the_order_of_features_does_not_matter(architecture: str) -> None:
    method, other, x = method_of(architecture), method_of(architecture), inputs()
    order = torch.randperm(D_SAE, generator=torch.Generator().manual_seed(3))
    for name in ("W_enc", "b_enc", "W_dec"):
        other.parameters[name] = other.parameters[name][order]
    result, permuted = method.step(x, 0.0), other.step(x, 0.0)
    torch.testing.assert_close(permuted.loss, result.loss)
    for name in ("W_enc", "b_enc", "W_dec"):
        torch.testing.assert_close(permuted.gradients[name], result.gradients[name][order])


@pytest.mark.parametrize("architecture", FAMILY)
def test_larger_inputs_are_the_same_problem_in_other_units(architecture: str) -> None:
    method, other, x = method_of(architecture), method_of(architecture), inputs()
    for name in ("b_enc", "b_dec"):
        other.parameters[name] *= 8
    result, larger = method.step(x, 0.0), other.step(8 * x, 0.0)
    torch.testing.assert_close(larger.loss, 64 * result.loss)
    torch.testing.assert_close(larger.gradients["b_enc"], 8 * result.gradients["b_enc"])
    for name in ("W_enc", "W_dec"):
        torch.testing.assert_close(larger.gradients[name], 64 * result.gradients[name])


def by_hand(architecture: str, l0: float) -> TopKFamily:
    """Four features in two dimensions; b_dec (1, 0), b_enc (0, 0, 0, -1)."""
    config = TrainingConfig(architecture, d_sae=4, l0=l0, precision="float32")
    method = methods()[architecture](config, 2, dtype=torch.float64)
    assert isinstance(method, TopKFamily)
    rows = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, 1]], dtype=torch.float64)
    method.parameters = {
        "W_enc": rows.clone(),
        "b_enc": torch.tensor([0.0, 0, 0, -1]).double(),
        "W_dec": rows,
        "b_dec": torch.tensor([1.0, 0]).double(),
    }
    return method


X = torch.tensor([[4.0, 2], [1.5, 0]], dtype=torch.float64)


def test_the_topk_loss_on_numbers_worked_out_by_hand() -> None:
    """Pre-activations (3, 2, -3, 1) and (0.5, 0, -0.5, -1); errors (0, 2) and (0, 0)."""
    result = by_hand("topk", 1).step(X, 0.0)
    assert float(result.loss) == pytest.approx(4 / 2)
    assert float(result.l0) == pytest.approx(1)
    assert result.fired.tolist() == [True, False, False, False]


def test_the_batchtopk_loss_on_numbers_worked_out_by_hand() -> None:
    """Of 3, 2, 1 and 0.5 three stay: both tokens' errors are (0, -1) and (0.5, 0)."""
    method = by_hand("batchtopk", 1.5)
    result = method.step(X, 0.0)
    assert float(result.loss) == pytest.approx((1 + 0.25) / 2)
    assert float(result.l0) == pytest.approx(1.5)
    assert float(method.state["threshold"]) == 1


def test_the_matryoshka_loss_on_numbers_worked_out_by_hand() -> None:
    """Prefixes of 1, 2 and 4 features: squared errors 4, 0 and 1, and 0.25 three times."""
    method = by_hand("matryoshka", 1.5)
    assert method.borders == (1, 2, 4)
    result = method.step(X, 0.0)
    assert float(result.loss) == pytest.approx((4 + 0 + 1 + 3 * 0.25) / 2 / 3)
    assert float(result.error) == pytest.approx((1 + 0.25) / 2)


def test_auxk_on_numbers_worked_out_by_hand() -> None:
    """Feature 1 is dead: e = (0, 2) and (0, 0), of which it gives (0, 2) and nothing."""
    method = by_hand("topk", 1)
    method.state["silent"][1] = method.config.dead_after
    assert float(method.step(X, 0.0).loss) == pytest.approx(2)
    method.state["silent"][3] = method.config.dead_after  # k = 1: only the larger is asked
    assert float(method.step(X, 0.0).loss) == pytest.approx(2)
    method.parameters["b_enc"][1] = -10
    expected = 2 + 1 / 32 * (2 - 1) ** 2 / 2
    assert float(method.step(X, 0.0).loss) == pytest.approx(expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"whole number, not 1\.5"):
        method_of("topk", l0=1.5)
    with pytest.raises(TrainingError, match="give the L0"):
        method_of("batchtopk", l0=None, penalty=1.0)
