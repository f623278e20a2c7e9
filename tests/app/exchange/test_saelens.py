"""Weights out of the store's keeping: the very files, or a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from app.cli.main import run
from app.errors import InvalidRequest
from app.exchange.saelens import export_weights
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, save_dictionary
from sae_core.errors import CheckpointError
from tests import factories
from tests.sae_core.tiny_dictionaries import random_dictionary


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 8, 12, "topk")
    save_dictionary(dictionary, tmp_path / "weights", torch.float16)
    return tmp_path / "weights"


@pytest.fixture
def view(sqlite_engine: Engine, weights: Path) -> DictionaryView:
    store, sample = Store(sqlite_engine), factories.sample()
    record = replace(sample.dictionary, path=str(weights), checksum=dictionary_checksum(weights))
    factories.publish(store, replace(sample, dictionary=record))
    return store.dictionary("demo", "mlp-12")


def test_the_files_are_those_of_the_harvest(
    view: DictionaryView, weights: Path, tmp_path: Path
) -> None:
    export_weights(view, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["cfg.json", "sae_weights.safetensors"]
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (weights / name).read_bytes()
    assert dictionary_checksum(tmp_path / "out") == view.checksum
    assert load_dictionary(tmp_path / "out").d_sae == 12


def test_other_files_are_refused(view: DictionaryView, weights: Path, tmp_path: Path) -> None:
    save_dictionary(random_dictionary("blocks.0.mlp.hook_post", 8, 12, "topk"), weights)
    with pytest.raises(CheckpointError, match="has changed: its checksum is"):
        export_weights(view, tmp_path / "out")
    (weights / "sae_weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"sae_weights\.safetensors"):
        export_weights(view, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_has_no_weights_says_so(view: DictionaryView, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="neuron basis"):
        export_weights(replace(view, path=None), tmp_path / "out")
    with pytest.raises(InvalidRequest, match="imported without its model"):
        export_weights(replace(view, path="", model_path=""), tmp_path / "out")
    with pytest.raises(InvalidRequest, match="exists already"):
        export_weights(view, tmp_path)


def test_every_format_by_its_command(
    view: DictionaryView,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FEATURESCOPE_DATABASE_URL", f"sqlite:///{tmp_path / 'only.db'}")
    for words, sentence in (
        (["--format", "saelens", "--out", "weights-out"], "the weights of demo/mlp-12, SHA-256"),
        (["--format", "neuronpedia", "--out", "np"], "12 features of demo/mlp-12"),
        (["--format", "html", "--features", "0-2,5", "--out", "f.html"], "4 features, "),
    ):
        monkeypatch.chdir(tmp_path)
        assert run(["export", "demo/mlp-12", *words]) == 0
        assert sentence in capsys.readouterr().out
    assert run(["export", "--bundle", "all.zip"]) == 0
    content = capsys.readouterr().out.split("content ")[1]
    monkeypatch.setenv("FEATURESCOPE_DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    assert run(["import", "all.zip"]) == 0
    assert capsys.readouterr().out.endswith(content)
    assert run(["import", "np"]) == 1
    assert "give the import another name with --model-name" in capsys.readouterr().err
    assert run(["import", "np", "--model-name", "elsewhere"]) == 0
