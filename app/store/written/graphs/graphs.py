"""Attribution graphs, their pins and groups. Reached as `Store.graphs`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Sequence
from typing import Any

from cachetools import LRUCache
from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from app.errors import InvalidRequest, NotFound, StoreError
from app.store.database import reading, writing
from app.store.names import free_name
from app.store.tables.catalogue import canonical
from app.store.types.graphs import GraphGroup, GraphRecord, GraphView
from app.store.written.graphs.circuits import TaskCircuits
from app.store.written.graphs.schema import StoredGraph, StoredGraphGroup
from app.store.written.texts import LONGEST_NOTE, checked, checked_line, new_id, now
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.packing import pack_graph, unpack_graph
from sae_core.errors import CircuitError

MOST_GRAPHS = 10_000
MOST_GROUPS = 200  # of one graph
MOST_MEMBERS = 2_000  # of one group, and pinned
LONGEST_TITLE = 200
LARGEST = 256 * 2**20  # bytes, packed
KEPT_GRAPHS = 8  # in memory
_HEAD = tuple(column for column in StoredGraph.__table__.columns if column.name != "content")


class Graphs:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.

    Attributes:
        circuits: of tasks.
    """

    def __init__(self, engine: Engine) -> None:
        self.circuits = TaskCircuits(engine)
        self._engine = engine
        self._kept: LRUCache[str, Graph] = LRUCache(KEPT_GRAPHS)
        self._lock = threading.Lock()

    def all(self, model: str = "") -> list[GraphView]:
        """The graphs of a model, or of all: the newest first, those that were put away last."""
        query = _select().order_by(
            StoredGraph.withdrawn, StoredGraph.created.desc(), StoredGraph.name
        )
        if model:
            query = query.where(StoredGraph.model == model)
        with reading(self._engine) as connection:
            return _views(connection, connection.execute(query).mappings().all())

    def view(self, model: str, name: str) -> GraphView:
        """One graph, without its nodes and edges.

        Raises:
            NotFound: the model has none of that name.
        """
        with reading(self._engine) as connection:
            return _view(connection, model, name)

    def asked(self, question: str) -> GraphView | None:
        """The graph that answers a question, by the SHA-256 of all that decides it; None: none
        does, or it was put away."""
        query = _select().where(StoredGraph.question == question, StoredGraph.withdrawn == 0)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(StoredGraph.created)).mappings().all()
            return _views(connection, rows)[0] if question and rows else None

    def contents(self, view: GraphView) -> Graph:
        """Nodes and edges, kept in memory for a while.

        Raises:
            NotFound: it is there no longer.
            StoreError: it is damaged.
        """
        with self._lock:
            kept = self._kept.get(view.id)
        if kept is not None:
            return kept
        with reading(self._engine) as connection:
            packed = connection.scalar(select(StoredGraph.content).where(StoredGraph.id == view.id))
        if packed is None:
            raise _unknown(view.model, view.name)
        try:
            graph = unpack_graph(packed, f"The graph {view.name}")
        except CircuitError as error:
            raise StoreError(f"{error} Restore the database from a copy, or ask anew.") from error
        with self._lock:
            self._kept[view.id] = graph
        return graph

    def save(self, record: GraphRecord) -> GraphView:
        """Keep a graph; the very same is kept once, and is taken up again if it was put away.

        Raises:
            InvalidRequest: its title is too long, it is too large, or there are too many graphs.
        """
        title = checked_line(record.title, "a title", LONGEST_TITLE) or "graph"
        graph, packed = record.graph, pack_graph(record.graph)
        if len(packed) > LARGEST:
            raise InvalidRequest(
                f"A graph takes at most {LARGEST // 2**20} MiB; this one takes "
                f"{len(packed) / 2**20:.0f}: keep fewer nodes."
            )
        key = hashlib.sha256(f"{graph.model}\n".encode() + packed).hexdigest()
        with writing(self._engine, alone=True) as connection:
            here = StoredGraph.id == key
            there = connection.execute(select(StoredGraph.name).where(here)).first()
            if there is not None:
                again = {"withdrawn": 0, "changed": now()}
                query = update(StoredGraph).where(here, StoredGraph.withdrawn == 1).values(again)
                connection.execute(query)
                return _view(connection, graph.model, there.name)
            names = set(connection.scalars(select(StoredGraph.name)))
            if len(names) >= MOST_GRAPHS:
                raise InvalidRequest(
                    f"There are {MOST_GRAPHS:,} graphs, as many as are kept: `featurescope forget "
                    "--graph MODEL/NAME` takes one out."
                )
            name, written = free_name(title, names, "graph"), now()
            connection.execute(
                insert(StoredGraph).values(
                    id=key,
                    name=name,
                    model=graph.model,
                    model_checksum=record.model_checksum,
                    question=record.question,
                    source=record.source,
                    title=title,
                    note="",
                    details=canonical(_details(record)),
                    pinned="[]",
                    created=written,
                    changed=written,
                    withdrawn=0,
                    content=packed,
                )
            )
            return _view(connection, graph.model, name)

    def describe(self, model: str, name: str, title: str, note: str) -> GraphView:
        """Give a graph another title and note. Its address stays.

        Raises:
            NotFound: there is no such graph.
            InvalidRequest: a text is empty or too long.
        """
        title = checked_line(title, "a title", LONGEST_TITLE, empty=False)
        return self._change(model, name, title=title, note=checked(note, "a note", LONGEST_NOTE))

    def put_away(self, model: str, name: str, withdrawn: bool = True) -> GraphView:
        """Put a graph away, or take it up again. Nothing of it is lost.

        Raises:
            NotFound: there is no such graph.
        """
        return self._change(model, name, withdrawn=int(withdrawn))

    def forget(self, model: str, name: str) -> None:
        """Take a graph out of the store, with its pins and groups.

        Raises:
            NotFound: there is no such graph.
        """
        with writing(self._engine, alone=True) as connection:
            view = _view(connection, model, name)
            connection.execute(delete(StoredGraph).where(StoredGraph.id == view.id))

    def pin(self, model: str, name: str, nodes: Collection[int]) -> GraphView:
        """Keep these nodes in view, and no others.

        Raises:
            NotFound: there is no such graph.
            InvalidRequest: it has no such node, or they are too many.
        """
        return self._change(model, name, nodes, pinned=json.dumps(sorted(set(nodes))))

    def _change(
        self, model: str, name: str, nodes: Collection[int] = (), **values: object
    ) -> GraphView:
        with writing(self._engine, alone=True) as connection:
            view = _view(connection, model, name)
            _check_nodes(view, nodes)
            query = update(StoredGraph).where(StoredGraph.id == view.id)
            connection.execute(query.values(changed=now(), **values))
            return _view(connection, model, name)

    def group(
        self, model: str, name: str, title: str, nodes: Collection[int], group: str = ""
    ) -> GraphView:
        """Put nodes together under a title. Each node is in one group: others lose it.

        Args:
            model: name of the graph's model.
            name: of the graph.
            title: what the nodes mean together.
            nodes: numbers of nodes, at least one.
            group: id of the group that becomes this one; empty: a new one.

        Raises:
            NotFound: there is no such graph or group.
            InvalidRequest: it has no such node, there are none or too many, the title is empty or
                too long, or there are too many groups.
        """
        title = checked_line(title, "the title of a group", LONGEST_TITLE, empty=False)
        members = sorted(set(nodes))
        if not members:
            raise InvalidRequest("A group needs at least one node: choose some first.", "nodes")
        with writing(self._engine, alone=True) as connection:
            view = _view(connection, model, name)
            _check_nodes(view, members)
            others = [made for made in view.groups if made.id != group]
            if group and len(others) == len(view.groups):
                raise NotFound(f"The graph {name} has no such group.")
            if len(others) >= MOST_GROUPS:
                raise InvalidRequest(f"A graph has at most {MOST_GROUPS} groups.")
            for other in others:
                left = [node for node in other.nodes if node not in set(members)]
                if len(left) < len(other.nodes):
                    _write(connection, view, other.id, other.title, left)
            _write(connection, view, group or new_id(), title, members)
            return _view(connection, model, name)

    def ungroup(self, model: str, name: str, group: str) -> GraphView:
        """Take a group apart.

        Raises:
            NotFound: there is no such graph or group.
        """
        with writing(self._engine, alone=True) as connection:
            view = _view(connection, model, name)
            there = [made for made in view.groups if made.id == group]
            if not there:
                raise NotFound(f"The graph {name} has no such group.")
            _write(connection, view, group, there[0].title, [])
            return _view(connection, model, name)


