"""The jobs behind one node of a graph: sums are whole, and other work goes on in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.protocol.arrays import unpack_float32
from app.worker.protocol.events import (
    NodeComposed,
    NodeSplit,
    NodesScaled,
    Progress,
    ScoreExplained,
)
from app.worker.protocol.paths import (
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import ModelRef
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.packing import pack_graph
from tests.app.worker.process.test_jobs_graph import asked, ref, traced, workbench  # noqa: F401


@pytest.fixture(scope="module")
def question(workbench: TorchWorkbench, ref: ModelRef) -> tuple[Graph, dict[str, Any]]:  # noqa: F811
    request = asked(ref)
    _, graph = traced(workbench, request)
    parts = {"model": ref, "dictionaries": request.dictionaries, "graph": pack_graph(graph)}
    return graph, parts


def last(graph: Graph) -> int:
    return int(np.flatnonzero(graph.nodes.kind == NodeKind.FEATURE)[-1])


def test_sums_are_whole(
    workbench: TorchWorkbench,  # noqa: F811
    question: tuple[Graph, dict[str, Any]],
) -> None:
    graph, parts = question
    node, target = last(graph), int(graph.targets[0])
    *steps, split = workbench.work(SplitNodeRequest(**parts, node=node, target=target))
    assert isinstance(split, NodeSplit)
    assert sum(isinstance(step, Progress) for step in steps) > 2
    assert unpack_float32(split.shares).sum() == pytest.approx(split.total, abs=1e-5)
    edge = unpack_float32(split.through).sum() + split.straight
    assert edge == pytest.approx(float(unpack_float32(split.shares)[0]), abs=1e-5)
    *_, made = workbench.work(ComposeNodeRequest(**parts, node=node))
    assert isinstance(made, NodeComposed)
    total = unpack_float32(made.straight).sum() + unpack_float32(made.through).sum()
    assert total + made.rest + made.constant == pytest.approx(made.value, abs=1e-5)
    *_, score = workbench.work(ExplainScoreRequest(**parts, layer=1, head=0, query=2, key=1))
    assert isinstance(score, ScoreExplained)
    for side in (score.query, score.key):
        assert unpack_float32(side).sum() == pytest.approx(score.score, abs=1e-5)
    *_, scaled = workbench.work(ScaleNodesRequest(**parts, nodes=(node,), factor=1.0))
    assert isinstance(scaled, NodesScaled)
    values = unpack_float32(scaled.values).reshape(5, -1)
    np.testing.assert_allclose(values, np.tile(values[0], (5, 1)), rtol=0, atol=1e-5)
