"""Targets where features write more or less."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.circuits.build import build_graph
from sae_core.circuits.check import Bench, check_edges
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.paths.scaled import scaled_targets
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_build import PROMPT, SETTINGS
from tests.sae_core.circuits.test_edges import transcoder


def test_targets_move_as_ablation_says_and_once_is_as_it_is(gpt2: LanguageModel) -> None:
    own: list[Dictionary] = [transcoder(layer) for layer in range(3)]
    graph = build_graph(gpt2, PROMPT, own, SETTINGS)
    bench, nodes = Bench(gpt2, own, graph), graph.nodes
    first, second = graph.targets[:2].tolist()
    edges = graph.edges
    both = np.intersect1d(edges.source[edges.target == first], edges.source[edges.target == second])
    node = int(both[nodes.kind[both] == NodeKind.FEATURE][0])
    own_edges = [
        np.flatnonzero((edges.source == node) & (edges.target == t))[0] for t in graph.targets[:2]
    ]
    same = scaled_targets(bench, [node], 1.0)
    np.testing.assert_allclose(same.values, np.tile(same.values[0], (5, 1)), rtol=0, atol=1e-5)
    probability = nodes.activation[graph.targets]
    np.testing.assert_allclose(same.probabilities[0], probability, rtol=1e-4)
    out = scaled_targets(bench, [node], 0.0)
    total = check_edges(gpt2, own, graph, np.array(own_edges)).total
    # An edge's target is a logit less the mean of all, which falls out between two.
    lost = (out.values[0] - out.values[1])[:2]
    assert lost[0] - lost[1] == pytest.approx(total[0] - total[1], abs=1e-5)
    assert abs(total[0] - total[1]) > 1e-6
    assert scaled_targets(bench, [node], 0.0, draws=0).values.shape == (2, len(graph.targets))
    with pytest.raises(CircuitError, match="no feature"):
        scaled_targets(bench, [0], 0.0)
