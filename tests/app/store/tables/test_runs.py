"""Trainings in the store and their reporter, on both databases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.cli.main import run
from app.errors import InvalidRequest, NotFound, StoreError
from app.jobs.training.run_reporter import RunReporter
from app.store.store import Store
from app.store.tables import runs as store_runs
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.dump import dump
from sae_core.errors import TrainingError
from tests.app.pretend.runs import EVALUATION, config, point, record

HOOK = "blocks.0.mlp.hook_post"


def reporter(store: Store, name: str = "first", **changes: object) -> RunReporter:
    return RunReporter(store, name, config(**changes), "demo", HOOK, {"n_ctx": 128})


def test_a_training_from_its_beginning_to_its_end(store: Store) -> None:
    with reporter(store) as reports:
        begun = store.runs.curve("first")
        assert (begun.view.record.status, begun.points, begun.view.last) == ("running", (), None)
        assert begun.view.steps == 100
        reports.on_point(point(50))
        reports.on_point(point(100))
        reports.finish(EVALUATION, "out/first", "c" * 64)
    ended = store.runs.curve("first")
    assert ended.points == (point(50), point(100))
    assert ended.view.last == point(100)
    kept = ended.view.record
    assert (kept.status, kept.folder, kept.checksum) == ("finished", "out/first", "c" * 64)
    assert kept.evaluation == EVALUATION
    assert kept.settings == {"n_ctx": 128}
    assert ended.view.dictionaries == ()


def test_a_resumed_training_replaces_its_points_from_there(store: Store) -> None:
    reports = reporter(store)
    for step in (10, 20, 30, 40):
        reports.on_point(point(step))
    again = reporter(store)
    assert [p.step for p in store.runs.curve("first").points] == [10, 20, 30, 40]
    again.on_point(point(20, loss=0.5))
    found = store.runs.curve("first").points
    assert [(p.step, p.loss) for p in found] == [(10, point(10).loss), (20, 0.5)]


def test_how_a_training_ends_is_reported(store: Store) -> None:
    with pytest.raises(TrainingError), reporter(store, "a"):
        raise TrainingError("The loss is no number any more.")
    with pytest.raises(KeyboardInterrupt), reporter(store, "b"):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), reporter(store, "c"):
        raise ZeroDivisionError("by zero")
    found = [(view.record.status, view.record.message) for view in store.runs.all()]
    assert found == [
        ("failed", "The loss is no number any more."),
        ("stopped", ""),
        ("failed", "A defect: ZeroDivisionError: by zero"),
    ]


def test_a_name_belongs_to_one_training(store: Store) -> None:
    first = reporter(store)
    first.on_point(point(50))
    with pytest.raises(InvalidRequest, match=r"'first', with other settings, which is running"):
        reporter(store, d_sae=128)
    first.finish(None, "out", "c")
    with pytest.raises(InvalidRequest, match="has finished: choose another --name"):
        reporter(store, d_sae=128)
    first.fail("no")
    reporter(store, d_sae=128)
    found = store.runs.curve("first")
    assert found.view.record.config["d_sae"] == 128
    assert found.points == ()


def test_a_locked_store_delays_points_and_stops_no_training(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reports = reporter(sqlite_store)
    add = sqlite_store.runs.add_points

    def locked(*_: object) -> None:
        raise StoreError("The store is locked.")

    monkeypatch.setattr(sqlite_store.runs, "add_points", locked)
    reports.on_point(point(10))
    reports.on_point(point(20))
    assert "A point of the curves waits: The store is locked." in caplog.text
    monkeypatch.setattr(sqlite_store.runs, "add_points", add)
    reports.on_point(point(30))
    assert [p.step for p in sqlite_store.runs.curve("first").points] == [10, 20, 30]


def test_silence_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(store_runs.time, "time", lambda: now)
    reports = reporter(store)
    now += 100
    assert not store.runs.all()[0].stalled
    now += 100
    view = store.runs.all()[0]
    assert view.stalled
    assert view.age_seconds == 200
    reports.on_point(point(10))
    now += 100
    reports.on_point(point(20))  # a slow one: its points are 100 s apart
    now += 300
    view = store.runs.all()[0]
    assert (view.stalled, view.point_seconds) == (False, 100)
    assert view.eta_seconds == 80_000 / point(20).tokens_per_second
    now += 101
    assert store.runs.all()[0].stalled
    reporter(store)  # the same command again: it is heard of before its first point
    assert not store.runs.all()[0].stalled
    assert store.runs.all()[0].last == point(20)
    reports.stop()
    now += 10_000
    assert not store.runs.all()[0].stalled


def test_figures_that_are_no_numbers_come_back_as_such(store: Store) -> None:
    reporter(store).on_point(point(10, loss=math.nan, fvu=math.inf, tokens_per_second=math.inf))
    (found,) = store.runs.curve("first").points
    assert math.isnan(found.loss)
    assert math.isnan(found.fvu)
    assert (found.l0, found.tokens_per_second) == (8.0, 0.0)


def test_whole_runs_replace_each_other_and_the_dump_holds_no_time(store: Store) -> None:
    points = [point(50), point(100)]
    store.runs.put(record("a", sweep="s", cost={"seconds": 1.5}), points)
    store.runs.put(record("b"), points)
    before = list(dump(store.engine))
    store.runs.put(record("a", sweep="s"), points[:1])
    assert list(dump(store.engine)) != before
    faster = [replace(p, tokens_per_second=1e6) for p in points]
    store.runs.put(record("a", sweep="s", cost={"seconds": 1.5}), faster)
    assert list(dump(store.engine)) == before
    assert not any('["run_pace"' in line or '["progress"' in line for line in before)
    assert store.runs.sweeps() == {"s": 1}
    assert [view.record.name for view in store.runs.all()] == ["a", "b"]
    assert [view.record.name for view in store.runs.all("s")] == ["a"]
    assert [view.record.name for view in store.runs.all("")] == ["b"]
    assert store.runs.all("s")[0].record.cost == {"seconds": 1.5}
    assert [curve.view.record.name for curve in store.runs.curves(["b", "a"])] == ["a", "b"]


def test_a_run_leads_to_its_dictionary_once_that_is_harvested(
    store: Store, published: DictionaryView
) -> None:
    store.runs.put(record("a", checksum=published.checksum), [])
    store.runs.put(record("b", checksum="0" * 64), [])
    found = [view.dictionaries for view in store.runs.all()]
    assert found == [(("demo", "mlp-12"),), ()]


def test_what_is_not_there_is_a_sentence(store: Store) -> None:
    with pytest.raises(NotFound, match=r"no run 'x'\. Nothing has been trained yet"):
        store.runs.curve("x")
    store.runs.put(record("a"), [])
    with pytest.raises(NotFound, match=r"no run 'x'\. The latest are a\."):
        store.runs.curves(["a", "x"])
    with pytest.raises(NotFound, match="no run 'x'"):
        store.runs.end("x", "failed")
    with pytest.raises(NotFound, match="no run 'x'"):
        store.runs.add_points("x", [point(1)])
    store.runs.add_points("x", [])


def test_a_finished_run_keeps_its_intervals_and_no_distributions(store: Store) -> None:
    intervals = {"l0": [1.0, 2.0]}
    details = {"intervals": intervals, "densities": list(range(9999))}
    reporter(store).finish(EVALUATION | {"details": details}, "out", "c")
    kept = store.runs.curve("first").view.record.evaluation
    assert kept == EVALUATION | {"details": {"intervals": intervals}}


def test_runs_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("FEATURESCOPE_DATABASE_URL", url)
    for name, sweep in (("a", ""), ("s.a", "s"), ("s.b", "s")):
        store.runs.put(record(name, sweep=sweep), [point(50)])
    assert run(["forget", "a"]) == 0
    assert [view.record.name for view in store.runs.all()] == ["s.a", "s.b"]
    assert run(["forget", "a"]) == 1
    assert "no run 'a'" in capsys.readouterr().err
    assert run(["forget", "--sweep", "s"]) == 0
    assert "The sweep s is forgotten, runs: 2" in capsys.readouterr().out
    assert run(["forget", "--sweep", "s"]) == 1
    assert not any("1000" in line for line in dump(store.engine))  # no point is left
