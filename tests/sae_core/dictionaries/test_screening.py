"""The screened encoder against the dense one, where it is easy and where it is hard."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.architectures import dictionary_classes
from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from sae_core.dictionaries.screening import CROWDED, RoughEncoder, ScreenedTopK, screened
from tests.sae_core.tiny_dictionaries import random_dictionary


def _dictionary(d_in: int = 64, d_sae: int = 1024, k: int = 16) -> TopKDictionary:
    draw = torch.Generator().manual_seed(0)
    dictionary = TopKDictionary("hook", d_in, d_sae, k)
    for parameter in dictionary.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) / 4
    return dictionary.requires_grad_(False)


def _same(dictionary: TopKDictionary, x: Tensor) -> None:
    found = ScreenedTopK(dictionary).encode_sparse(x)
    rebuilt = torch.zeros(len(x), dictionary.d_sae)
    rebuilt[found.rows, found.features] = found.values
    dense = dictionary.encode(x)
    assert torch.allclose(rebuilt, dense, atol=1e-4)
    # Where the two choose differently, the candidates are equal to float32 rounding.
    swapped = (rebuilt > 0) != (dense > 0)
    assert swapped.sum() <= 2 * len(x) // 1000
    assert (found.rows.diff() >= 0).all()


def test_ordinary_activations() -> None:
    draw = torch.Generator().manual_seed(1)
    _same(_dictionary(), torch.randn(2000, 64, generator=draw).relu())


def test_features_that_bfloat16_cannot_tell_apart() -> None:
    # A hundred near copies of each direction: the screen proves nothing, the dense way decides.
    dictionary = _dictionary()
    draw = torch.Generator().manual_seed(2)
    few = torch.randn(64, 10, generator=draw)
    copies = few.repeat(1, 103)[:, :1024]
    dictionary.W_enc.data = copies + 1e-3 * torch.randn(64, 1024, generator=draw)
    dictionary.b_enc.data.zero_()
    x = torch.randn(300, 64, generator=draw)
    found = ScreenedTopK(dictionary).encode_sparse(x)
    rebuilt = torch.zeros(300, 1024)
    rebuilt[found.rows, found.features] = found.values
    exact = (x.double() - dictionary.b_dec.double()) @ dictionary.W_enc.double()
    best = exact.topk(16, dim=-1)
    expected = torch.zeros_like(exact).scatter_(-1, best.indices, best.values.relu())
    # At most a tie at float32 rounding may fall the other way.
    assert ((rebuilt - expected).abs() > 1e-3).sum() <= 4


def test_rows_on_which_almost_nothing_fires() -> None:
    dictionary = _dictionary()
    dictionary.b_enc.data -= 1.5
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(500, 64, generator=draw) * torch.linspace(0, 2, 500)[:, None]
    assert (dictionary.encode(x) > 0).sum(dim=-1).min() < 9
    _same(dictionary, x)


def _threshold_dictionary(architecture: str, d_in: int = 48, d_sae: int = 1100) -> Dictionary:
    draw = torch.Generator().manual_seed(4)
    dictionary = dictionary_classes()[architecture]("hook", d_in, d_sae)  # type: ignore[call-arg]
    for name, parameter in dictionary.named_parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) / 4
        if name in ("b_enc", "b_gate"):
            parameter.data -= 2.5
        if name == "threshold":
            parameter.data += 0.5  # some are below 0
    return dictionary.requires_grad_(False)


def _equal_to_dense(dictionary: Dictionary, x: Tensor) -> Firings:
    """What the screened encoder gives, which must be what the dense one does."""
    encoder = screened(dictionary)
    assert encoder is not dictionary
    found, dense = encoder.encode_sparse(x), dictionary.encode(x)
    rebuilt = torch.zeros_like(dense)
    rebuilt[found.rows, found.features] = found.values
    assert torch.equal(rebuilt > 0, dense > 0)
    assert torch.allclose(rebuilt, dense, atol=1e-4)
    assert ((found.rows * dictionary.d_sae + found.features).diff() > 0).all()
    assert (found.rows.dtype, found.values.dtype) == (torch.int64, torch.float32)
    return found


KINDS = ["standard", "jumprelu", "gated"]


@pytest.mark.parametrize("architecture", KINDS)
def test_thresholds_on_ordinary_activations(architecture: str) -> None:
    dictionary = _threshold_dictionary(architecture)
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(500, 48, generator=draw) * torch.linspace(0, 1.2, 500)[:, None]
    found = _equal_to_dense(dictionary, x)
    assert 1 < len(found.values) / 500 < CROWDED * dictionary.d_sae
    _equal_to_dense(dictionary, x[:1])
    assert len(screened(dictionary).encode_sparse(x[:0]).values) == 0


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("margin", [2e-3, -2e-3])
def test_features_that_only_just_fire_or_do_not(architecture: str, margin: float) -> None:
    """Each of a few features is brought so close to its bar, on a token of its own, that bfloat16
    cannot say on which side: a bound too small would lose it, trust in bfloat16 invent it."""
    dictionary = _threshold_dictionary(architecture)
    draw = torch.Generator().manual_seed(6)
    own = torch.arange(40)
    x = 4 * torch.randn(len(own), 48, generator=draw)
    products = dictionary.encoder_input(x) @ dictionary.W_enc
    with torch.no_grad():
        offsets = torch.full((dictionary.d_sae,), -60.0)
        offsets[own] = margin - products[own, own]
        if isinstance(dictionary, GatedDictionary):
            dictionary.b_gate.copy_(offsets)
            dictionary.b_mag.fill_(100.0)
        else:
            dictionary.b_enc.copy_(offsets)
            if isinstance(dictionary, JumpReLUDictionary):
                dictionary.b_enc += dictionary.threshold.clamp_min(0.0)
    found = _equal_to_dense(dictionary, x)
    assert len(found.values) < CROWDED * len(x) * dictionary.d_sae
    fires = _dense_of(found, x, dictionary)[own, own] > 0
    assert bool((fires == (margin > 0)).all())


@pytest.mark.parametrize("size", [1e-3, 1.0, 300.0])
def test_the_bound_on_rough_values_holds_and_is_no_guess(size: float) -> None:
    draw = torch.Generator().manual_seed(10)
    weight = torch.randn(96, 700, generator=draw) * torch.linspace(0.1, 3, 700)
    offset = 20 * torch.randn(700, generator=draw)
    u = size * torch.randn(64, 96, generator=draw)
    u[:, 5] *= 100  # one direction that outweighs the rest, as residual streams have them
    rough, slack = RoughEncoder(weight, offset).products(u)
    error = (rough.double() - (u.double() @ weight.double() + offset.double())).abs()
    bound = slack[:, None].double() + 1.01 * 2**-8 * rough.double().abs()
    assert bool((error <= bound).all())
    assert float((error / bound).max()) > 0.05


def _dense_of(found: Firings, x: Tensor, dictionary: Dictionary) -> Tensor:
    acts = torch.zeros(len(x), dictionary.d_sae)
    acts[found.rows, found.features] = found.values
    return acts


@pytest.mark.parametrize("architecture", KINDS)
def test_a_crowd_is_encoded_densely(architecture: str) -> None:
    dictionary = _threshold_dictionary(architecture)
    x = 50 * torch.randn(20, 48, generator=torch.Generator().manual_seed(7))
    found = _equal_to_dense(dictionary, x)
    assert len(found.values) > CROWDED * 20 * dictionary.d_sae


@pytest.mark.parametrize("norm", [InputNorm.LAYER_NORM, InputNorm.CONSTANT_NORM])
@pytest.mark.parametrize("architecture", [*KINDS, "topk"])
def test_behind_a_normalisation(architecture: str, norm: InputNorm) -> None:
    inner = _dictionary(48) if architecture == "topk" else _threshold_dictionary(architecture)
    dictionary = NormalisedDictionary(inner, norm)
    x = 3 + 30 * torch.randn(200, 48, generator=torch.Generator().manual_seed(8))
    if architecture != "topk":
        _equal_to_dense(dictionary, x)
    found = screened(dictionary).encode_sparse(x)
    dense = dictionary.encode(x)
    assert torch.allclose(_dense_of(found, x, dictionary), dense, atol=1e-3)


def test_what_is_no_number_is_not_hidden() -> None:
    dictionary = _threshold_dictionary("standard")
    x = torch.full((3, 48), torch.nan)
    assert screened(dictionary).encode_sparse(x).values.isnan().all()
    assert len(screened(dictionary).encode_sparse(x).values) == 3 * dictionary.d_sae


@pytest.mark.parametrize("architecture", ["standard", "neurons", "topk"])
def test_dictionaries_that_do_not_gain_are_left_alone(architecture: str) -> None:
    dictionary = random_dictionary("hook", 12, architecture=architecture)
    assert screened(dictionary) is dictionary
    normalised = NormalisedDictionary(dictionary, InputNorm.LAYER_NORM)
    assert screened(normalised) is normalised
