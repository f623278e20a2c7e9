"""What ablations say of edges and nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sae_core.circuits.build import build_graph
from sae_core.circuits.check import check_edges, check_nodes, confirmed
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_build import PROMPT, SETTINGS
from tests.sae_core.circuits.test_edges import transcoder
from tests.sae_core.tiny_dictionaries import random_dictionary


@pytest.fixture(scope="module")
def transcoders() -> list[Dictionary]:
    return [transcoder(layer) for layer in range(3)]


@pytest.fixture(scope="module")
def graph(gpt2: LanguageModel, transcoders: list[Dictionary]) -> Graph:
    return build_graph(gpt2, PROMPT, transcoders, SETTINGS)


def test_in_the_frozen_model_every_edge_is_what_its_target_loses(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    checks = check_edges(gpt2, transcoders, graph)
    assert len(checks.edges) == len(graph.edges)
    largest = np.zeros(len(graph.nodes))
    np.maximum.at(largest, graph.edges.target, np.abs(checks.weights))
    off = np.abs(checks.frozen - checks.weights) / largest[graph.edges.target]
    assert off.max() < 1e-4
    assert 0.2 < checks.confirmed.mean() <= 1


def test_effects_in_the_real_model_are_those_of_plain_hooks(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    nodes = graph.nodes
    node = int(np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.layer == 0))[3])
    edges = np.flatnonzero((graph.edges.source == node) & (graph.edges.target == graph.targets[0]))
    layer, position, feature = (int(x[node]) for x in (nodes.layer, nodes.position, nodes.index))
    write = float(nodes.activation[node]) * transcoders[layer].W_dec[feature]
    clean = [
        gpt2.capture(PROMPT[None], gpt2.hook_point(f"blocks.{n}.hook_mlp_out")) for n in range(3)
    ]
    module, token = gpt2.module, int(nodes.index[graph.targets[0]])

    def logit(held: bool) -> float:
        handles = []
        for n in range(3):

            def hook(_: object, __: object, output: torch.Tensor, n: int = n) -> torch.Tensor:
                output = (clean[n] if held else output).clone()
                if n == layer:
                    output[0, position] -= write
                return output

            if held or n == layer:
                handles.append(module.transformer.h[n].mlp.register_forward_hook(hook))
        with torch.no_grad():
            logits = module(PROMPT[None]).logits[0, -1]
        for handle in handles:
            handle.remove()
        return float(logits[token] - logits.mean())

    with torch.no_grad():
        logits = module(PROMPT[None]).logits[0, -1]
    before = float(logits[token] - logits.mean())
    checks = check_edges(gpt2, transcoders, graph, edges)
    assert checks.direct[0] == pytest.approx(before - logit(held=True), abs=2e-5)
    assert checks.total[0] == pytest.approx(before - logit(held=False), abs=2e-5)
    whole = check_nodes(gpt2, transcoders, graph, np.array([node]))
    every = check_edges(gpt2, transcoders, graph, np.flatnonzero(graph.edges.source == node))
    ends = np.isin(graph.edges.target[every.edges], graph.targets)
    weights = graph.target_weights[
        np.searchsorted(graph.targets, graph.edges.target[every.edges[ends]])
    ]
    assert whole.total[0] == pytest.approx((every.total[ends] * weights).sum(), abs=2e-5)


def test_paths_sum_to_what_the_linear_model_loses(graph: Graph) -> None:
    """Against a dense solution: effects = w (I - A D)^-1 A, D the reciprocal activations."""
    n, nodes = len(graph.nodes), graph.nodes
    matrix = np.zeros((n, n))
    matrix[graph.edges.target, graph.edges.source] = graph.edges.weight
    weights = np.zeros(n)
    weights[graph.targets] = graph.target_weights
    share = np.where(nodes.kind == NodeKind.FEATURE, 1 / nodes.activation.astype(float), 0.0)
    expected = weights @ matrix @ np.linalg.inv(np.eye(n) - share[:, None] * matrix)
    np.testing.assert_allclose(predicted_effects(graph), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["neurons", "stream"])
def test_where_mlps_are_taken_by_their_derivative_small_steps_agree(
    gpt2: LanguageModel, kind: str
) -> None:
    if kind == "neurons":
        names = [f"blocks.{n}.mlp.hook_post" for n in range(3)]
        widths = [gpt2.hook_point(name).d_in for name in names]
        own: list[Dictionary] = [NeuronBasis(a, b) for a, b in zip(names, widths, strict=True)]
    else:
        own = [random_dictionary(f"blocks.{n}.hook_resid_post", 32) for n in range(3)]
    graph = build_graph(gpt2, PROMPT, own, GraphSettings(max_logits=2, max_nodes=30))
    strongest = np.argsort(-np.abs(graph.edges.weight))[:60]
    checks = check_edges(gpt2, own, graph, strongest)
    size = np.abs(checks.weights).max()
    np.testing.assert_allclose(checks.frozen, checks.weights, atol=0.02 * size)


def test_confirmed_is_sign_and_size_within_two() -> None:
    claimed = np.array([1.0, 1.0, 1.0, -1.0, 1.0, 0.0])
    measured = np.array([1.9, 2.1, 0.4, 0.9, 0.6, 0.0])
    assert confirmed(claimed, measured).tolist() == [True, False, False, False, True, True]


def test_a_graph_of_other_dictionaries_is_refused(
    gpt2: LanguageModel, transcoders: list[Dictionary], graph: Graph
) -> None:
    nodes = replace(graph.nodes, index=graph.nodes.index + 1)
    with pytest.raises(CircuitError, match="another model"):
        check_edges(gpt2, transcoders, replace(graph, nodes=nodes))
