"""The ways by which a node reaches a target."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.circuits.build import build_graph
from sae_core.circuits.check import check_edges
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.paths import split_effect
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_build import PROMPT, SETTINGS
from tests.sae_core.circuits.test_edges import transcoder


def test_the_ways_sum_to_the_whole_effect(gpt2: LanguageModel) -> None:
    own: list[Dictionary] = [transcoder(layer, skip=layer == 1) for layer in range(3)]
    graph = build_graph(gpt2, PROMPT, own, SETTINGS)
    nodes, edges = graph.nodes, graph.edges
    first = np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.layer == 0))
    into = np.flatnonzero(np.isin(edges.source, first) & (edges.target == graph.targets[0]))
    edge = into[np.argmax(np.abs(edges.weight[into]))]
    node, target = int(edges.source[edge]), int(edges.target[edge])
    split = split_effect(gpt2, own, graph, node, target)
    checks = check_edges(gpt2, own, graph, np.array([edge]))
    assert split.names == (
        "direct", "attention", *(f"blocks.{n}.hook_mlp_out" for n in range(3))
    )  # fmt: skip
    assert split.shares.sum() == pytest.approx(split.total, abs=1e-6)
    assert split.total == pytest.approx(checks.total[0], abs=1e-5)
    assert split.shares[0] == pytest.approx(float(edges.weight[edge]), abs=1e-5)
    assert split.shares[:2].sum() == pytest.approx(checks.direct[0], abs=1e-5)
    # What the first block's MLP writes does not read what it wrote itself.
    assert split.shares[2] == pytest.approx(0, abs=1e-5)
    assert np.abs(split.shares[3:]).max() > 1e-4
    with pytest.raises(CircuitError, match="no node 100000"):
        split_effect(gpt2, own, graph, 100_000, target)
