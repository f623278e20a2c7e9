"""Each architecture against its equation, on hand-set weights and in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CheckpointError

HOOK = "blocks.0.mlp.hook_post"
D_IN, D_SAE = 12, 700


def _random(kind: str, **options: bool) -> Dictionary:
    dictionary: Dictionary
    match kind:
        case "standard":
            dictionary = StandardDictionary(HOOK, D_IN, D_SAE, **options)
        case "jumprelu":
            dictionary = JumpReLUDictionary(HOOK, D_IN, D_SAE, **options)
        case "topk":
            dictionary = TopKDictionary(HOOK, D_IN, D_SAE, 9, **options)
        case _:
            return NeuronBasis(HOOK, D_IN)
    draw = torch.Generator().manual_seed(1)
    for parameter in dictionary.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw)
    if isinstance(dictionary, JumpReLUDictionary):
        dictionary.threshold.data.abs_()
    return dictionary.requires_grad_(False)


def _x() -> Tensor:
    return torch.randn(3, 40, D_IN, generator=torch.Generator().manual_seed(2))


def _reference(dictionary: Dictionary, x: Tensor) -> Tensor:
    """Activations token by token in float64, written from the docstrings."""
    if isinstance(dictionary, NeuronBasis):
        return x.double().clamp_min(0)
    x = x.double()
    W_enc, W_dec = dictionary.W_enc.double(), dictionary.W_dec.double()
    if dictionary.apply_b_dec_to_input:
        x = x - dictionary.b_dec.double()
    out = torch.zeros(*x.shape[:-1], D_SAE, dtype=torch.float64)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in x.shape[:-1])):
        at = tuple(place.tolist())
        pre = x[at] @ W_enc + dictionary.b_enc.double()
        if isinstance(dictionary, TopKDictionary):
            if dictionary.rescale_acts_by_decoder_norm:
                pre = pre * (W_dec**2).sum(-1).sqrt()
            best = sorted(range(D_SAE), key=lambda f: -float(pre[f]))[: dictionary.k]
            for f in best:
                out[(*at, f)] = max(0.0, float(pre[f]))
        elif isinstance(dictionary, JumpReLUDictionary):
            out[at] = torch.where(pre > dictionary.threshold.double(), pre.clamp_min(0), 0.0)
        else:
            out[at] = pre.clamp_min(0)
    return out


CASES = [
    ("standard", {}),
    ("standard", {"apply_b_dec_to_input": False}),
    ("jumprelu", {}),
    ("topk", {}),
    ("topk", {"apply_b_dec_to_input": False, "rescale_acts_by_decoder_norm": True}),
    ("neurons", {}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_encode_equals_its_equation(kind: str, options: dict[str, bool]) -> None:
    dictionary, x = _random(kind, **options), _x()
    expected = _reference(dictionary, x)
    assert (dictionary.encode(x).double() - expected).abs().max() < 1e-4
    assert ((dictionary.encode(x) > 0) == (expected > 0)).all()


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_one_feature_and_sparse_equal_dense(kind: str, options: dict[str, bool]) -> None:
    dictionary, x = _random(kind, **options), _x()
    dense = dictionary.encode(x)
    strongest = int(dense.sum((0, 1)).argmax())
    for feature in (0, strongest, dictionary.d_sae - 1):
        one = dictionary.encode_feature(x, feature)
        assert torch.allclose(one, dense[..., feature], atol=1e-5)
        assert ((one > 0) == (dense[..., feature] > 0)).all()
    flat = x.flatten(0, 1)
    firings = dictionary.encode_sparse(flat)
    rebuilt = torch.zeros(len(flat), dictionary.d_sae)
    rebuilt[firings.rows, firings.features] = firings.values
    assert torch.allclose(rebuilt, dictionary.encode(flat), atol=1e-5)
    assert (firings.values > 0).all()
    x_hat = dictionary.decode_sparse(firings, flat)
    assert torch.allclose(x_hat, dictionary(flat), atol=1e-3)
    place = firings.rows * dictionary.d_sae + firings.features
    assert (place.diff() > 0).all()


@pytest.mark.parametrize("rescale", [False, True])
def test_a_weak_feature_that_just_fires_is_not_rounded_away(rescale: bool) -> None:
    """It is the last of the k, and so weak that rounding changes it by more than its last digits:
    however its sum is ordered, it must not count as its own rival."""
    generator = torch.Generator().manual_seed(0)
    found = 0
    for feature in range(60):
        dictionary = _random("topk", rescale_acts_by_decoder_norm=rescale)
        x = 50 * torch.randn(40, D_IN, generator=generator)
        others = [f for f in range(D_SAE) if f != feature]
        sums = (dictionary.encoder_input(x) @ dictionary.W_enc)[:, feature]
        with torch.no_grad():
            dictionary.b_enc[feature] = 1e-3 - sums[0]
            dictionary.b_enc[others] = -1e4
            dictionary.b_enc[others[:8]] = 1e4  # the ninth is the last that fires
        dense = dictionary.encode(x)[:, feature]
        one = dictionary.encode_feature(x, feature)
        assert torch.allclose(one, dense, atol=2e-4)
        found += int(dense[0] > 5e-4)
    assert found > 50


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_decode_sums_decoder_rows(kind: str, options: dict[str, bool]) -> None:
    dictionary = _random(kind, **options)
    x = _x()[0, :1]
    acts = dictionary.encode(x)
    total = dictionary.b_dec.double()
    for feature in acts[0].nonzero()[:, 0].tolist():
        total = total + acts[0, feature].double() * dictionary.decoder_row(feature).double()
        assert torch.equal(dictionary.decoder_row(feature), dictionary.decoder_rows[feature])
    assert (dictionary.decode(acts, x)[0].double() - total).abs().max() < 1e-3


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_some_rows_and_what_lies_along_them(kind: str, options: dict[str, bool]) -> None:
    dictionary = _random(kind, **options)
    some = torch.tensor([3, 0, 3])
    assert torch.equal(dictionary.rows_of(some), dictionary.decoder_rows[some])
    vectors = _x()
    assert torch.allclose(
        dictionary.along_rows(vectors), vectors @ dictionary.decoder_rows.T, atol=1e-5
    )


def test_hand_set_topk() -> None:
    dictionary = TopKDictionary(HOOK, 3, 3, k=1, apply_b_dec_to_input=True)
    dictionary.W_enc.data = torch.eye(3)
    dictionary.W_dec.data = 2 * torch.eye(3)
    dictionary.b_dec.data = torch.tensor([1.0, 0.0, 0.0])
    x = torch.tensor([[3.0, 1.0, 1.5], [0.0, -2.0, -0.5]])
    assert dictionary.encode(x).tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert dictionary(x).tolist() == [[5.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_neurons_that_are_never_negative_are_reconstructed_exactly() -> None:
    x = _x().relu()
    assert torch.equal(NeuronBasis(HOOK, D_IN)(x), x)


@pytest.mark.parametrize("k", [0, 8])
def test_a_k_that_does_not_fit_is_refused(k: int) -> None:
    with pytest.raises(CheckpointError, match=f"k = {k} does not fit a dictionary of 7"):
        TopKDictionary(HOOK, 4, 7, k)


def test_of_exact_twins_the_first_is_taken_however_it_is_asked() -> None:
    """`torch.topk` chooses among equal values by the sizes of the problem."""
    dictionary = _random("topk")
    with torch.no_grad():
        for twin in range(350, 700):
            dictionary.W_enc[:, twin] = dictionary.W_enc[:, twin - 350]
            dictionary.b_enc[twin] = dictionary.b_enc[twin - 350]
    x = _x().flatten(0, 1)
    pre = dictionary.pre_activations(x)
    expected = torch.zeros_like(pre)
    for row, values in enumerate(pre.tolist()):
        order = sorted(range(D_SAE), key=lambda f: (-values[f], f))
        for feature in order[:9]:
            expected[row, feature] = max(0.0, values[feature])
    assert torch.equal(dictionary.encode(x), expected)
    firings = dictionary.encode_sparse(x)
    assert torch.equal((expected > 0).nonzero(), torch.stack([firings.rows, firings.features], 1))
    split = int((expected[:, :350] > 0).sum()) - int((expected[:, 350:] > 0).sum())
    assert split == len(x)  # nine are an odd number: each row has one twin without the other
    for feature in firings.features.unique()[:40].tolist():
        fires = dictionary.encode_feature(x, feature) > 0
        assert torch.equal(fires, expected[:, feature] > 0)
