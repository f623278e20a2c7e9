"""What is asked of the worker for an attribution graph, from what the store knows of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from app.errors import InvalidRequest
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import dictionary_ref, model_ref, opens_with_bos
from app.worker.protocol.requests import (
    DictionaryRef,
    GraphRequest,
    NamedDictionary,
    TracedFeature,
)

METHOD = 1
"""Counted up when graphs come out differently: what was asked before is then computed anew."""
DTYPE = "float32"
MEMORY = 4 * 2**30  # bytes
EVERY = "*"  # in the hook points of a cross-layer transcoder, for the number of the block
NEURONS = "blocks.{layer}.mlp.hook_post"
_UNDECISIVE = {"deadline_seconds"}


def usual(views: Mapping[str, DictionaryView]) -> list[str]:
    """Names of the dictionaries that a graph is made of where nobody chooses: of transcoders one a
    layer, the one that costs the model least, else a cross-layer one; none where there are none."""
    best: dict[str, DictionaryView] = {}
    for view in views.values():
        if view.is_transcoder and view.harvest is not None:
            there = best.get(view.hook_point)
            if there is None or _cost(view) < _cost(there):
                best[view.hook_point] = view
    single = [view for point, view in best.items() if EVERY not in point]
    opens = {opens_with_bos(view) for view in single or best.values()}
    return [
        view.name for view in single or best.values() if opens_with_bos(view) == (True in opens)
    ]


def neurons(
    views: Mapping[str, DictionaryView], covered: Iterable[DictionaryView] = ()
) -> list[NamedDictionary]:
    """The neurons of every layer that none of some dictionaries reads.

    Args:
        views: the model's dictionaries by name: harvested neurons keep the name they have there,
            others are called as their hook point.
        covered: the dictionaries.
    """
    layers = {_layer(view.hook_point) for view in covered}
    harvested = {view.hook_point: view.name for view in views.values() if view.is_neurons}
    n_layers = next(iter(views.values())).n_layers
    points = [NEURONS.format(layer=n) for n in range(n_layers) if not layers & {str(n), EVERY}]
    return [
        NamedDictionary(
            name=harvested.get(point, point), reference=DictionaryRef(path=None, hook_point=point)
        )
        for point in points
    ]


def graph_request(
    facts: DictionaryView,
    dictionaries: Sequence[NamedDictionary],
    prompt: str,
    targets: Sequence[int] = (),
    features: Sequence[TracedFeature] = (),
    max_nodes: int = 1500,
    memory: int = MEMORY,
) -> GraphRequest:
    """The worker's request; the model runs in float32, whatever it was harvested in.

    Raises:
        InvalidRequest: the prompt is empty, there is nothing to make nodes of, or the model was
            imported without its weights.
    """
    if not prompt:
        raise InvalidRequest("A graph needs a prompt: write some text.", "prompt")
    if not dictionaries:
        raise InvalidRequest(
            "A graph needs features: choose a dictionary, or the neurons.", "dictionaries"
        )
    return GraphRequest(
        model=model_ref(facts).model_copy(update={"dtype": DTYPE}),
        prompt=prompt,
        dictionaries=tuple(dictionaries),
        targets=tuple(dict.fromkeys(targets)),
        features=tuple(dict.fromkeys(features)),
        max_nodes=max_nodes,
        memory=memory,
    )


def named(view: DictionaryView) -> NamedDictionary:
    """A dictionary of the store, for a request."""
    return NamedDictionary(name=view.name, reference=dictionary_ref(view))


def question_of(request: GraphRequest) -> str:
    """SHA-256 of all that decides a graph: where files lie does not, but memory does, which says
    how many edges are kept."""
    asked = request.model_dump(mode="json", exclude=_UNDECISIVE)
    for reference in (asked["model"], *(part["reference"] for part in asked["dictionaries"])):
        reference["path"] = reference["path"] is not None
    text = json.dumps([METHOD, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _cost(view: DictionaryView) -> float:
    extra = (view.evaluation or {}).get("extra_loss_fraction")
    return float(extra) if isinstance(extra, int | float) and extra == extra else float("inf")


def _layer(hook_point: str) -> str:
    return hook_point.split(".")[1] if hook_point.startswith("blocks.") else ""
