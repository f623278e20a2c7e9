"""Edges held to ablations in frozen models that are written out by hand (`reference`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.build import build_graph
from sae_core.circuits.frozen.parts import wire
from sae_core.circuits.frozen.rows import Causes, Targets, causes_of
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.circuits.reference import FrozenReference, Pass, plain_model
from tests.sae_core.language_model.zoo import build
from tests.sae_core.tiny_models import save_folder

D_SAE = 24
LOGITS = torch.tensor([3, 77])
RAW = {"gemma2": {0, 2}}  # blocks whose transcoder writes before the norm behind the MLP


def transcoder(layer: int, output: str = "hook_mlp_out", skip: bool = False) -> StandardDictionary:
    """A seeded transcoder from what the MLP reads."""
    out = Output(f"blocks.{layer}.{output}", 32, skip)
    dictionary = StandardDictionary(f"blocks.{layer}.mlp.hook_in", 32, D_SAE, False, out)
    draw = torch.Generator().manual_seed(layer)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return dictionary.requires_grad_(False)


@dataclass(frozen=True)
class Case:
    name: str
    model: LanguageModel
    exact: FrozenReference
    tokens: Tensor
    dictionaries: list[StandardDictionary]


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = save_folder(build(request.param), tmp_path_factory.mktemp("frozen") / "model")
    tokens = torch.cat([torch.zeros(1).long(), torch.arange(50, 57)])
    model = load_model(folder)
    raw = RAW.get(request.param, set())
    dictionaries = [
        transcoder(layer, "mlp.hook_out" if layer in raw else "hook_mlp_out", layer == 1)
        for layer in range(model.n_layers)
    ]
    exact = FrozenReference(plain_model(folder), tokens)
    plain_hidden = exact.plain.base_model(input_ids=tokens[None]).last_hidden_state[0]
    # The library's RMS norms compute in float32 at most.
    torch.testing.assert_close(exact.clean.hidden, plain_hidden, rtol=1e-5, atol=1e-5)
    return Case(request.param, model, exact, tokens, dictionaries)


def rows_of(
    model: LanguageModel, tokens: Tensor, dictionaries: Sequence[Dictionary]
) -> tuple[Causes, Targets, Tensor]:
    """Edges into two logits and into all features."""
    causes = causes_of(model, tokens, wire(model, dictionaries))
    targets = Targets(LOGITS, torch.arange(causes.begins[0], causes.begins[-1]))
    return causes, targets, causes.rows(targets).double()


def written(case: Case, layer: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Activations of a transcoder on what its MLP reads, without BOS, and where they write, in
    float64."""
    dictionary = case.dictionaries[layer]
    pre = x @ dictionary.W_enc.double() + dictionary.b_enc.double()
    acts = torch.relu(pre)
    acts[0] = 0
    return acts, pre


