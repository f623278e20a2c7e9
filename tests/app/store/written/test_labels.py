"""Labels: what people do with them, and what must never be lost, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from app.errors import InvalidRequest, NotFound
from app.store import database
from app.store.annotations import StoredLabel, StoredLabelVersion
from app.store.database import reading
from app.store.store import Store
from app.store.types.annotations import LabelKind, NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.types.queries import FeatureQuery
from app.store.upkeep.dump import dump
from app.store.upkeep.removal import remove
from app.store.written import label_rows
from app.store.written.texts import subject
from tests import factories


def shown(store: Store, view: DictionaryView, index: int) -> str:
    """What every place calls the feature: page, table and relations alike."""
    page = store.feature(view, index).label
    table = {row.index: row.label for row in store.features(view, FeatureQuery()).rows}
    assert store.labels.texts(view, [index]).get(index, "") == page == table[index]
    return page


def test_the_best_label_stands_for_the_feature(store: Store, published: DictionaryView) -> None:
    assert shown(store, published, 2) == ""
    first = store.labels.add(published, 2, "first", "a note", "Ada")
    store.labels.add(published, 2, "second", author="Bob")
    assert shown(store, published, 2) == "second"  # the newest of equal ones
    voted = store.labels.vote(published, 2, first.id, "Cy", 1)
    assert (voted.score, voted.votes) == (1, {"Cy": 1})
    assert shown(store, published, 2) == "first"
    store.labels.vote(published, 2, first.id, "Cy", 1)  # one vote a name
    assert store.labels.vote(published, 2, first.id, "Cy", -1).score == -1
    assert shown(store, published, 2) == "second"
    assert store.labels.vote(published, 2, first.id, "Cy", 0).votes == {}
    assert [label.text for label in store.labels.of(published, 2)] == ["second", "first"]


def test_every_change_can_be_undone(store: Store, published: DictionaryView) -> None:
    label = store.labels.add(published, 2, "one", author="Ada")
    store.labels.edit(published, 2, label.id, 1, "two", "why", "Bob")
    store.labels.withdraw(published, 2, label.id, "Cy")
    assert shown(store, published, 2) == ""
    versions = store.labels.history(published, 2, label.id)
    assert [(v.number, v.text, v.author, v.withdrawn) for v in versions] == [
        (3, "two", "Cy", True),
        (2, "two", "Bob", False),
        (1, "one", "Ada", False),
    ]
    assert store.labels.restore(published, 2, label.id).text == "two"
    assert store.labels.restore(published, 2, label.id, versions[-1].id).text == "one"
    assert store.labels.restore(published, 2, label.id).text == "two"  # undone, too
    assert shown(store, published, 2) == "two"
    with pytest.raises(NotFound, match="no version 'x'"):
        store.labels.restore(published, 2, label.id, "x")
    fresh = store.labels.add(published, 3, "only one")
    with pytest.raises(InvalidRequest, match="first version"):
        store.labels.restore(published, 3, fresh.id)


def test_a_stale_edit_is_kept_beside(store: Store, published: DictionaryView) -> None:
    label = store.labels.add(published, 2, "one", author="Ada")
    assert store.labels.edit(published, 2, label.id, 1, "by Ada", author="Ada").beside is None
    kept = store.labels.edit(published, 2, label.id, 1, "by Bob", author="Bob")
    assert kept.beside is not None
    assert (kept.beside.text, kept.label.text) == ("by Ada", "by Bob")
    again = store.labels.edit(published, 2, label.id, 1, "by Bob", author="Bob")
    assert again.label.id == kept.label.id  # sent twice, kept once
    assert {view.text for view in store.labels.of(published, 2)} == {"by Ada", "by Bob"}


def test_the_same_said_twice_is_one_label(store: Store, published: DictionaryView) -> None:
    first = store.labels.add(published, 2, " one ", author="Ada")
    assert store.labels.add(published, 2, "one", author="Ada").id == first.id
    assert store.labels.add(published, 2, "one", author="Bob").id != first.id


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs at least one character"),
        (" \n ", "needs at least one character"),
        ("x" * 401, "at most 400 characters; this one has 401"),
        ("x" * 100_000, "at most 400 characters; this one has 100,000"),
        ("a\0b", r"control character U\+0000"),
        ("a\x1bb", r"control character U\+001B"),
        ("a\x85b", r"control character U\+0085"),
        ("a\ud800b", r"U\+D800, which is half a character"),
    ],
)
def test_what_is_no_label(
    store: Store, published: DictionaryView, text: str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        store.labels.add(published, 2, text)
    assert store.labels.of(published, 2) == []


def test_the_longest_and_the_strangest_are_kept(store: Store, published: DictionaryView) -> None:
    for text in ("🙂" * 400, "</bdi><script>\u202e %s ' \" ; -- \\", "two\nlines\tand a tab"):
        label = store.labels.add(published, 2, text)
        assert label.text == text.replace("\n", " ").replace("\t", " ")
        assert shown(store, published, 2) == label.text
    note = "line\n\n" + "n" * 3_994
    assert store.labels.add(published, 3, "x", note).note == note
    with pytest.raises(InvalidRequest, match="note has at most 4,000"):
        store.labels.add(published, 3, "x", note + "n")
    with pytest.raises(InvalidRequest, match="name has at most 100"):
        store.labels.add(published, 3, "x", author="n" * 101)


def test_features_and_labels_that_are_not_there(store: Store, published: DictionaryView) -> None:
    label = store.labels.add(published, 2, "one")
    for index in (-1, 12, 2**70):
        with pytest.raises(NotFound, match="features 0 to 11"):
            store.labels.add(published, index, "x")
        with pytest.raises(NotFound):
            store.labels.withdraw(published, index, label.id)
        assert store.labels.of(published, index) == []
    with pytest.raises(NotFound, match="no label 'x'"):
        store.labels.vote(published, 2, "x", "Ada", 1)
    with pytest.raises(NotFound):
        store.labels.edit(published, 3, label.id, 1, "of another feature")
    with pytest.raises(InvalidRequest, match="needs a name"):
        store.labels.vote(published, 2, label.id, " ", 1)
    with pytest.raises(InvalidRequest, match="1, -1 or 0"):
        store.labels.vote(published, 2, label.id, "Ada", 7)


def test_there_is_an_end_to_labels(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sqlite_store.dictionary("demo", "mlp-12")
    monkeypatch.setattr(label_rows, "MOST", 2)
    for text in "ab":
        sqlite_store.labels.add(view, 2, text)
    with pytest.raises(InvalidRequest, match="has 2 labels, as many as are kept"):
        sqlite_store.labels.add(view, 2, "c")


def test_labels_follow_the_weights(store: Store, engine: Engine) -> None:
    factories.publish(store, factories.sample())
    view = store.dictionary("demo", "mlp-12")
    store.labels.add(view, 2, "mine")
    before = list(dump(engine))
    factories.publish(store, factories.sample())  # a new harvest
    assert list(dump(engine)) == before
    factories.publish(store, factories.sample(dictionary="renamed"))
    assert shown(store, store.dictionary("demo", "renamed"), 2) == "mine"
    store.labels.add(store.dictionary("demo", "renamed"), 3, "under the other name")
    assert shown(store, view, 3) == "under the other name"
    other = replace(factories.sample(), dictionary=factories.dictionary(checksum="e" * 64))
    factories.publish(store, other)  # other weights under the old name
    assert shown(store, store.dictionary("demo", "mlp-12"), 2) == ""
    factories.publish(store, factories.sample())
    assert shown(store, store.dictionary("demo", "mlp-12"), 2) == "mine"


def test_a_removed_dictionary_leaves_its_labels(store: Store, engine: Engine) -> None:
    factories.publish(store, factories.sample())
    store.labels.add(store.dictionary("demo", "mlp-12"), 2, "mine")
    assert remove(engine, "demo", None).labels == 1
    factories.publish(store, factories.sample())
    assert shown(store, store.dictionary("demo", "mlp-12"), 2) == "mine"


def test_neurons_of_two_models_are_two_subjects(store: Store) -> None:
    """Their basis has one checksum for every model of that width."""
    sample = factories.neurons_sample()
    factories.publish(store, sample)
    other = replace(
        sample,
        model=factories.model("other", checksum="f" * 64),
        dictionary=replace(sample.dictionary, model="other"),
        harvest=replace(sample.harvest, model="other"),
    )
    factories.publish(store, other)
    ours, theirs = store.dictionary("demo", "neurons"), store.dictionary("other", "neurons")
    assert ours.checksum == theirs.checksum
    assert subject(ours) != subject(theirs)
    store.labels.add(ours, 2, "ours")
    assert (shown(store, ours, 2), shown(store, theirs, 2)) == ("ours", "")


def test_labels_from_elsewhere_are_taken_once(store: Store, published: DictionaryView) -> None:
    new = [
        NewLabel(2, "a", author="Ada", created=5.0),
        NewLabel(2, "b", author="Ada", created=9.0),
        NewLabel(3, "timeless"),
        NewLabel(3, "later in the file"),
        NewLabel(2, "a", author="Ada"),
    ]
    assert store.labels.take(published, new) == 4
    assert (shown(store, published, 2), shown(store, published, 3)) == ("b", "timeless")
    [a] = [label for label in store.labels.of(published, 2) if label.text == "a"]
    assert (a.kind, a.created) == (LabelKind.IMPORT, 5.0)
    store.labels.withdraw(published, 2, a.id)
    assert store.labels.take(published, new) == 0
    assert [v.text for v in store.labels.of(published, 2) if not v.withdrawn] == ["b"]
    with pytest.raises(NotFound):
        store.labels.take(published, [NewLabel(4, "fine"), NewLabel(99, "not there")])
    assert store.labels.of(published, 4) == []


def test_two_writers_lose_nothing(store: Store, published: DictionaryView) -> None:
    """Each adds labels and edits one that both know, often stale: every text is there at the end,
    as a label or in a history."""
    shared = store.labels.add(published, 5, "start")
    failures: list[BaseException] = []
    each = 25

    def write(name: str) -> None:
        try:
            version = 1
            for number in range(each):
                store.labels.add(published, number % 12, f"{name} {number}", author=name)
                kept = store.labels.edit(
                    published, 5, shared.id, version, f"{name} edits {number}", author=name
                )
                version = (kept.beside or kept.label).version
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in ("Ada", "Bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    every = store.labels.every(published)
    texts = {view.text for view in every}
    for view in every:
        texts |= {v.text for v in store.labels.history(published, view.index, view.id)}
    for name in ("Ada", "Bob"):
        assert {f"{name} {n}" for n in range(each)} <= texts
        assert {f"{name} edits {n}" for n in range(each)} <= texts
    for index in range(12):
        standing = [view for view in store.labels.of(published, index) if not view.withdrawn]
        assert shown(store, published, index) == standing[0].text


def test_kill_9_while_writing_loses_nothing_that_was_answered(
    empty_url: str, tmp_path: Path
) -> None:
    engine = database.connect(empty_url)
    database.upgrade(engine)
    store = Store(engine)
    factories.publish(store, factories.sample())
    code = (
        "import sys\n"
        "from app.store import database\n"
        "from app.store.store import Store\n"
        "store = Store(database.connect(sys.argv[1]))\n"
        "view = store.dictionary('demo', 'mlp-12')\n"
        "n = 0\n"
        "while True:\n"
        "    label = store.labels.add(view, n % 12, f'label {n}', author='Ada')\n"
        "    store.labels.edit(view, n % 12, label.id, 1, f'edited {n}')\n"
        "    print(n, flush=True)\n"
        "    n += 1\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, empty_url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        answered = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        answered += [int(line) for line in child.stdout.read().split()]
    view = store.dictionary("demo", "mlp-12")
    texts = {label.text for label in store.labels.every(view)}
    assert {f"edited {n}" for n in answered} <= texts
    with reading(engine) as connection:  # and what there is, is whole
        versions = connection.scalars(select(func.count()).select_from(StoredLabelVersion)).one()
        stated = connection.scalars(select(func.sum(StoredLabel.version))).one()
    assert versions == stated
    for index in range(12):
        assert shown(store, view, index) == store.labels.of(view, index)[0].text
    engine.dispose()
