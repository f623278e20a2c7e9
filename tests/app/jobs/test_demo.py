"""The demo shows the sweep that it ships, once there is one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.jobs.demo import contents as demo
from app.jobs.harvest import harvest as harvesting
from app.jobs.sweeps.records import write_record
from app.settings import Settings
from app.store.store import Store, open_store
from tests.app.jobs.test_sweep_plan import made


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a store whose demo is harvested, but for the sweep."""
    shipped = tmp_path / "demo"
    shipped.mkdir()
    names = [own.name for own in demo.DICTIONARIES]
    sums = dict.fromkeys(["model", *names], "c")
    (shipped / "card.json").write_text(f'{{"checksums": {sums}}}'.replace("'", '"'))
    harvested = [
        SimpleNamespace(
            model=demo.MODEL,
            name=name,
            checksum="c",
            path=str(shipped / name),
            model_checksum="c",
            model_path=str(shipped / "model"),
            harvest=SimpleNamespace(settings={"writers_checksum": "c"}),
        )
        for name in (*names, demo.NEURONS)
    ]
    monkeypatch.setattr(demo, "resource", lambda _: shipped)
    monkeypatch.setattr(Store, "catalogue", lambda _: harvested)
    monkeypatch.setattr(harvesting, "harvest", lambda *_, **__: None)
    return Settings(home=tmp_path / "home")


def sweeps(settings: Settings) -> dict[str, int]:
    with open_store(settings) as store:
        return store.runs.sweeps()


def test_without_results_there_is_no_sweep(settings: Settings) -> None:
    demo.harvest_demo(settings)
    assert sweeps(settings) == {}
    assert demo.is_harvested(settings)


def test_results_are_shown_and_brought_up_to_date(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "sweep"
    write_record(folder, made())
    assert not demo.is_harvested(settings)
    demo.harvest_demo(settings)
    assert demo.is_harvested(settings)
    assert sweeps(settings) == {"s": 1}
    write_record(folder, made("another"))
    assert not demo.is_harvested(settings)
    demo.harvest_demo(settings)
    assert demo.is_harvested(settings)
    assert sweeps(settings) == {"s": 2}
