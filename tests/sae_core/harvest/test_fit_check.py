"""Whether a dictionary fits, against brute force; what fits better is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.harvest.fit_check import (
    FOLDED_NORM,
    NORMS,
    InputAndTarget,
    Sample,
    Variant,
    alternatives,
    fit,
    fitting_hook_points,
    text_activations,
    variant_of,
    varied,
)
from sae_core.language_model.model import LanguageModel
from tests.sae_core.tiny_dictionaries import random_dictionary

MID = "blocks.1.hook_resid_post"


def perfect(hook_point: str, d_in: int) -> Dictionary:
    """x = relu(x) - relu(-x): it explains everything, with about half of its features."""
    dictionary = StandardDictionary(hook_point, d_in, 2 * d_in, apply_b_dec_to_input=True)
    eye = torch.eye(d_in)
    with torch.no_grad():
        dictionary.W_enc.copy_(torch.cat([eye, -eye], dim=1))
        dictionary.W_dec.copy_(torch.cat([eye, -eye]))
    return dictionary.requires_grad_(False)


def at_mid(model: LanguageModel, sample: Sample) -> Tensor:
    return text_activations(model, Variant(MID, True, "none"), sample).read


@pytest.fixture
def sample(tokens: Tensor) -> Sample:
    return Sample(tokens, tokens != 0)


@pytest.mark.parametrize("architecture", ["standard", "topk"])
def test_the_figures_are_those_of_brute_force(architecture: str) -> None:
    dictionary = random_dictionary(MID, 12, architecture=architecture).double()
    x = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)).double()
    found = fit(dictionary, InputAndTarget(x, x))
    acts = dictionary.encode(x)
    x_hat = dictionary.decode(acts, x)
    assert found.n_tokens == 40
    assert found.l0 == pytest.approx(float((acts > 0).sum(1).double().mean()))
    fvu = (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()
    assert found.fvu == pytest.approx(float(fvu), rel=1e-6)
    assert found.explained == pytest.approx(1 - float(fvu), rel=1e-6)
    assert found.silent_share == float((acts == 0).all(0).double().mean())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("subtracts", [True, False])
def test_a_variant_is_the_weights_behind_that_input(norm: str, subtracts: bool) -> None:
    weights = random_dictionary(MID, 12).double()
    x = 3 * torch.randn(40, 12, generator=torch.Generator().manual_seed(0)).double() + 1
    before = weights.apply_b_dec_to_input
    other = varied(weights, Variant(MID, subtracts, norm), x)
    assert weights.apply_b_dec_to_input is before
    mean, scale = torch.zeros(40, 1).double(), torch.ones(40, 1).double()
    if norm == FOLDED_NORM:
        scale = scale * x.norm(dim=1).mean() / 12**0.5
    elif norm == "layer_norm":
        mean, scale = x.mean(1, keepdim=True), x.std(1, keepdim=True)
    elif norm == "centred":
        mean = x.mean(1, keepdim=True)
    elif norm == "constant_norm_rescale":
        scale = x.norm(dim=1, keepdim=True) / 12**0.5
    z = (x - mean) / scale
    acts = torch.relu((z - weights.b_dec * subtracts) @ weights.W_enc + weights.b_enc)
    expected = (acts @ weights.W_dec + weights.b_dec) * scale + mean
    torch.testing.assert_close(other.encode(x), acts * scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other(x), expected, rtol=1e-4, atol=1e-4)
    if norm != FOLDED_NORM:  # which leaves no trace in the weights' use
        assert variant_of(other) == Variant(MID, subtracts, norm)


def test_the_right_layer_is_found(llama: LanguageModel, sample: Sample) -> None:
    """Trained on one place, said to be of another: only at its own does it explain anything."""
    x = at_mid(llama, sample)
    right = perfect(MID, 32)
    with torch.no_grad():  # exact at its own place, wrong by a shift elsewhere
        right.b_dec.copy_(10 * x.mean(0))
        right.b_enc.zero_()
    assert fit(right, InputAndTarget(x, x)).fvu < 1e-9
    rows = torch.linalg.svd(x - x.mean(0))[2][:6]  # what varies most there
    narrow = StandardDictionary("blocks.0.attn.hook_z", 32, 12)
    with torch.no_grad():
        narrow.W_enc.copy_(torch.cat([rows, -rows]).T)
        narrow.W_dec.copy_(torch.cat([rows, -rows]))
        narrow.b_dec.copy_(x.mean(0))
    narrow.apply_b_dec_to_input = True
    narrow.requires_grad_(False)
    best, *rest = alternatives(llama, narrow, sample)
    # What leaves a block is what enters the next.
    same = {MID, "blocks.2.hook_resid_pre"}
    assert best.variant.hook_point in same
    assert (best.variant.subtracts, best.variant.norm) == (True, "none")
    assert best.fit.fvu <= min(tried.fit.fvu for tried in rest)
    places = {tried.variant.hook_point for tried in rest}
    assert not any(place.endswith("hook_post") for place in places)  # 40 wide
    assert any(place.startswith("blocks.2") for place in places)


@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale", FOLDED_NORM])
def test_a_missing_normalisation_is_found(llama: LanguageModel, sample: Sample, norm: str) -> None:
    x = at_mid(llama, sample)
    trained: Any = random_dictionary(MID, 32, 512)
    behind = varied(trained, Variant(MID, True, norm), x)
    # Ridge regression of the target on the features makes the weights explain it, behind that norm.
    z = x
    if norm == "layer_norm":
        z = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    elif norm == "constant_norm_rescale":
        z = x / x.norm(dim=1, keepdim=True) * 32**0.5
    else:
        z = x / x.norm(dim=1).mean() * 32**0.5
    core = getattr(behind, "inner", behind)
    with torch.no_grad():
        acts = torch.relu((z - trained.b_dec) @ trained.W_enc + trained.b_enc)
        ridge = acts.T @ acts + 1e-3 * torch.eye(512)
        core.W_dec.copy_(torch.linalg.solve(ridge, acts.T @ (z - trained.b_dec)))
        trained.W_dec.copy_(core.W_dec)
    best = alternatives(llama, trained, sample)[0]
    assert best.variant.norm == norm
    assert best.fit.fvu < 0.1 * fit(trained, InputAndTarget(x, x)).fvu


@pytest.mark.parametrize("wrong", ["layer", "input", "skip"])
def test_what_is_wrong_with_a_transcoder_is_found(
    llama: LanguageModel, sample: Sample, wrong: str
) -> None:
    """One that is the MLP's best linear approximation, used elsewhere or turned round."""
    read, written = "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"
    x, y = text_activations(llama, Variant(read, False, "none", written), sample)
    at = {
        "layer": ("blocks.2.mlp.hook_in", "blocks.2.hook_mlp_out"),
        "input": ("blocks.1.hook_resid_mid", written),
        "skip": (read, written),
    }[wrong]
    made = StandardDictionary(at[0], 32, 4, False, Output(at[1], 32, skip=True))
    with torch.no_grad():
        ones = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        solution = torch.linalg.lstsq(ones, y).solution
        made.W_skip.copy_(solution[:-1].T if wrong != "skip" else solution[:-1])
        made.b_dec.copy_(solution[-1])
    made.requires_grad_(False)
    best = alternatives(llama, made, sample)[0]
    assert (best.variant.hook_point, best.variant.output) == (read, written)
    assert best.variant.turned == (wrong == "skip")
    right = varied(made, best.variant, x)
    expected = (y - right(x)).square().sum() / (y - y.mean(0)).square().sum()
    assert best.fit.fvu == pytest.approx(float(expected), rel=1e-4)
    assert best.fit.fvu < 0.7 * fit(made, text_activations(llama, variant_of(made), sample)).fvu


def test_places_of_a_width_are_named(llama: LanguageModel) -> None:
    assert fitting_hook_points(llama, 40) == ["blocks.N.mlp.hook_post"]
    assert "blocks.N.hook_resid_mid" in fitting_hook_points(llama, 32)
    assert fitting_hook_points(llama, 33) == []
