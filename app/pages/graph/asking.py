"""From what is asked of a graph to the worker's request, and from its answer into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.errors import InvalidRequest
from app.pages.graph.questions import GraphQuestion
from app.rendering.tokens import printable
from app.store.types.catalogue import DictionaryView
from app.store.types.graphs import GraphRecord, GraphView
from app.web.model import AddressedModel
from app.web.search.named_tokens import token_of
from app.worker.client.graphs import (
    graph_request,
    named,
    neurons,
    question_of,
    usual,
)
from app.worker.client.references import check_alike
from app.worker.protocol.events import GraphTraced
from app.worker.protocol.requests import GraphRequest, NamedDictionary, TracedFeature
from sae_core.circuits.packing import unpack_graph

_LONGEST_TITLE = 80


@dataclass(frozen=True)
class GraphTask:
    """A graph that somebody wants.

    Attributes:
        request: for the worker.
        question: SHA-256 of all that decides the graph.
        title: what it is called at first.
        checksums: of the store's dictionaries among those of the request, by name.
    """

    request: GraphRequest
    question: str
    title: str
    checksums: Mapping[str, str]


def graph_task(model: AddressedModel, question: GraphQuestion) -> GraphTask:
    """What to ask the worker.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: a target is no token, a feature is not there, there is nothing to make
            nodes of, or dictionaries lie at the same place or cannot be part of a graph.
    """
    views = chosen(model, question)
    check_alike(views, "dictionaries")
    parts = places(model, question, views)
    try:
        targets = [token_of(model.typeset.vocabulary, target) for target in question.targets]
    except InvalidRequest as error:
        raise InvalidRequest(str(error), "targets") from error
    request = graph_request(
        views[0] if views else model.facts,
        parts,
        question.prompt,
        targets,
        _features(model, question, parts),
        question.max_nodes,
        round(question.memory * 2**30),
    )
    return GraphTask(
        request=request,
        question=question_of(request),
        title=title_of(question.prompt),
        checksums={view.name: view.checksum for view in views},
    )


def chosen(model: AddressedModel, question: GraphQuestion) -> list[DictionaryView]:
    """The dictionaries whose features are nodes, by layer.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: two explain the same activation.
    """
    names = question.dictionaries
    if names is None:
        names = () if question.neurons else tuple(usual(model.dictionaries))
    views = [model.dictionary(name) for name in dict.fromkeys(names)]
    places: dict[str, DictionaryView] = {}
    for view in views:
        other = places.setdefault(view.output_hook_point, view)
        if other is not view:
            raise InvalidRequest(
                f"{other.name} and {view.name} both explain {view.output_hook_point}: a graph "
                "takes one of them.",
                "dictionaries",
            )
    return views


def places(
    model: AddressedModel, question: GraphQuestion, views: Sequence[DictionaryView]
) -> list[NamedDictionary]:
    """All whose features are nodes: chosen dictionaries, and neurons where these are wanted."""
    parts = [named(view) for view in views]
    if question.neurons if question.neurons is not None else not views:
        parts += neurons(model.dictionaries, views)
    return parts


def keep(model: AddressedModel, task: GraphTask, answer: GraphTraced) -> GraphView:
    """The worker's graph, in the store.

    Raises:
        CircuitError: it makes no sense.
        InvalidRequest: the store takes no more.
    """
    graph = replace(unpack_graph(answer.graph, "The worker's graph"), model=model.name)
    return model.store.graphs.save(
        GraphRecord(
            graph=graph,
            model_checksum=task.request.model.checksum,
            checksums=tuple(task.checksums.get(d.name, "") for d in graph.dictionaries),
            prompt=str(task.request.prompt),
            question=task.question,
            source="",
            title=task.title,
        )
    )


def title_of(prompt: str) -> str:
    """The end of a prompt, on one line: that is what is predicted from."""
    line = printable(" ".join(prompt.split()))
    return line if len(line) <= _LONGEST_TITLE else f"… {line[-_LONGEST_TITLE:]}"


def _features(
    model: AddressedModel, question: GraphQuestion, parts: list[NamedDictionary]
) -> list[TracedFeature]:
    names = [part.name for part in parts]
    features = []
    for target in question.features:
        if target.dictionary not in names:
            raise InvalidRequest(
                f"{target.dictionary!r:.80} is not among the dictionaries of this graph, which are "
                f"{', '.join(names)[:300]}.",
                "features",
            )
        if target.dictionary in model.dictionaries:
            model.dictionary(target.dictionary, target.feature)
        features.append(
            TracedFeature(
                place=names.index(target.dictionary),
                position=target.position,
                feature=target.feature,
            )
        )
    return features
