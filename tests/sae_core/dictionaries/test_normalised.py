"""Dictionaries behind an input normalisation: everything in the model's own units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from tests.sae_core.tiny_dictionaries import random_dictionary

NORMS = [InputNorm.LAYER_NORM, InputNorm.CONSTANT_NORM]


def _dictionary(norm: InputNorm, architecture: str = "standard") -> NormalisedDictionary:
    inner = random_dictionary("hook", 12, architecture=architecture)
    return NormalisedDictionary(inner, norm).to(torch.float64)


def _x() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return (5 * torch.randn(40, 12, generator=draw) + 2).double()


@pytest.mark.parametrize("norm", NORMS)
def test_a_feature_leaves_the_reconstruction_as_it_leaves_an_activation(norm: InputNorm) -> None:
    """Interventions write x - a_f d_f: setting feature f to 0 where it was computed, in the units
    of the normalised activation, must change x_hat by just that."""
    dictionary, x = _dictionary(norm), _x()
    z, scale, mean = dictionary.normalise(x)
    inner = dictionary.inner.encode(z)
    acts = dictionary.encode(x)
    feature = int(acts.sum(dim=0).argmax())
    inner[:, feature] = 0.0
    without = dictionary.inner.decode(inner, z) * scale + mean
    written = acts[:, feature, None] * dictionary.decoder_row(feature)
    assert torch.allclose(dictionary(x) - written, without, atol=1e-12)
    assert float(written.abs().max()) > 1


@pytest.mark.parametrize("norm", NORMS)
def test_a_larger_activation_is_the_same_text_written_larger(norm: InputNorm) -> None:
    dictionary, x = _dictionary(norm), _x()
    size = 7.0
    # Up to the small constant in the divisor, which does not grow with x.
    for part in (dictionary.encode, dictionary):
        assert torch.allclose(part(size * x), size * part(x), rtol=1e-4, atol=1e-3)


def test_by_hand() -> None:
    layer = _dictionary(InputNorm.LAYER_NORM)
    z, scale, mean = layer.normalise(torch.tensor([[1.0, 3.0] * 6]))
    deviation = (12 / 11) ** 0.5  # of 1 and 3 around 2, with 11 in the denominator
    assert mean.tolist() == [[2.0]]
    assert float(scale) == pytest.approx(deviation)
    assert z[0, :2].tolist() == pytest.approx([-1 / (deviation + 1e-5), 1 / (deviation + 1e-5)])
    constant = _dictionary(InputNorm.CONSTANT_NORM)
    z, scale, mean = constant.normalise(torch.full((1, 12), 3.0))
    assert (float(scale), float(mean)) == (pytest.approx(3.0), 0.0)
    assert z[0].tolist() == pytest.approx([1.0] * 12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", ["standard", "topk"])
def test_nonlinearity_and_pre_activations_fit_together(norm: InputNorm, architecture: str) -> None:
    dictionary, x = _dictionary(norm, architecture), _x()
    _, scale, _ = dictionary.normalise(x)
    acts = dictionary.activate(dictionary.pre_activations(x)) * scale
    assert torch.allclose(acts, dictionary.encode(x), atol=1e-12)
    assert dictionary.architecture == architecture
