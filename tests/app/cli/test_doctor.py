"""What is wrong is said, part by part, with what to do about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from app.cli import diagnosis, main
from app.cli.diagnosis import Verdict
from app.settings import Settings
from app.store.store import open_store
from app.worker.process.limits import Limits
from tests.app.worker.conftest import serving
from tests.app.worker.workbenches import PretendWorkbench
from tests.published import FILE, published


def found(settings: Settings) -> dict[str, list[tuple[Verdict, str]]]:
    parts: dict[str, list[tuple[Verdict, str]]] = {}
    for finding in diagnosis.diagnose(settings):
        parts.setdefault(finding.part, []).append((finding.verdict, finding.sentence))
    return parts


def test_a_new_machine_is_fine(tmp_path: Path) -> None:
    parts = found(Settings(home=tmp_path / "home"))
    assert {verdict for part in parts.values() for verdict, _ in part} == {
        Verdict.FINE,
        Verdict.NOTE,  # there is no store yet
    }
    assert "There is none yet" in parts["store"][0][1]
    assert not (tmp_path / "home").exists()


def test_a_store_whose_model_is_gone_and_a_harvest_that_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / FILE).write_bytes(published())
    with open_store(settings) as store:
        monkeypatch.setattr("app.cli.diagnosis._is_there", lambda _path: False)
        store.progress.report("demo", "half", "harvesting", 250, 1000, 10.0)
        monkeypatch.setattr("app.store.tables.progress.time.time", lambda: 4e9)
        parts = found(settings)
    assert parts["store"][0][0] is Verdict.FINE
    assert f"sqlite:///{tmp_path}" in parts["store"][0][1]
    assert [verdict for verdict, _ in parts["models"]] == [Verdict.WRONG] * 2
    assert "The model of demo/mlp-12 is gone from" in parts["models"][0][1]
    assert "demo/half has stopped at 250 of 1,000" in parts["harvests"][0][1]


def test_a_store_of_another_version_or_a_damaged_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "featurescope.db").write_bytes(b"no database at all" * 100)
    verdict, sentence = found(settings)["store"][0]
    assert verdict is Verdict.WRONG
    assert "database" in sentence


def test_workers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home", worker_threads=1)
    with serving(settings, PretendWorkbench(), Limits()) as client:
        url = client._url("")
        several = Settings(home=tmp_path / "home", worker_url=f"{url},http://127.0.0.1:9")
        (first, said), (second, gone) = found(several)["worker"]
        assert (first, second) == (Verdict.FINE, Verdict.WRONG)
        assert said.startswith(f"{url}: ")
        assert "Nobody answers at http://127.0.0.1:9" in gone
        monkeypatch.setattr(diagnosis, "__version__", "another")
        assert "run the same" in found(several)["worker"][0][1]


def test_little_room_a_folder_that_is_not_ours_and_missing_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(diagnosis, "VENDOR", ("nothing.js",))
    monkeypatch.setattr(diagnosis, "LIBRARIES", ("no-such-library",))
    (tmp_path / "file").write_text("")
    parts = found(Settings(home=tmp_path / "file" / "home", device="cuda"))
    assert parts["disk"][0][0] is Verdict.NOTE
    for part, words in (
        ("home", "cannot be written"),
        ("browser libraries", "nothing.js are missing"),
        ("device", "finds none"),
    ):
        assert parts[part][0][0] is Verdict.WRONG
        assert words in parts[part][0][1]
    assert parts["versions"][1][1].startswith("Not installed: no-such-library")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    assert main.run(["doctor"]) == 0
    assert "fine   versions: featurescope" in capsys.readouterr().out
    monkeypatch.setenv("FEATURESCOPE_WORKER_URL", "http://127.0.0.1:9")
    assert main.run(["doctor", "--json"]) == 1
    out, err = capsys.readouterr()
    assert {finding["part"] for finding in json.loads(out)} >= {"versions", "store", "worker"}
    assert "1 thing is wrong" in err