def _select() -> Any:
    return select(*_HEAD, func.length(StoredGraph.content).label("n_bytes"))


def _write(
    connection: Connection, view: GraphView, key: str, title: str, nodes: Sequence[int]
) -> None:
    """A group as it is now; without nodes it is withdrawn."""
    values = {
        "title": title,
        "nodes": json.dumps(list(nodes)),
        "changed": now(),
        "withdrawn": int(not nodes),
    }
    query = update(StoredGraphGroup).where(StoredGraphGroup.id == key).values(values)
    if connection.execute(query).rowcount == 0:
        connection.execute(insert(StoredGraphGroup).values(id=key, graph_id=view.id, **values))


def _check_nodes(view: GraphView, nodes: Collection[int]) -> None:
    if len(nodes) > MOST_MEMBERS:
        raise InvalidRequest(f"At most {MOST_MEMBERS:,} nodes can be chosen at once.", "nodes")
    for node in nodes:
        if not 0 <= node < view.n_nodes:
            raise InvalidRequest(
                f"The graph has nodes 0 to {view.n_nodes - 1}; there is no node {node}.", "nodes"
            )


def _details(record: GraphRecord) -> dict[str, Any]:
    graph = record.graph
    nodes = graph.nodes
    names = []
    for target, share in zip(graph.targets.tolist(), graph.target_weights.tolist(), strict=True):
        kind, index = int(nodes.kind[target]), int(nodes.index[target])
        what = "token" if kind == NodeKind.LOGIT else "feature"
        names.append([f"{what} {index}", share])
    return {
        "prompt": record.prompt,
        "n_tokens": len(graph.tokens),
        "n_nodes": len(nodes),
        "n_edges": len(graph.edges),
        "targets": names,
        "dictionaries": [
            [dictionary.name, checksum]
            for dictionary, checksum in zip(graph.dictionaries, record.checksums, strict=True)
        ],
    }


