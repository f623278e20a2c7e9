"""`featurescope list` and `featurescope remove` as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from filelock import FileLock
from sqlalchemy import Engine

from app.cli.main import run
from app.jobs.harvest.folders import note_harvest
from app.store.database import connect, upgrade
from app.store.search.meaning_folder import meaning_folder, unfinished_folder
from app.store.store import Store
from tests import factories

FOLDER = "0123456789abcdef01234567"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def engine(home: Path) -> Engine:
    made = connect(f"sqlite:///{home / 'featurescope.db'}")
    upgrade(made)
    return made


@pytest.fixture
def filled(engine: Engine) -> Store:
    store = Store(engine)
    factories.publish(store, factories.sample())
    return store


def _unfinished(home: Path, noted: bool = True) -> Path:
    folder = home / "harvests" / FOLDER
    folder.mkdir(parents=True)
    (folder / "header.json").write_text("{}" + " " * 1998)
    if noted:
        note_harvest(folder, "demo", "half")
    return folder


def test_a_list_names_everything(
    filled: Store, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _unfinished(home)
    filled.progress.report("demo", "half", "harvesting", 25, 100, 10.0)
    assert run(["list"]) == 0
    told = capsys.readouterr().out
    assert "demo: GPT2LMHeadModel, at demo/model" in told
    assert "  mlp-12: topk, 12 features at blocks.0.mlp.hook_post; 9 alive in 1,048,576" in told
    assert re.search(r"; [\d.]+ k?B, [\d.]+ k?B of it for phrases$", told, re.MULTILINE)
    assert "  python-stdlib (cccccccccccc): 7 documents, 9,999 tokens; 64 windows kept" in told
    half = r"  demo/half: harvesting 25 %, last heard of \d s ago, 2.0 kB of files, running"
    assert re.search(half, told)


def test_a_list_as_json(filled: Store, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _unfinished(home, noted=False)
    assert run(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["dictionaries"]] == ["mlp-12"]
    assert told["unfinished"][0]["title"] == ""
    assert told["unfinished"][0]["running"] is False


def test_an_empty_list_says_how_to_fill_it(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list"]) == 0
    assert capsys.readouterr().out.startswith("The store is empty")


def test_removing_needs_consent(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["remove", "demo/mlp-12"]) == 1
    told = capsys.readouterr().err
    assert "would remove demo/mlp-12: 12 features, 64 windows" in told
    assert "--yes" in told
    assert len(filled.catalogue()) == 1
    assert run(["remove", "demo/mlp-12", "--yes"]) == 0
    assert filled.catalogue() == []


def test_half_a_name_is_not_the_whole_model(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["remove", "demo/", "--yes"]) == 1
    assert "names no dictionary" in capsys.readouterr().err
    assert len(filled.catalogue()) == 1


def test_vectors_go_with_the_last_dictionary_of_their_weights(filled: Store, home: Path) -> None:
    factories.publish(filled, factories.sample(dictionary="again"))
    folder = meaning_folder(home, filled.dictionary("demo", "mlp-12"))
    assert folder == meaning_folder(home, filled.dictionary("demo", "again"))
    folder.mkdir(parents=True)
    unfinished_folder(folder).mkdir()
    assert run(["remove", "demo/again", "--yes"]) == 0
    assert folder.exists()
    assert run(["remove", "demo/mlp-12", "--yes"]) == 0
    assert list(folder.parent.iterdir()) == []


def test_a_harvest_that_was_given_up_is_removed_alone(
    filled: Store, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _unfinished(home)
    filled.progress.report("demo", "half", "harvesting", 25, 100, 10.0)
    assert run(["remove", "demo/half", "--harvest", "--yes"]) == 0
    assert not folder.exists()
    assert filled.progress.all() == []
    assert len(filled.catalogue()) == 1
    assert run(["remove", "demo/half", "--harvest", "--yes"]) == 1
    assert "no unfinished harvest of 'demo/half'" in capsys.readouterr().err


def test_a_folder_without_a_name_is_removed_by_its_own(filled: Store, home: Path) -> None:
    folder = _unfinished(home, noted=False)
    assert run(["remove", FOLDER, "--yes"]) == 0
    assert not folder.exists()


def test_a_harvest_that_runs_is_left_alone(
    filled: Store, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _unfinished(home)
    with FileLock(folder / "lock"):
        assert run(["remove", "demo", "--yes"]) == 1
    assert "right now" in capsys.readouterr().err
    assert folder.exists()
    assert len(filled.catalogue()) == 1


def test_only_folders_of_harvests_are_touched(filled: Store, home: Path) -> None:
    (home / "harvests" / "mine").mkdir(parents=True)
    assert run(["remove", "demo", "--yes"]) == 0
    assert (home / "harvests" / "mine").exists()
