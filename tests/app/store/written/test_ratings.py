"""Blind ratings in the store: how features are drawn, and that no rating is ever lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from app.errors import InvalidRequest, NotFound
from app.store.store import Store
from app.store.types.ratings import NewRating, RaterKind, RubricScores, StudyView
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from app.store.written.rating_draw import ALIKE, draw
from app.store.written.ratings import latest
from tests import factories

SCORES = RubricScores(3, 5, 2, 1)


@pytest.fixture
def study(sqlite_store: Store) -> StudyView:
    return a_study(sqlite_store)


def a_study(store: Store, n: int = 3, **settings: object) -> StudyView:
    views = [store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
    return store.ratings.create(views, n, **settings)  # type: ignore[arg-type]


def test_a_study_draws_living_features_of_each_dictionary(sqlite_store: Store) -> None:
    study = a_study(sqlite_store, 6, seed=4, title="which?", author="Ada")
    assert (study.title, study.author, study.size, study.seed) == ("which?", "Ada", 12, 4)
    assert [(s.title, s.alive, s.eligible, s.drawn) for s in study.sources] == [
        ("demo/mlp-12", 9, 9, 6),
        ("demo/neurons", 6, 6, 6),
    ]
    items = sqlite_store.ratings.items(study.id)
    by_source = [{i.index for i in items if i.subject == s.subject} for s in study.sources]
    assert by_source[1] == {0, 1, 2, 4, 5, 6}
    assert len(by_source[0]) == 6
    assert not by_source[0] & {3, 7, 11}
    again = sqlite_store.ratings.items(a_study(sqlite_store, 6, seed=4).id)
    assert {(i.subject, i.index) for i in again} == {(i.subject, i.index) for i in items}
    assert [i.id for i in again] != [i.id for i in items]
    order = [i.subject for i in sorted(items, key=lambda i: i.id)]
    assert order == [i.subject for i in items]
    assert sqlite_store.ratings.studies()[1] == study


def test_matched_features_fire_about_as_often(sqlite_store: Store) -> None:
    rng = np.random.default_rng(0)
    firings = [rng.geometric(0.001, 400), rng.geometric(0.0004, 60)]
    views = [sqlite_store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
    _, chosen = draw(views, firings, 20, 1, matched=True, least=50)
    assert [len(set(some)) for some in chosen] == [20, 20]
    first, second = (counts[some] for counts, some in zip(firings, chosen, strict=True))
    assert np.maximum(first / second, second / first).max() <= ALIKE
    with pytest.raises(InvalidRequest, match=r"Only \d+ features can be matched"):
        draw(views, [firings[0], firings[1] * 1000], 20, 1, matched=True, least=1)


@pytest.mark.parametrize(
    ("names", "n", "words"),
    [
        (("mlp-12",), 2, "1 is named"),
        (("mlp-12", "mlp-12"), 2, "named twice"),
        (("mlp-12", "neurons"), 0, "at least one of each"),
        (("mlp-12", "neurons"), 501, "at most 1,000"),
        (("mlp-12", "neurons"), 7, "demo/neurons has 6 features that fire at least 1 times; 7"),
        (("mlp-12", "elsewhere"), 2, "of one hook point"),
        (("mlp-12", "new"), 2, "not harvested yet"),
        (("mlp-12", "other-text"), 2, "contexts would tell which is which"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    sqlite_store: Store, names: tuple[str, ...], n: int, words: str
) -> None:
    store = sqlite_store
    factories.publish(
        store, factories.sample(dictionary="elsewhere", hook_point="a", checksum="1" * 64)
    )
    store.add_dictionary(factories.dictionary("new", checksum="2" * 64))
    other = factories.sample(dictionary="other-text", checksum="3" * 64)
    changed = factories.corpus("another", fingerprint="d" * 64)
    factories.publish(
        store, replace(other, corpus=changed, harvest=replace(other.harvest, corpus="another"))
    )
    with pytest.raises(InvalidRequest, match=words):
        store.ratings.create([store.dictionary("demo", name) for name in names], n)
    assert store.ratings.studies() == []


def test_the_newest_rating_counts_and_all_are_kept(sqlite_store: Store, study: StudyView) -> None:
    ratings = sqlite_store.ratings
    item = ratings.items(study.id)[0].id
    first = ratings.keep(study.id, item, NewRating("Ada", SCORES, "self"), seen="")
    assert first.over is None
    assert (first.rating.scores, first.rating.blind, first.rating.item) == (SCORES, True, item)
    assert ratings.keep(study.id, item, NewRating("Ada", SCORES, "self")) == first
    # A second tab that was opened before: its rating counts, the first one is there.
    other = ratings.keep(study.id, item, NewRating("Ada", None), seen="")
    assert other.over == first.rating
    ratings.keep(study.id, item, NewRating("Bob", SCORES, kind=RaterKind.PROGRAM))
    kept = ratings.all_of(study.id)
    assert [r.rater for r in kept] == ["Ada", "Ada", "Bob"]
    assert latest(kept)[item, "Ada"].scores is None
    assert ratings.all_of(study.id, "Bob") == kept[2:]


def test_tabs_at_once_lose_nothing(sqlite_store: Store, study: StudyView) -> None:
    ratings = sqlite_store.ratings
    item = ratings.items(study.id)[0].id

    def rate(number: int) -> str:
        new = NewRating("Ada", RubricScores(number % 4, 0, 0, 0), f"tab {number}")
        return ratings.keep(study.id, item, new, seen="").rating.id

    with ThreadPoolExecutor(6) as threads:
        keys = list(threads.map(rate, range(12)))
    kept = ratings.all_of(study.id)
    assert {rating.id for rating in kept} == set(keys)
    assert {rating.interpretation for rating in kept} == {f"tab {n}" for n in range(12)}
    assert len({rating.changed for rating in kept}) == 12  # so that one of them is the newest


def test_who_saw_results_is_blind_no_more(sqlite_store: Store, study: StudyView) -> None:
    ratings = sqlite_store.ratings
    first, second = (item.id for item in ratings.items(study.id)[:2])
    ratings.keep(study.id, first, NewRating("Ada", SCORES))
    assert ratings.unblinded(study.id, "Ada") is None
    since = ratings.unblind(study.id, "Ada")
    assert ratings.unblind(study.id, "Ada") == since == ratings.unblinded(study.id, "Ada")
    ratings.keep(study.id, second, NewRating("Ada", SCORES))
    ratings.keep(study.id, second, NewRating("Bob", SCORES))
    assert [(r.rater, r.item, r.blind) for r in ratings.all_of(study.id)] == [
        ("Ada", first, True),
        ("Ada", second, False),
        ("Bob", second, True),
    ]
    # The same said again is another rating now: it is not blind.
    assert not ratings.keep(study.id, first, NewRating("Ada", SCORES)).rating.blind


def test_ratings_out_of_range_are_refused(sqlite_store: Store, study: StudyView) -> None:
    ratings = sqlite_store.ratings
    item = ratings.items(study.id)[0].id
    for scores, words in (
        (RubricScores(4, 0, 0, 0), "Confidence is rated from 0 to 3, not 4"),
        (RubricScores(0, -1, 0, 0), "Activations is rated from 0 to 5"),
        (RubricScores(0, 0, True, 0), "Logit weights is rated"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            ratings.keep(study.id, item, NewRating("Ada", scores))
    with pytest.raises(InvalidRequest, match="Say your name"):
        ratings.keep(study.id, item, NewRating("  ", SCORES))
    with pytest.raises(InvalidRequest, match="control character"):
        ratings.keep(study.id, item, NewRating("Ada", SCORES, "a\x00b"))
    with pytest.raises(NotFound, match="no item"):
        ratings.keep(study.id, "0", NewRating("Ada", SCORES))
    with pytest.raises(NotFound, match="no study"):
        ratings.keep("0", item, NewRating("Ada", SCORES))
    assert ratings.all_of(study.id) == []


def test_a_study_outlives_its_dictionary(sqlite_store: Store, study: StudyView) -> None:
    ratings = sqlite_store.ratings
    ratings.keep(study.id, ratings.items(study.id)[0].id, NewRating("Ada", SCORES))
    factories.publish(sqlite_store, factories.sample())
    assert not any(source.again for source in ratings.study(study.id).sources)
    sample = factories.sample()
    factories.publish(sqlite_store, replace(sample, harvest=replace(sample.harvest, seed=1)))
    assert [source.again for source in ratings.study(study.id).sources] == [True, False]
    remove(sqlite_store.engine, "demo", "neurons")
    assert [source.there for source in ratings.study(study.id).sources] == [True, False]
    assert len(ratings.items(study.id)) == 6
    assert len(ratings.all_of(study.id)) == 1
    written = holdings(sqlite_store.engine).written
    assert (written.studies, written.ratings) == (1, 1)


def test_bundles_put_ratings_of_two_stores_together(
    sqlite_store: Store,
    study: StudyView,
    postgres_engine: Engine,
    other_sqlite: Engine,
    tmp_path: Path,
) -> None:
    here = sqlite_store.ratings
    item = here.items(study.id)[0].id
    before = list(dump(sqlite_store.engine))
    here.keep(study.id, item, NewRating("Ada", SCORES, "</b>\u202e", settings={"a": 1}))
    assert list(dump(sqlite_store.engine)) == before
    export_bundle(sqlite_store.engine, tmp_path / "a.zip")
    there = Store(postgres_engine).ratings
    import_bundle(postgres_engine, tmp_path / "a.zip")
    assert there.all_of(study.id) == here.all_of(study.id)
    assert there.items(study.id) == here.items(study.id)
    copied = Store(postgres_engine)
    again = there.create([copied.dictionary("demo", n) for n in ("mlp-12", "neurons")], 3)
    assert all(there.feature(again, one) for one in there.items(again.id))
    assert there.studies()[0] == there.put_away(again.id, withdrawn=False)
    here.unblind(study.id, "Ada")
    there.keep(study.id, item, NewRating("Ada", None))
    there.keep(study.id, item, NewRating("Bob", SCORES))
    export_bundle(postgres_engine, tmp_path / "b.zip")
    import_bundle(sqlite_store.engine, tmp_path / "b.zip", only_written=True)
    assert [(r.rater, r.scores) for r in here.all_of(study.id)] == [
        ("Ada", SCORES),
        ("Ada", None),
        ("Bob", SCORES),
    ]
    assert here.unblinded(study.id, "Ada") is not None
    export_bundle(sqlite_store.engine, tmp_path / "c.zip")
    import_bundle(other_sqlite, tmp_path / "c.zip")
    assert Store(other_sqlite).ratings.all_of(study.id) == here.all_of(study.id)
