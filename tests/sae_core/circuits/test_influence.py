"""Influence, pruning and scores, held to their published formulas on dense float64 matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.circuits.graph import Edges, Graph, NodeKind
from sae_core.circuits.influence import (
    completeness_score,
    edge_influence,
    influence,
    prune,
    replacement_score,
)
from sae_core.errors import CircuitError
from tests.sae_core.circuits.graphs import random_graph

Matrix = NDArray[np.float64]


def dense(graph: Graph) -> tuple[Matrix, Matrix]:
    """Edges [target, source], and the weights of the targets."""
    n = len(graph.nodes)
    matrix, weights = np.zeros((n, n)), np.zeros(n)
    matrix[graph.edges.target, graph.edges.source] = graph.edges.weight
    weights[graph.targets] = graph.target_weights
    return matrix, weights


def normalised(matrix: Matrix) -> Matrix:
    size = np.abs(matrix)
    return size / np.clip(size.sum(axis=1, keepdims=True), 1e-10, None)


def through_all_paths(matrix: Matrix, weights: Matrix) -> Matrix:
    """w ((I - A')^-1 - I)."""
    n = len(matrix)
    inverse: Matrix = np.linalg.inv(np.eye(n) - normalised(matrix))
    return weights @ (inverse - np.eye(n))


def least_kept(scores: Matrix, share: float) -> float:
    ordered = np.sort(scores.ravel())[::-1]
    place = np.searchsorted(np.cumsum(ordered) / ordered.sum(), share)
    return float(ordered[min(int(place), ordered.size - 1)])


@pytest.mark.parametrize("seed", range(3))
def test_influence_is_that_of_all_paths(seed: int) -> None:
    graph = random_graph(seed)
    matrix, weights = dense(graph)
    expected = through_all_paths(matrix, weights)
    np.testing.assert_allclose(influence(graph), expected, rtol=1e-12)
    of_edges = normalised(matrix) * (expected + weights)[:, None]
    got = edge_influence(graph)
    np.testing.assert_allclose(got, of_edges[graph.edges.target, graph.edges.source], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("node_share", "edge_share"), [(0.8, 0.98), (0.4, 0.7), (1.0, 1.0)])
def test_pruning_keeps_what_the_published_steps_keep(
    seed: int, node_share: float, edge_share: float
) -> None:
    graph = random_graph(seed)
    matrix, weights = dense(graph)
    kind = graph.nodes.kind
    ends = (kind == NodeKind.TOKEN) | (kind == NodeKind.LOGIT)
    strength = through_all_paths(matrix, weights)
    nodes = (strength >= least_kept(strength, node_share)) | ends
    inner = matrix * nodes[:, None] * nodes[None]
    scores = normalised(inner) * (through_all_paths(inner, weights) + weights)[:, None]
    edges = (scores >= least_kept(scores, edge_share)) & (matrix != 0)
    for _ in range(20):
        edges &= nodes[:, None] & nodes[None]
        nodes &= edges.any(0) | ends
        nodes &= edges.any(1) | (kind != NodeKind.FEATURE)
    edges &= nodes[:, None] & nodes[None]
    pruned = prune(graph, node_share, edge_share)
    np.testing.assert_array_equal(pruned.nodes, nodes)
    np.testing.assert_array_equal(pruned.edges, edges[graph.edges.target, graph.edges.source])
    assert pruned.cumulative.max() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_are_the_published_ones(seed: int) -> None:
    graph = random_graph(seed)
    matrix, weights = dense(graph)
    strength = through_all_paths(matrix, weights)
    kind = graph.nodes.kind
    tokens, errors = (strength[kind == k].sum() for k in (NodeKind.TOKEN, NodeKind.ERROR))
    assert replacement_score(graph) == pytest.approx(tokens / (tokens + errors), rel=1e-12)
    clean = 1 - normalised(matrix)[:, kind == NodeKind.ERROR].sum(axis=1)
    output = strength + weights
    expected = (clean * output).sum() / output.sum()
    assert completeness_score(graph) == pytest.approx(expected, rel=1e-12)


def test_order_of_the_edges_changes_nothing() -> None:
    graph = random_graph()
    order = np.random.default_rng(3).permutation(len(graph.edges))
    edges = graph.edges
    shuffled = Edges(edges.source[order], edges.target[order], edges.weight[order])
    other = replace(graph, edges=shuffled)
    np.testing.assert_allclose(influence(other), influence(graph), rtol=1e-12)


def test_a_graph_without_edges_keeps_its_ends() -> None:
    graph = random_graph()
    edges = graph.edges
    none = Edges(edges.source[:0], edges.target[:0], edges.weight[:0])
    pruned = prune(replace(graph, edges=none))
    assert set(graph.nodes.kind[pruned.nodes]) == {NodeKind.TOKEN, NodeKind.LOGIT}
    assert completeness_score(replace(graph, edges=none)) == 1.0
    assert replacement_score(replace(graph, edges=none)) == 0.0


def test_a_cycle_is_refused() -> None:
    graph = random_graph()
    edges = graph.edges
    turned = Edges(
        np.append(edges.source, edges.target[-1]),
        np.append(edges.target, edges.source[-1]),
        np.append(edges.weight, np.float32(1)),
    )
    with pytest.raises(CircuitError, match="cycle"):
        influence(replace(graph, edges=turned))


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(CircuitError, match="share of nodes"):
        prune(random_graph(), node_share=1.5)
    with pytest.raises(CircuitError, match="share of edges"):
        prune(random_graph(), edge_share=float("nan"))


def test_arrays_that_do_not_fit_are_refused() -> None:
    graph = random_graph()
    nan = graph.edges.weight.copy()
    nan[0] = np.nan
    with pytest.raises(CircuitError, match="no finite number"):
        replace(graph.edges, weight=nan)
    with pytest.raises(CircuitError, match=r"target is int32 \[3\]"):
        replace(graph.edges, target=graph.edges.target[:3])
    with pytest.raises(CircuitError, match="kind that is not known"):
        replace(graph.nodes, kind=graph.nodes.kind + np.int8(3))
    far = Edges(graph.edges.source + np.int32(1000), graph.edges.target, graph.edges.weight)
    with pytest.raises(CircuitError, match="source of an edge"):
        replace(graph, edges=far)
