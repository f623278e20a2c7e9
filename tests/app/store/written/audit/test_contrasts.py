"""Contrasts of texts in the store: the same contrast back, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from app.errors import NotFound, StoreError
from app.store.database import writing
from app.store.store import Store
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.written.audit.contrasts.schema import StoredTextContrast
from tests.app.pretend import contrasts as made


def test_the_same_contrast_comes_back(store: Store) -> None:
    contrasts = store.audit.contrasts
    view = contrasts.save(made.record())
    assert view.name == "polite-b"
    assert view.record == made.record()
    assert contrasts.view("polite-b") == view
    assert contrasts.asked("c" * 64) == view
    assert contrasts.asked("d" * 64) is None
    assert contrasts.save(made.record(title="another", question="d" * 64)) == view
    other = contrasts.save(replace(made.record(), dictionary="mlp-13"))
    assert other.name == "polite-b-2"
    assert {line.name for line in contrasts.all()} == {"polite-b", "polite-b-2"}
    assert {line.dictionary for line in contrasts.all()} == {"mlp-12", "mlp-13"}
    assert holdings(store.engine).written.contrasts == 2
    assert not any("text_contrast" in line[:20] for line in dump(store.engine))


def test_one_is_forgotten(store: Store) -> None:
    contrasts = store.audit.contrasts
    contrasts.save(made.record())
    contrasts.forget("polite-b")
    assert contrasts.all() == []
    for deed in (contrasts.forget, contrasts.view):
        with pytest.raises(NotFound, match="no contrast 'polite-b'"):
            deed("polite-b")


def test_a_damaged_one_is_a_sentence(store: Store) -> None:
    contrasts = store.audit.contrasts
    contrasts.save(made.record())
    for details in ("{", "{}", '{"first": 3}', "[]"):
        with writing(store.engine) as connection:
            connection.execute(update(StoredTextContrast).values(details=details))
        with pytest.raises(StoreError, match="polite-b is damaged"):
            contrasts.view("polite-b")
