"""A graph from a file into the store, with its pins and groups."""

from __future__ import annotations

from app.errors import InvalidRequest
from app.exchange.neuronpedia.graphs.read import read_graph
from app.store.names import check_name
from app.store.store import Store
from app.store.types.graphs import GraphView


def keep_file(store: Store, text: bytes, model: str, source: str) -> GraphView:
    """Keep a graph. The very same one is kept once, and its pins and groups stay as they are.

    Args:
        store: where it goes.
        text: of the file.
        model: the name that the graph's model has here.
        source: what the file is called.

    Raises:
        InvalidRequest: it is no such file, contradicts itself, or the store takes no more.
    """
    check_name(model, "in the address of its graphs")
    foreign = read_graph(text, model, source)
    known = {view.id for view in store.graphs.all(model)}
    view = store.graphs.save(foreign.record)
    if view.id in known:
        return view
    try:
        if foreign.note:
            view = store.graphs.describe(model, view.name, view.title, foreign.note)
        if foreign.pinned:
            view = store.graphs.pin(model, view.name, foreign.pinned)
        for title, nodes in foreign.groups:
            view = store.graphs.group(model, view.name, title, nodes)
    except InvalidRequest:
        return store.graphs.view(model, view.name)  # what people wrote there is not taken here
    return view
