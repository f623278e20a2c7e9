"""Attribution graphs in the store: the same graph back, pins, groups, on both databases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from app.errors import InvalidRequest, NotFound
from app.store.store import Store
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from sae_core.circuits.packing import MAGIC, pack_graph, unpack_graph
from sae_core.errors import CircuitError
from tests.app.pretend import circuits


def test_the_same_graph_comes_back(store: Store) -> None:
    made = circuits.graph()
    view = store.graphs.save(circuits.record(made))
    fresh = Store(store.engine).graphs.contents(view)
    assert pack_graph(fresh) == pack_graph(made)
    assert fresh.token_strings == circuits.TOKENS
    assert (view.name, view.title) == ("self-then-what", "self, then what?")
    assert (view.n_nodes, view.n_edges) == (len(made.nodes), len(made.edges))
    assert view.targets[0] == ("token 20", pytest.approx(2 / 3))
    assert view.dictionaries[0] == ("mlp-12", "b" * 64)
    assert store.graphs.asked("q" * 64) == view
    assert store.graphs.asked("") is None
    assert holdings(store.engine).written.graphs == 1
    assert not any("graph" in line[:20] for line in dump(store.engine))


def test_the_same_graph_is_kept_once_and_titles_make_names(store: Store) -> None:
    first = store.graphs.save(circuits.record(circuits.graph()))
    store.graphs.put_away("demo", first.name)
    assert store.graphs.asked("q" * 64) is None
    again = store.graphs.save(circuits.record(circuits.graph(), "another title"))
    assert (again.name, again.withdrawn) == (first.name, False)
    other = store.graphs.save(circuits.record(circuits.graph(seed=1)))
    assert other.name == "self-then-what-2"
    assert store.graphs.save(circuits.record(circuits.graph(seed=2), "…")).name == "graph"
    assert {view.name for view in store.graphs.all("demo")} == {
        "self-then-what-2",
        "graph",
        first.name,
    }
    assert store.graphs.all("nobody") == []
    with pytest.raises(NotFound, match="no graph 'nothing'"):
        store.graphs.view("demo", "nothing")
    with pytest.raises(NotFound):
        store.graphs.view("nobody", first.name)


def test_pins_and_groups(store: Store) -> None:
    name = store.graphs.save(circuits.record(circuits.graph())).name
    assert store.graphs.pin("demo", name, [7, 3, 3]).pinned == (3, 7)
    assert store.graphs.pin("demo", name, []).pinned == ()
    view = store.graphs.group("demo", name, "subject <b>", [9, 8])
    (group,) = view.groups
    assert (group.title, group.nodes) == ("subject <b>", (8, 9))
    view = store.graphs.group("demo", name, "object", [9, 10])  # 9 moves
    assert [(made.title, made.nodes) for made in view.groups] == [
        ("object", (9, 10)),
        ("subject <b>", (8,)),
    ]
    view = store.graphs.group("demo", name, "subject", [8, 11], group.id)
    assert [made.nodes for made in view.groups] == [(9, 10), (8, 11)]
    assert [made.title for made in store.graphs.ungroup("demo", name, group.id).groups] == [
        "object"
    ]
    for nodes in ([], [-1], [10**6], range(2001)):
        with pytest.raises(InvalidRequest, match="node"):
            store.graphs.group("demo", name, "wrong", list(nodes))
    with pytest.raises(InvalidRequest, match="there is no node"):
        store.graphs.pin("demo", name, [10**30])
    with pytest.raises(NotFound, match="no such group"):
        store.graphs.ungroup("demo", name, group.id)
    with pytest.raises(InvalidRequest, match="needs at least one character"):
        store.graphs.describe("demo", name, " ", "")
    assert store.graphs.describe("demo", name, "New", "a note").note == "a note"
    store.graphs.forget("demo", name)
    with pytest.raises(NotFound, match="no graph"):
        store.graphs.forget("demo", name)
    assert store.graphs.all() == []


def test_bytes_that_are_no_graph_are_refused() -> None:
    whole = pack_graph(circuits.graph())
    assert whole == pack_graph(unpack_graph(whole))
    for damaged in (b"", MAGIC, whole[:-9], whole + b"x", b"PK" + whole, MAGIC + b"nonsense"):
        with pytest.raises(CircuitError, match=r"damaged|no attribution graph"):
            unpack_graph(damaged)
    assert np.array_equal(unpack_graph(whole).nodes.layer, circuits.graph().nodes.layer)


def test_graphs_of_two_stores_are_put_together(
    sqlite_engine: Engine, other_sqlite: Engine, tmp_path: Path
) -> None:
    here, there = Store(sqlite_engine), Store(other_sqlite)
    shared = here.graphs.save(circuits.record(circuits.graph()))
    mine = here.graphs.save(circuits.record(circuits.graph(seed=1), "one name"))
    there.graphs.save(circuits.record(circuits.graph()))
    yours = there.graphs.save(circuits.record(circuits.graph(seed=2), "one name"))
    here.graphs.group("demo", mine.name, "names", [7, 8])
    export_bundle(sqlite_engine, tmp_path / "a.zip")
    import_bundle(other_sqlite, tmp_path / "a.zip", only_written=True)
    names = {view.name: view for view in there.graphs.all("demo")}
    assert names.keys() == {shared.name, yours.name, "one-name-2"}
    assert names["one-name-2"].id == mine.id
    assert names["one-name-2"].groups[0].nodes == (7, 8)
    assert pack_graph(there.graphs.contents(names["one-name-2"])) == pack_graph(
        circuits.graph(seed=1)
    )
