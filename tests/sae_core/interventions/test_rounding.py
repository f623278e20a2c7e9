"""The noise of short dtypes, against ablations computed again in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sae_core.dictionaries.checkpoint import neuron_basis
from sae_core.interventions.ablation import ablate
from sae_core.interventions.rounding import loss_noise, redraw
from sae_core.language_model.model import LanguageModel, load_model

DEMO = Path(__file__).parents[3] / "demo" / "model"
HOOK_POINTS = ["blocks.0.hook_resid_pre", "blocks.0.mlp.hook_post", "blocks.0.hook_resid_post"]
FEATURES = (1, 8, 34, 120)


def text(model: LanguageModel) -> torch.Tensor:
    """Eight windows of this very file, [8, 64]."""
    assert model.bos is not None
    source = Path(__file__).read_text() * 2
    ids = torch.tensor(model.tokenizer.encode(source, add_special_tokens=False).ids)
    return torch.cat([torch.full((8, 1), model.bos), ids[: 8 * 63].view(8, 63)], dim=1)


def exact_twin(model: LanguageModel) -> LanguageModel:
    """The very same weights, computed with in float64."""
    twin = load_model(model.path, dtype="float64")
    twin.module.load_state_dict({k: v.double() for k, v in model.module.state_dict().items()})
    return twin


def changes(model: LanguageModel, hook_point: str, feature: int) -> dict[tuple[int, int], float]:
    """What ablating a neuron changes, by window and position."""
    basis = neuron_basis(hook_point, model.hook_point(hook_point).d_in)
    effects = ablate(model, basis, feature, list(text(model)))
    return {
        (window, position): change
        for window, effect in enumerate(effects)
        for position, change in zip(
            effect.positions.tolist(), effect.loss_change.tolist(), strict=True
        )
    }


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", HOOK_POINTS)
def test_it_is_the_error_of_ablations(dtype: str, name: str) -> None:
    model = load_model(DEMO, dtype=dtype)
    twin = exact_twin(model)
    errors = []
    for feature in FEATURES:
        rough, exact = changes(model, name, feature), changes(twin, name, feature)
        errors += [rough[at] - exact[at] for at in rough.keys() & exact.keys()]
    assert len(errors) > 100
    tokens = text(model)
    noise = loss_noise(model, model.hook_point(name), tokens, tokens != model.bos)
    true = float(np.sqrt(np.mean(np.square(errors))))
    assert 0.7 * true < noise < 1.5 * true
    assert noise > 1e-4


def test_in_float32_it_is_nothing() -> None:
    model = load_model(DEMO)
    tokens = text(model)
    noise = loss_noise(model, model.hook_point(HOOK_POINTS[0]), tokens, tokens != model.bos)
    assert 0 < noise < 1e-4


def test_without_a_prediction_it_is_zero() -> None:
    model = load_model(DEMO, dtype="bfloat16")
    tokens = text(model)[:, :2]
    nothing = torch.zeros_like(tokens, dtype=torch.bool)
    assert loss_noise(model, model.hook_point(HOOK_POINTS[0]), tokens, nothing) == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_are_redrawn_within_their_last_digit(dtype: torch.dtype) -> None:
    x = torch.cat([torch.linspace(-9, 9, 999), torch.tensor([0.0])]).to(dtype)
    again = redraw(x, torch.Generator().manual_seed(1))
    eps = torch.finfo(dtype).eps
    assert (again != x).float().mean() > 0.1
    assert ((again.double() - x.double()).abs() <= eps * x.double().abs()).all()
    largest = torch.full((999,), torch.finfo(dtype).max, dtype=dtype)
    assert redraw(largest, torch.Generator().manual_seed(1)).isfinite().all()