class Ablating:
    """The reference with transcoders' features, errors and tokens taken out one at a time."""

    def __init__(self, case: Case) -> None:
        self.case, self.exact = case, case.exact
        clean = case.exact.clean
        self.in_raw = RAW.get(case.name, set())
        self.acts = [written(case, n, x)[0] for n, x in enumerate(clean.read)]
        self.base = [
            (clean.raw if n in self.in_raw else clean.out)[n] - self.skipped(n, clean.read[n])
            for n in range(len(clean.read))
        ]

    def skipped(self, layer: int, x: Tensor) -> Tensor | float:
        dictionary = self.case.dictionaries[layer]
        if dictionary.output is None or not dictionary.output.skip:
            return 0.0
        return x @ dictionary.W_skip.double().T

    def targets(self, embedding: Tensor, writes: Sequence[Tensor]) -> Tensor:
        """Values of two logits and pre-activations of all that fires, in our order."""
        n = len(writes)
        given: list[Tensor | None] = list(writes)
        if any(d.output is not None and d.output.skip for d in self.case.dictionaries):
            # What the skip connection reads is known only when the blocks below have been run.
            read = self._run(embedding, given).read[1]
            given[1] = writes[1] + self.skipped(1, read)
        result = self._run(embedding, given)
        values = [self.exact.centred_logits(result.hidden, LOGITS)]
        for layer in range(n):
            pre = written(self.case, layer, result.read[layer])[1]
            values.append(pre[self.acts[layer] > 0])
        return torch.cat(values)

    def _run(self, embedding: Tensor, given: Sequence[Tensor | None]) -> Pass:
        raw = [x if n in self.in_raw else None for n, x in enumerate(given)]
        out = [None if n in self.in_raw else x for n, x in enumerate(given)]
        return self.exact.run(embedding, raw, out)

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Edges [targets, tokens and features and errors]; constants; values [targets]."""
        embedding = self.exact.clean.embedding
        whole = self.targets(embedding, self.base)
        columns: list[Tensor] = []
        for position in range(len(embedding)):
            without = embedding.clone()
            without[position] = 0
            columns.append(whole - self.targets(without, self.base))
        for layer, acts in enumerate(self.acts):
            rows = self.case.dictionaries[layer].W_dec.double()
            for position, feature in acts.nonzero().tolist():
                write = acts[position, feature] * rows[feature]
                columns.append(self._lacking(whole, layer, position, write))
        constants = []
        for layer, acts in enumerate(self.acts):
            dictionary = self.case.dictionaries[layer]
            constant = dictionary.b_dec.double().expand(len(acts), -1).clone()
            constant[0] = 0
            error = self.base[layer] - acts @ dictionary.W_dec.double() - constant
            constants.append(constant)
            columns += [self._lacking(whole, layer, n, error[n]) for n in range(len(acts))]
        bare = self.targets(torch.zeros_like(embedding), constants)
        return torch.stack(columns, dim=1), bare, whole

    def _lacking(self, whole: Tensor, layer: int, position: int, write: Tensor) -> Tensor:
        writes = list(self.base)
        writes[layer] = writes[layer].clone()
        writes[layer][position] -= write
        return whole - self.targets(self.exact.clean.embedding, writes)


@pytest.fixture(scope="module")
def brute(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    return Ablating(case).edges()


def test_an_edge_is_what_ablation_changes_in_the_frozen_model(
    case: Case, brute: tuple[Tensor, Tensor, Tensor]
) -> None:
    edges, _, _ = brute
    _, _, ours = rows_of(case.model, case.tokens, case.dictionaries)
    assert ours.shape == edges.shape
    largest = edges.abs().amax(dim=1, keepdim=True)
    assert float(((ours - edges).abs() / largest).max()) < 1e-5


def test_in_float64_the_two_are_one(case: Case, brute: tuple[Tensor, Tensor, Tensor]) -> None:
    edges, _, _ = brute
    model = load_model(case.model.path, "float64")
    doubled = [copy.deepcopy(dictionary).double() for dictionary in case.dictionaries]
    _, _, ours = rows_of(model, case.tokens, doubled)
    close = 1e-10 if case.name == "gpt2" else 2e-6  # the library's RMS norms compute in float32
    largest = edges.abs().amax(dim=1, keepdim=True)
    assert float(((ours - edges).abs() / largest).max()) < close


def test_inputs_and_constant_sum_to_what_the_target_is(
    case: Case, brute: tuple[Tensor, Tensor, Tensor]
) -> None:
    _, constants, values = brute
    causes, targets, ours = rows_of(case.model, case.tokens, case.dictionaries)
    total = ours.sum(dim=1) + constants
    torch.testing.assert_close(total, values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(causes.values(targets).double(), values, rtol=1e-4, atol=1e-4)


def edge_matrix(graph: Graph) -> NDArray[np.float64]:
    matrix = np.zeros((len(graph.nodes), len(graph.nodes)))
    matrix[graph.edges.target, graph.edges.source] = graph.edges.weight
    return matrix


def test_the_graph_has_the_rows_in_order(case: Case) -> None:
    settings = GraphSettings(target_tokens=tuple(LOGITS.tolist()))
    graph = build_graph(case.model, case.tokens, case.dictionaries, settings)
    causes, _, rows = rows_of(case.model, case.tokens, case.dictionaries)
    nodes, own = graph.nodes, causes.nodes()
    keys = list(zip(nodes.kind, nodes.layer, nodes.position, nodes.index, strict=True))
    ours = list(zip(own.kind, own.layer, own.position, own.index, strict=True))
    matrix = edge_matrix(graph)
    columns = [ours.index(key) for key in keys[: -len(LOGITS)]]
    np.testing.assert_allclose(matrix[-2:, :-2], rows[:2, columns], rtol=1e-4, atol=1e-6)
    place = int(np.flatnonzero(nodes.kind == NodeKind.FEATURE)[-1])
    row = 2 + ours.index(keys[place]) - causes.begins[0]
    np.testing.assert_allclose(matrix[place, :-2], rows[row, columns], rtol=1e-4, atol=1e-6)
    order = [(layer, position, index) for kind, layer, position, index in keys if kind != 3]
    assert order == sorted(order)
    assert graph.target_weights.sum() == pytest.approx(1)


def test_neurons_pass_on_the_derivative_of_their_activation(case: Case) -> None:
    """What a few neurons do to later ones, held to derivatives of the reference in float64."""
    model, exact, clean = case.model, case.exact, case.exact.clean
    widths = [exact.neurons(n, x).shape[1] for n, x in enumerate(clean.read)]
    names = [f"blocks.{n}.mlp.hook_post" for n in range(model.n_layers)]
    neurons = [NeuronBasis(name, width) for name, width in zip(names, widths, strict=True)]
    causes, _, ours = rows_of(model, case.tokens, neurons)
    nodes = causes.nodes()
    ours = ours[2:]  # into neurons
    posts = [exact.neurons(n, x) for n, x in enumerate(clean.read)]
    for layer, position, index in ((0, 3, 5), (0, 6, 1), (1, 2, 30)):
        changed = list(posts)
        changed[layer] = posts[layer].clone()
        changed[layer][position, index] = 0
        writes = [exact.mlp_of(n, x) for n, x in enumerate(changed)]
        read = exact.run(clean.embedding, writes).read
        source = np.flatnonzero(
            (nodes.layer == layer) & (nodes.position == position) & (nodes.index == index)
        )
        for later in range(layer + 1, model.n_layers):
            move = clean.read[later] - read[later]
            _, expected = torch.autograd.functional.jvp(
                lambda x, n=later: exact.neurons(n, x), clean.read[later], move
            )
            at = np.flatnonzero((nodes.layer == later) & (nodes.kind == NodeKind.FEATURE))
            got = ours[at - causes.begins[0], int(source[0])]
            aim = expected[nodes.position[at], nodes.index[at]]
            assert float((got - aim).abs().max()) < 1e-5 * float(expected.abs().max())
