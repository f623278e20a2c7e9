"""The job behind graphs: what it will take first, the graph last, the same bytes for the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.worker.process.failures import failure
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.protocol.events import (
    Event,
    FailureCode,
    GraphBegan,
    GraphChecked,
    GraphJudged,
    GraphTraced,
    Progress,
)
from app.worker.protocol.requests import (
    CheckGraphRequest,
    DictionaryRef,
    GraphRequest,
    JudgeGraphRequest,
    ModelRef,
    NamedDictionary,
    TracedFeature,
)
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.packing import pack_graph, unpack_graph
from sae_core.errors import FeaturescopeError
from tests.app.worker.tiny import save_model

NAMES = ("first", "second")
TEXT = "a tiny text"


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def workbench() -> TorchWorkbench:
    made = TorchWorkbench("cpu", None, Limits())
    made.prepare()
    return made


def asked(ref: ModelRef, **more: Any) -> GraphRequest:
    parts = tuple(
        NamedDictionary(
            name=name,
            reference=DictionaryRef(path=None, hook_point=f"blocks.{layer}.mlp.hook_post"),
        )
        for layer, name in enumerate(NAMES)
    )
    values = {"prompt": TEXT, "dictionaries": parts, "memory": 1 << 30, "max_nodes": 40}
    return GraphRequest(model=ref, **(values | more))


def traced(workbench: TorchWorkbench, request: GraphRequest) -> tuple[list[Event], Graph]:
    events = list(workbench.work(request))
    assert isinstance(events[-1], GraphTraced)
    return events, unpack_graph(events[-1].graph)


def test_it_says_what_it_takes_and_how_far_it_is_and_gives_the_graph(
    workbench: TorchWorkbench, ref: ModelRef
) -> None:
    events, graph = traced(workbench, asked(ref))
    (began,) = [event for event in events if isinstance(event, GraphBegan)]
    assert np.frombuffer(began.tokens, "<i4").tolist() == graph.tokens.tolist()
    assert 0 < began.memory < 1 << 30
    steps = [event for event in events if isinstance(event, Progress) and event.total]
    assert steps[-1].done <= steps[-1].total <= 40
    assert [dictionary.name for dictionary in graph.dictionaries] == list(NAMES)
    assert all(dictionary.is_neurons for dictionary in graph.dictionaries)
    assert int((graph.nodes.kind == NodeKind.FEATURE).sum()) <= 40
    assert (graph.nodes.kind[graph.targets] == NodeKind.LOGIT).all()


def test_the_same_question_gives_the_same_bytes_in_another_process_too(
    workbench: TorchWorkbench, ref: ModelRef
) -> None:
    fresh = TorchWorkbench("cpu", None, Limits())
    fresh.prepare()
    one, other = (list(bench.work(asked(ref)))[-1] for bench in (workbench, fresh))
    assert one == other


def test_a_feature_may_be_what_is_explained(workbench: TorchWorkbench, ref: ModelRef) -> None:
    _, graph = traced(workbench, asked(ref))
    nodes = graph.nodes
    node = int(np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.place == 1))[0])
    wanted = TracedFeature(
        place=1, position=int(nodes.position[node]), feature=int(nodes.index[node])
    )
    _, about = traced(workbench, asked(ref, features=(wanted,)))
    (target,) = about.targets.tolist()
    assert about.nodes.index[target] == wanted.feature
    assert about.nodes.position[target] == wanted.position


@pytest.mark.parametrize(
    "more",
    [
        {"prompt": (0,)},
        {"memory": 1},
        {"targets": (10**6,)},
        {"features": (TracedFeature(place=0, position=99, feature=0),)},
        {"features": (TracedFeature(place=7, position=1, feature=0),)},
        {"features": (TracedFeature(place=0, position=1, feature=10**6),)},
        {"prompt": "a long text " * 500},
    ],
)
def test_what_cannot_be_traced_is_the_askers_own_mistake(
    workbench: TorchWorkbench, ref: ModelRef, more: dict[str, Any]
) -> None:
    with pytest.raises(FeaturescopeError) as raised:
        list(workbench.work(asked(ref, **more)))
    said = failure(raised.value)
    assert said.code is FailureCode.INVALID
    assert said.message.endswith(".")


def test_a_part_of_a_graph_is_held_against_the_model(
    workbench: TorchWorkbench, ref: ModelRef
) -> None:
    request = asked(ref)
    _, graph = traced(workbench, request)
    check = CheckGraphRequest(model=ref, dictionaries=request.dictionaries, graph=pack_graph(graph))
    *events, answer = workbench.work(check)
    assert isinstance(answer, GraphChecked)
    # Other people's work goes on between steps of some sources each, all of which come twice.
    n = len(np.unique(graph.edges.source))
    steps = [event for event in events if isinstance(event, Progress) and event.total]
    assert len(steps) == 2 * -(-n // 32) > 2
    assert [step.total for step in steps] == [2 * n] * len(steps)
    assert steps[-1].done == 2 * n
    frozen = np.frombuffer(answer.frozen, "<f4")
    np.testing.assert_allclose(frozen, graph.edges.weight, rtol=0, atol=1e-4)
    assert len(np.frombuffer(answer.direct, "<f4")) == len(graph.edges)
    assert len(answer.targets) == len(answer.sources)


def test_all_features_are_enough_and_none_are_not(workbench: TorchWorkbench, ref: ModelRef) -> None:
    request = asked(ref, max_nodes=20_000)
    _, graph = traced(workbench, request)
    n = int((graph.nodes.kind == NodeKind.FEATURE).sum())
    judge = JudgeGraphRequest(
        model=ref,
        dictionaries=request.dictionaries,
        graph=pack_graph(graph),
        sizes=(1, n),
        draws=2,
    )
    *events, answer = workbench.work(judge)
    assert isinstance(answer, GraphJudged)
    # Two sizes, three sets of each, kept and taken out: a pass each, and the end.
    assert len([event for event in events if isinstance(event, Progress) and event.total]) == 3
    kept, removed = np.frombuffer(answer.kept, "<f4"), np.frombuffer(answer.removed, "<f4")
    assert len(kept) == len(removed) == 2
    assert np.isfinite(answer.gap)
