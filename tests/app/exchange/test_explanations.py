"""Labels as Neuronpedia's explanations, out and in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from app.errors import InvalidRequest
from app.exchange.neuronpedia.explanations import (
    export_explanations,
    import_explanations,
    read_explanations,
)
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.annotations import LabelKind, NewLabel
from app.store.types.catalogue import DictionaryView
from tests import factories


@pytest.fixture
def view(sqlite_store: Store) -> DictionaryView:
    return sqlite_store.dictionary("demo", "mlp-12")


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_out_and_in_again(
    sqlite_store: Store, view: DictionaryView, tmp_path: Path, name: str
) -> None:
    first = sqlite_store.labels.add(view, 2, "<b>one</b> \u202e", "a\nnote", "Ada")
    sqlite_store.labels.add(view, 2, "two")
    sqlite_store.labels.withdraw(view, 5, sqlite_store.labels.add(view, 5, "gone").id)
    sqlite_store.labels.take(
        view, [NewLabel(7, "by a model", author="gpt", kind=LabelKind.EXPLAINER)]
    )
    path = tmp_path / name
    assert export_explanations(sqlite_store, view, path) == 3
    data = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    two, one, model = map(json.loads, data.decode().splitlines())
    assert one == {
        "id": first.id,
        "modelId": "demo",
        "layer": "0-mlp-12",
        "index": "2",
        "description": "<b>one</b> \u202e",
        "authorId": "Ada",
        "notes": "a\nnote",
        "typeName": None,
        "explanationModelName": None,
        "createdAt": one["createdAt"],
    }
    assert one["createdAt"].endswith("Z")
    assert (two["description"], model["explanationModelName"]) == ("two", "gpt")
    taken = import_explanations(sqlite_store, view, path)
    assert (taken.new, taken.known, taken.beyond) == (0, 3, 0)
    factories.publish(sqlite_store, factories.sample(dictionary="other", checksum="e" * 64))
    other = sqlite_store.dictionary("demo", "other")
    assert import_explanations(sqlite_store, other, path).new == 3
    kept = next(v for v in sqlite_store.labels.of(other, 2) if v.text != "two")
    assert (kept.text, kept.note, kept.author) == (first.text, "a\nnote", "Ada")
    assert kept.created == first.created
    assert export_explanations(sqlite_store, other, tmp_path / "again.jsonl") == 3


def test_what_neuronpedia_writes(sqlite_store: Store, view: DictionaryView, tmp_path: Path) -> None:
    path = written(
        tmp_path / "batch-0.jsonl",
        {
            "id": "cly",
            "modelId": "gpt2-small",
            "layer": "6-res-jb",
            "index": "2",
            "description": "references to time",
            "authorId": "clkht",
            "embedding": [0.1, 0.2],
            "triggeredByUserId": None,
            "notes": None,
            "typeName": "oai_token-act-pair",
            "explanationModelName": "gpt-4o-mini",
            "createdAt": "2024-07-11T00:14:20.123Z",
        },
        {"index": 3, "description": "x" * 500, "createdAt": "2024-07-11 00:14:20.5"},
        {"index": "4", "description": "no time, NUL \u0000 and half \ud83d"},
        {"index": "99", "description": "beyond"},
        {"index": "-1", "description": "no index"},
        {"index": "1e3", "description": "no index"},
        {"index": "5", "description": " "},
        {"index": "5"},
        {"description": "no index"},
    )
    taken = import_explanations(sqlite_store, view, path)
    assert (taken.new, taken.known, taken.beyond) == (3, 0, 1)
    [time] = sqlite_store.labels.of(view, 2)
    assert time.note == "Explained by gpt-4o-mini with oai_token-act-pair."
    assert (time.kind, time.created) == (LabelKind.IMPORT, 1720656860.123)
    [long] = sqlite_store.labels.of(view, 3)
    assert (long.text, long.note) == ("x" * 400, "x" * 500)
    [strange] = sqlite_store.labels.of(view, 4)
    assert strange.text == "no time, NUL \ufffd and half \ufffd"
    assert import_explanations(sqlite_store, view, path).known == 3


def test_files_that_hold_none(sqlite_store: Store, view: DictionaryView, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no explanation"):
        import_explanations(sqlite_store, view, written(tmp_path / "a.jsonl", {"index": "1"}))
    (tmp_path / "b.jsonl").write_text("{")
    with pytest.raises(InvalidRequest, match="is no JSON"):
        list(read_explanations(tmp_path / "b.jsonl"))
    with pytest.raises(InvalidRequest, match="no file at"):
        list(read_explanations(tmp_path / "none.jsonl"))
    with pytest.raises(InvalidRequest, match="No feature of demo/mlp-12 has a label yet"):
        export_explanations(sqlite_store, view, tmp_path / "c.jsonl")
    sqlite_store.labels.add(view, 2, "x")
    with pytest.raises(InvalidRequest, match="exists already"):
        export_explanations(sqlite_store, view, tmp_path / "b.jsonl")


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    with open_store(Settings(home=tmp_path)) as store:
        factories.publish(store, factories.sample())
        store.labels.add(store.dictionary("demo", "mlp-12"), 2, "self")
    out = str(tmp_path / "labels.jsonl")
    assert run(["export", "demo/mlp-12", "--format", "explanations", "--out", out]) == 0
    assert "1 labels of demo/mlp-12" in capsys.readouterr().out
    assert run(["import", out, "--to", "demo/mlp-12"]) == 0
    assert "0 labels are new, 1 were there already" in capsys.readouterr().out
    assert run(["list"]) == 0
    assert "written by people: 1 labels, 0 comments, 0 lists" in capsys.readouterr().out
    assert run(["remove", "demo/mlp-12", "--yes"]) == 0
    assert "the labels of 1 features stay, for when the same weights" in capsys.readouterr().out
    assert run(["list"]) == 0
    assert "1 labels, 1 of weights that are not here" in capsys.readouterr().out