def _view(connection: Connection, model: str, name: str) -> GraphView:
    query = _select().where(StoredGraph.model == model, StoredGraph.name == name)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise _unknown(model, name)
    return _views(connection, [row])[0]


def _unknown(model: str, name: str) -> NotFound:
    return NotFound(
        f"There is no graph {name!r:.80} of {model!r:.80}. Its page of graphs names all that there "
        "are."
    )


def _views(connection: Connection, rows: Sequence[RowMapping]) -> list[GraphView]:
    """Graphs with their groups, which one query reads."""
    query = (
        select(StoredGraphGroup.__table__)
        .where(StoredGraphGroup.withdrawn == 0)
        .order_by(StoredGraphGroup.title, StoredGraphGroup.id)
    )
    if len(rows) == 1:
        query = query.where(StoredGraphGroup.graph_id == rows[0]["id"])
    groups: dict[str, list[GraphGroup]] = {}
    for row in connection.execute(query):
        made = GraphGroup(row.id, row.title, tuple(json.loads(row.nodes)))
        groups.setdefault(row.graph_id, []).append(made)
    return [_graph(row, groups.get(row["id"], [])) for row in rows]


def _graph(row: RowMapping, groups: Sequence[GraphGroup]) -> GraphView:
    details = json.loads(row["details"])
    return GraphView(
        **{name: row[name] for name in ("id", "name", "model", "model_checksum", "source")},
        **{name: row[name] for name in ("title", "note", "created", "changed", "n_bytes")},
        **{name: details[name] for name in ("prompt", "n_tokens", "n_nodes", "n_edges")},
        targets=tuple((name, share) for name, share in details["targets"]),
        dictionaries=tuple((name, checksum) for name, checksum in details["dictionaries"]),
        pinned=tuple(json.loads(row["pinned"])),
        groups=tuple(groups),
        withdrawn=bool(row["withdrawn"]),
    )
