"""Circuits of tasks in the store: the same circuit back, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from app.errors import NotFound, StoreError
from app.store.database import writing
from app.store.store import Store
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.written.graphs.schema import StoredTaskCircuit
from tests.app.pretend import task_circuits


def test_the_same_circuit_comes_back(store: Store) -> None:
    circuits = store.graphs.circuits
    view = circuits.save(task_circuits.record())
    assert view.name == "brackets-b"
    assert view.record == task_circuits.record()
    assert circuits.view("demo", "brackets-b") == view
    assert circuits.asked("c" * 64) == view
    assert circuits.asked("d" * 64) is None
    assert circuits.save(task_circuits.record()) == view
    other = circuits.save(task_circuits.record(title="…", question="d" * 64))
    assert [kept.name for kept in circuits.all("demo")] == ["brackets-b"]
    assert other == view  # all that was found and tried is the same
    assert holdings(store.engine).written.circuits == 1
    assert not any("task_circuit" in line[:20] for line in dump(store.engine))


def test_one_is_forgotten(store: Store) -> None:
    circuits = store.graphs.circuits
    circuits.save(task_circuits.record())
    circuits.forget("demo", "brackets-b")
    assert circuits.all("demo") == []
    for deed in (circuits.forget, circuits.view):
        with pytest.raises(NotFound, match="no circuit 'brackets-b' of 'demo'"):
            deed("demo", "brackets-b")


def test_a_damaged_one_is_a_sentence(store: Store) -> None:
    circuits = store.graphs.circuits
    circuits.save(task_circuits.record())
    for details in ("{", "{}", '{"prompts": 3}'):
        with writing(store.engine) as connection:
            connection.execute(update(StoredTaskCircuit).values(details=details))
        with pytest.raises(StoreError, match="brackets-b is damaged"):
            circuits.view("demo", "brackets-b")
