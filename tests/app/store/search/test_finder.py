"""Features by words and tokens, on both databases, in step with what is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sqlalchemy import Engine, text

from app.store.search.words import WordQuery
from app.store.store import Store
from app.store.tables.postings import MOST_IN_SHORT
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.removal import remove
from sae_core.harvest.records import Ranking
from sae_core.rules.predicate import predicate_of_json
from sae_core.rules.record import RuleFigure, RuleRecord, RuleTest
from tests import factories
from tests.factories import Sample


def labelled(store: Store, dictionary: DictionaryView, typed: str) -> list[int]:
    return [match.index for match in store.search.labels(dictionary, WordQuery.of(typed), 50).best]


def ruled(store: Store, dictionary: DictionaryView, typed: str) -> list[int]:
    return [match.index for match in store.search.rules(dictionary, WordQuery.of(typed), 50).best]


def rows_in_index(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM search_text")).scalar_one())


CODE = {0: "def __init__(self):", 1: "self.host", 2: 'initial\'s "quote" \\ back', 3: "100 % [x]"}


FOUND = {
    "__init__": [0],
    "init": [0, 2],
    "self.": [1],
    "self": [1, 0],
    "SELF": [1, 0],
    "host self": [1],
    "host initial": [],
    "'s": [2],
    '"quote"': [2],
    "\\": [2],
    "100 %": [3],
    "[": [3],
    "1": [],
    "10": [3],
    ":": [0],
}


def test_code_is_found_in_labels(store, published) -> None:
    for index, label in CODE.items():
        store.labels.add(published, index, label)
    assert {typed: labelled(store, published, typed) for typed in FOUND} == FOUND


HOSTILE = (
    *("*", '"', "'", "''", '"""', "NEAR(", "NEAR(a b, 2)", "a AND", "NOT", "OR OR", "(", "^a"),
    *("a*", "words:a", "-a", "{a}", "a & !b", "a <-> b", ":*", "\\", "\\'", "%", "_", "\x00"),
    *("a\x00b", "\ud800", "\u202egnp", "\ufdd0", "a" * 400, "' " * 100, "é世界🙂", ";--", "+"),
    *("\n\t ", "search_text", "rank", "$1", ":asked", "?", "%s", "{}", "a:b", "'a':1 <-> 'b'"),
)


def test_no_text_is_an_error(store, published) -> None:
    store.labels.add(published, 1, "plain words")
    for typed in HOSTILE:
        assert labelled(store, published, typed) == [], typed
        ruled(store, published, typed)  # whatever the rules of the sample say


def test_a_note_fits_with_its_label_and_is_shown(store, published) -> None:
    store.labels.add(published, 3, "sockets", "seen with AF_INET constants")
    [match] = store.search.labels(published, WordQuery.of("sockets AF_INET"), 9).best
    assert match.text == "sockets\nseen with AF_INET constants"
    assert [match.text[start:end] for start, end in match.spans] == ["sockets", "AF_INET"]


def test_the_index_follows_every_change_of_a_label(store, published) -> None:
    label = store.labels.add(published, 3, "before")
    edited = store.labels.edit(published, 3, label.id, 1, "after").label
    assert (labelled(store, published, "before"), labelled(store, published, "after")) == ([], [3])
    store.labels.withdraw(published, 3, edited.id)
    assert labelled(store, published, "after") == []
    store.labels.restore(published, 3, edited.id)
    assert labelled(store, published, "after") == [3]


def publish_with_rules(store: Store, sample: Sample, sentences: dict[int, str]) -> None:
    """Features with these rules; all others have none, and say so."""
    predicate = predicate_of_json('[[{"token":[1]}]]')
    figure = RuleFigure(0.5)
    test = RuleTest(figure, figure, figure, figure, 10, 10)
    rules = [
        RuleRecord(n, predicate, sentences[n], test, 1, figure, None, 5, 100)
        if n in sentences
        else RuleRecord(n, None, "It fires too rarely.", None, None, RuleFigure(None), None, 5, 100)
        for n in range(sample.dictionary.d_sae)
    ]
    store.publish(sample.harvest, sample.features, sample.windows, rules)


def test_rules_are_found_and_what_is_no_rule_is_not(store, sample, published) -> None:
    publish_with_rules(store, sample, {4: "the token is `self.`", 5: "the token is self"})
    assert ruled(store, published, "self.") == [4]
    assert ruled(store, published, "token self") == [5, 4]
    assert ruled(store, published, "rarely") == []


def test_a_harvest_again_a_removal_and_a_bundle_keep_it_in_step(
    engine, store, sample, published, tmp_path, sqlite_engine
) -> None:
    store.labels.add(published, 3, "kept words")
    publish_with_rules(store, sample, {4: "the token is `self.`"})
    again = store.dictionary("demo", "mlp-12")
    assert labelled(store, again, "kept") == [3]
    assert rows_in_index(engine) == 2

    export_bundle(engine, tmp_path / "bundle")
    import_bundle(sqlite_engine, tmp_path / "bundle")
    other = Store(sqlite_engine)
    assert labelled(other, other.dictionary("demo", "mlp-12"), "kept") == [3]
    assert rows_in_index(sqlite_engine) == 2

    remove(engine, "demo", "mlp-12")
    assert rows_in_index(engine) == 0


def test_more_than_is_read_is_said(store, published, monkeypatch) -> None:
    for index in range(4):
        store.labels.add(published, index, f"common {index}")
    monkeypatch.setattr("app.store.search.finder.MOST_READ", 3)
    matches = store.search.labels(published, WordQuery.of("common"), 9)
    assert ([match.index for match in matches.best], matches.more) == ([0, 1, 2], True)


def weighted(ids: list[int], weights: list[float]) -> Ranking:
    none = np.zeros(0, np.float32)
    return Ranking(np.array(ids, np.int32), np.array(weights, np.float32), none)


def test_short_lists_have_the_largest_weight_first(store: Store, sample: Sample) -> None:
    raised = {0: ([5, 6], [1.0, 0.5]), 1: ([6, 5], [3.0, 2.0]), 2: ([5], [2.0]), 3: ([5], [-1.0])}
    features = tuple(
        replace(
            feature,
            raised=weighted(*raised.get(feature.index, ([9], [0.0]))),
            fires_on=weighted([7], [0.1 * (feature.index + 1)]) if feature.index < 3 else None,
        )
        for feature in sample.features
    )
    factories.publish(store, replace(sample, features=features))
    view = store.dictionary("demo", "mlp-12")
    assert store.search.raising(view, [5, 6, 9, 40]) == {5: [1, 2, 0], 6: [1, 0]}
    assert store.search.firing_on(view, [7]) == {7: [2, 1, 0]}


def test_a_short_list_is_short() -> None:
    from app.store.tables import postings

    rows = []

    def keep(_connection, _model, made) -> None:
        rows.extend(made)

    original, postings.bulk_insert = postings.bulk_insert, keep
    try:
        rankings = {n: weighted([1], [1.0 + n]) for n in range(3 * MOST_IN_SHORT)}
        postings.write_short(None, 1, "raises most", rankings)
    finally:
        postings.bulk_insert = original
    [(_, _, token, blob)] = rows
    best = postings.unpack_numbers(blob, "list").tolist()
    assert (token, best) == (1, list(range(3 * MOST_IN_SHORT - 1, 2 * MOST_IN_SHORT - 1, -1)))


def test_a_harvest_of_an_older_version_says_that_it_does_not_know(store, published, engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM posting"))
    assert store.search.raising(published, [1]) is None
    assert store.search.firing_on(published, [1]) is None
