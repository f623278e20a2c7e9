"""The ways by which a node reaches a target."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.circuits.build import build_graph
from sae_core.circuits.check import Bench, check_edges
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.paths.split import partly_frozen, split_effect
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
    layer = int(nodes.layer[node])
    assert split.names[:3] == ("direct", f"blocks.{layer}.attn", f"blocks.{layer}.hook_mlp_out")
    assert split.names[-1] == "final norm"
    assert split.shares.sum() == pytest.approx(split.total, abs=1e-6)
    assert split.total == pytest.approx(checks.total[0], abs=1e-5)
    assert split.shares[0] == pytest.approx(float(edges.weight[edge]), abs=1e-5)
    # Patterns and denominators answer, and nothing that is written does: the direct effect.
    held = [n for n, name in enumerate(split.names) if name.endswith(("direct", "attn", "norm"))]
    assert len(held) == 2 + (3 - layer)
    # What the first block's MLP writes does not read what it wrote itself.
    assert split.shares[2] == pytest.approx(0, abs=1e-5)
    assert np.abs(split.shares[3:]).max() > 1e-4
    assert split.alone.sum() + split.together == pytest.approx(split.total)
    assert abs(split.together) > 1e-6
    # The edge goes along the stream and through heads, none of which is below the node.
    assert split.straight + split.through.sum() == pytest.approx(split.shares[0])
    assert np.abs(split.through).max() > 1e-6
    assert not split.through[split.layers <= layer].any()
    with pytest.raises(CircuitError, match="no node 100000"):
        split_effect(gpt2, own, graph, 100_000, target)
    with pytest.raises(CircuitError, match="A logit has no effect"):
        split_effect(gpt2, own, graph, target, target)


def test_patterns_and_norms_that_answer_alone_are_the_direct_effect(gpt2: LanguageModel) -> None:
    own: list[Dictionary] = [transcoder(layer) for layer in range(3)]
    graph = build_graph(gpt2, PROMPT, own, SETTINGS)
    bench = Bench(gpt2, own, graph)
    node = np.flatnonzero((graph.nodes.kind == NodeKind.FEATURE) & (graph.nodes.layer == 0))[:1]
    rows, target = np.zeros(1, dtype=np.int64), graph.targets[:1]
    live = partly_frozen(bench, node, {0, 1, 2, 3}, set())
    clean, held, _ = bench.direct(node)
    ours, direct = (bench.lost((clean, replay, 1.0), rows, target)[0] for replay in (live, held))
    assert ours == pytest.approx(direct, abs=1e-6)
    assert ours != pytest.approx(bench.lost(bench.frozen(node), rows, target)[0], abs=1e-6)
