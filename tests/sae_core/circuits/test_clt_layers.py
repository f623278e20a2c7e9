"""A graph of the layers of a cross-layer transcoder, each a dictionary of its own."""

from __future__ import annotations

import pytest
import torch

from sae_core.circuits.frozen.parts import wire
from sae_core.circuits.frozen.rows import Targets, causes_of
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.circuits.clt_layers import layers_of
from tests.sae_core.tiny_models import save_folder, tiny_gpt2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_model(save_folder(tiny_gpt2(), tmp_path_factory.mktemp("clt")))


@pytest.fixture(scope="module")
def clt() -> CrossLayerTranscoder:
    output = Output("blocks.*.hook_mlp_out", 96, layers=3)
    made = CrossLayerTranscoder("blocks.*.mlp.hook_in", 96, 60, output)
    draw = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    made.threshold.data.abs_()
    made.requires_grad_(False)
    return made


def test_edges_are_those_of_the_whole(model: LanguageModel, clt: CrossLayerTranscoder) -> None:
    tokens = torch.tensor([0, 40, 41, 90, 17, 205])
    rows, remainders = [], []
    for dictionaries in ([clt], layers_of(clt)):
        causes = causes_of(model, tokens, wire(model, dictionaries))
        features = torch.arange(causes.begins[0], causes.begins[-1])
        rows.append(causes.rows(Targets(torch.tensor([3, 77]), features)))
        remainders.append(causes.remainders)
    assert rows[0].shape[0] > 10
    torch.testing.assert_close(rows[1], rows[0])
    for whole, layer in zip(*remainders, strict=True):
        torch.testing.assert_close(layer.error, whole.error)
        torch.testing.assert_close(layer.constant, whole.constant)


def test_without_a_later_layer_its_block_s_constant_is_in_the_error(
    model: LanguageModel, clt: CrossLayerTranscoder
) -> None:
    tokens = torch.tensor([0, 40, 41, 90])
    first = layers_of(clt)[0]
    causes = causes_of(model, tokens, wire(model, [first]))
    y = model.capture(tokens[None], model.hook_point("blocks.2.hook_mlp_out"))[0]
    acts = first.encode(model.capture(tokens[None], model.hook_point(first.hook_point)))[0]
    acts[0] = 0  # BOS is not read
    (left,) = (left for left in causes.remainders if left.point.layer == 2)
    torch.testing.assert_close(left.error, y - acts @ first.later_rows[1], rtol=1e-4, atol=1e-5)
    assert not bool(left.constant.any())


def test_two_that_replace_one_activation_are_refused(
    model: LanguageModel, clt: CrossLayerTranscoder
) -> None:
    first, second, _ = layers_of(clt)
    with pytest.raises(CircuitError, match="Dictionaries 2 and 3 both replace"):
        wire(model, [first, second, second])
    neurons = NeuronBasis("blocks.1.mlp.hook_post", 48)
    with pytest.raises(CircuitError, match=r"both replace what stands at blocks\.1\."):
        wire(model, [first, neurons])
