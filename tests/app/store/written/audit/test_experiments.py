"""Experiments in the store: the same experiment back, a few texts at a time, on both databases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select, update

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.store import Store
from app.store.upkeep.holdings import holdings
from app.store.written.audit.experiments.records import details_of
from app.store.written.audit.experiments.schema import StoredExperiment, StoredExperimentTexts
from sae_core.errors import ExperimentError
from tests.app.pretend import experiments as made


def test_the_same_experiment_comes_back(store: Store) -> None:
    experiments, record = store.audit.experiments, made.record()
    view = experiments.save(record)
    assert view.name == "docs-b"
    # NaN is no equal of itself: as JSON has it.
    assert view.details.as_json() == record.details.as_json()
    assert experiments.view("docs-b").details.arms == record.details.arms
    np.testing.assert_array_equal(experiments.values(view), record.values)
    wanted = [44, 0, 21, 1]
    assert experiments.texts("docs-b", wanted) == [record.texts[number] for number in wanted]
    assert experiments.texts("docs-b", [45, 3]) == [record.texts[3]]
    asked = experiments.asked("c" * 64)
    assert asked is not None
    assert asked.name == "docs-b"
    assert experiments.asked("d" * 64) is None
    assert experiments.save(made.record(title="another")).name == "docs-b"
    other = experiments.save(made.record(question="e" * 64))
    assert other.name == "docs-b-2"
    assert {line.name for line in experiments.all()} == {"docs-b", "docs-b-2"}
    assert holdings(store.engine).written.experiments == 2
    with reading(store.engine) as connection:
        pieces = connection.scalar(select(func.count()).select_from(StoredExperimentTexts))
    assert pieces == 6  # of two experiments, twenty prompts each


def test_one_is_forgotten_with_its_texts(store: Store) -> None:
    experiments = store.audit.experiments
    view = experiments.save(made.record())
    experiments.forget("docs-b")
    assert experiments.all() == []
    with reading(store.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(StoredExperimentTexts)) == 0
    for deed in (experiments.forget, experiments.view):
        with pytest.raises(NotFound, match="no experiment 'docs-b'"):
            deed("docs-b")
    with pytest.raises(NotFound):
        experiments.values(view)


def test_a_damaged_one_is_a_sentence(store: Store) -> None:
    experiments = store.audit.experiments
    view = experiments.save(made.record())
    for details in ("{", "{}", '{"plan": 3}', "[]", "null"):
        with writing(store.engine) as connection:
            connection.execute(update(StoredExperiment).values(details=details))
        with pytest.raises(StoreError, match="docs-b is damaged"):
            experiments.view("docs-b")
    for measured in (b"", b"x", StoredExperiment.measured.key.encode()):
        with writing(store.engine) as connection:
            connection.execute(update(StoredExperiment).values(measured=measured))
        with pytest.raises(StoreError, match="damaged"):
            experiments.values(view)
    with writing(store.engine) as connection:
        connection.execute(update(StoredExperimentTexts).values(content=b"x"))
    with pytest.raises(StoreError, match="damaged"):
        experiments.texts("docs-b", [0])


def test_details_of_something_else_are_refused() -> None:
    plain = made.record().details.as_json()
    assert details_of(plain).as_json() == plain
    for wrong in ({**plain, "arms": 3}, {**plain, "figures": None}, 7, replace):
        with pytest.raises(ExperimentError):
            details_of(wrong)
