"""Lists of features and comments on them, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from app.errors import InvalidRequest, NotFound
from app.store.store import Store
from app.store.types.annotations import ContextKey
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from app.store.written import comments as store_comments
from app.store.written import lists as store_lists
from app.store.written.lists import STARRED
from app.store.written.texts import subject
from tests import factories


def inside(store: Store, name: str) -> list[int]:
    return [item.index for item in store.lists.contents(name)[1]]


def test_stars_are_a_list_that_is_always_there(store: Store, published: DictionaryView) -> None:
    view, items = store.lists.contents(STARRED)
    assert (view.title, view.size, items) == ("Starred", 0, [])
    assert store.lists.all() == []
    store.lists.put(STARRED, published, 5)
    store.lists.put(STARRED, published, 2)
    store.lists.put(STARRED, published, 5)  # it is there already
    assert inside(store, STARRED) == [5, 2]
    assert [view.name for view in store.lists.around(published, 5)[0]] == [STARRED]
    assert store.lists.take_out(STARRED, subject(published), 5).size == 1
    assert [view.name for view in store.lists.around(published, 5)[1]] == [STARRED]
    store.lists.put(STARRED, published, 5)  # again, now as the last one
    assert inside(store, STARRED) == [2, 5]


def test_a_list_has_a_title_a_note_an_order_and_notes(
    store: Store, published: DictionaryView
) -> None:
    made = store.lists.create("Quotes & <b>docstrings</b>!", "for the paper")
    assert (made.name, made.size) == ("quotes-b-docstrings-b", 0)
    assert store.lists.create("Quotes & <b>docstrings</b>!").name == "quotes-b-docstrings-b-2"
    assert store.lists.create("…").name == "list"
    assert store.lists.create("Starred").name == "starred-2"
    for index in (3, 4, 5):
        store.lists.put(made.name, published, index)
    key = subject(published)
    store.lists.move(made.name, key, 5, 0)
    assert inside(store, made.name) == [5, 3, 4]
    store.lists.move(made.name, key, 5, 99)
    assert inside(store, made.name) == [3, 4, 5]
    store.lists.annotate(made.name, key, 4, "only single ones")
    store.labels.add(published, 4, "single quotes")
    [_, item, _] = store.lists.contents(made.name)[1]
    assert (item.note, item.label, item.there) == ("only single ones", "single quotes", True)
    assert store.lists.describe(made.name, "Quotes", "").title == "Quotes"
    store.lists.put_away(made.name)
    assert [view.name for view in store.lists.all()][-1] == made.name
    assert store.lists.around(published, 4)[0] == []
    store.lists.put_away(made.name, withdrawn=False)
    assert inside(store, made.name) == [3, 4, 5]


def test_a_list_outlives_the_dictionary(
    store: Store, engine: Engine, published: DictionaryView
) -> None:
    store.lists.put(STARRED, published, 2, "look at this")
    store.labels.add(published, 2, "self")
    store.comments.add(published, 2, "hm")
    remove(engine, "demo", None)
    [item] = store.lists.contents(STARRED)[1]
    assert (item.there, item.model, item.dictionary) == (False, "demo", "mlp-12")
    assert (item.label, item.note) == ("self", "look at this")
    store.lists.annotate(STARRED, item.subject, 2, "still")
    held = holdings(engine).written
    assert (held.labels, held.waiting, held.comments, held.lists) == (1, 1, 1, 1)
    factories.publish(store, factories.sample(dictionary="renamed"))
    [item] = store.lists.contents(STARRED)[1]
    assert (item.there, item.dictionary, item.note) == (True, "renamed", "still")
    assert holdings(engine).written.waiting == 0


def test_what_cannot_be_listed(
    store: Store, published: DictionaryView, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match="title needs at least one character"):
        store.lists.create(" ")
    with pytest.raises(InvalidRequest, match="title has at most 200"):
        store.lists.create("x" * 201)
    with pytest.raises(NotFound, match="no list 'none'"):
        store.lists.contents("none")
    with pytest.raises(NotFound, match="no list 'none'"):
        store.lists.put("none", published, 2)
    with pytest.raises(NotFound, match="features 0 to 11"):
        store.lists.put(STARRED, published, 12)
    with pytest.raises(NotFound, match="no such feature 2"):
        store.lists.take_out(STARRED, subject(published), 2)
    with pytest.raises(NotFound, match="no such feature"):
        store.lists.move(STARRED, subject(published), 2**70, 0)
    monkeypatch.setattr(store_lists, "MOST_ITEMS", 1)
    store.lists.put(STARRED, published, 2)
    with pytest.raises(InvalidRequest, match="holds 1 features, as many as are kept"):
        store.lists.put(STARRED, published, 3)
    monkeypatch.setattr(store_lists, "MOST_LISTS", 1)
    with pytest.raises(InvalidRequest, match="There are 1 lists"):
        store.lists.create("one more")


def test_comments_on_a_feature_and_on_an_example(
    store: Store, published: DictionaryView, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store.comments.add(published, 2, "a\r\nb", "Ada")
    key = ContextKey("c" * 64, 32, 7)
    store.comments.add(published, 2, "odd", "", key, "pkg/mod.py:12")
    first, second = store.comments.of(published, 2)
    assert (first.text, first.author, first.context) == ("a\nb", "Ada", "")
    assert (second.context, second.quote) == (f"{'c' * 64}/32/7", "pkg/mod.py:12")
    assert store.comments.withdraw(published, 2, whole.id).withdrawn
    assert not store.comments.withdraw(published, 2, whole.id, withdrawn=False).withdrawn
    factories.publish(store, factories.sample())
    assert len(store.comments.of(published, 2)) == 2
    with pytest.raises(NotFound, match="no comment"):
        store.comments.withdraw(published, 3, whole.id)
    with pytest.raises(NotFound, match="features 0 to 11"):
        store.comments.withdraw(published, 2**70, whole.id)
    for text in ("", "x" * 4_001, "a\0"):
        with pytest.raises(InvalidRequest, match="comment"):
            store.comments.add(published, 2, text)
    monkeypatch.setattr(store_comments, "MOST", 2)
    with pytest.raises(InvalidRequest, match="has 2 comments"):
        store.comments.add(published, 2, "one more")
