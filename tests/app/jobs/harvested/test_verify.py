"""`featurescope verify` over a real, tiny harvest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import update

from app.cli.main import run
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.database import connect, writing
from app.store.schema import StoredFeature
from sae_core.dictionaries.checkpoint import save_dictionary
from sae_core.text.reading import Packing, TextReading
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

VERIFY = ["verify", "tiny/features", "--features", "8"]


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, dictionary, texts, and a home with their harvest."""
    folder = tmp_path_factory.mktemp("verify")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_dictionary(
        random_dictionary("blocks.1.mlp.hook_post", 48, architecture="topk"), folder / "features"
    )
    (folder / "texts").mkdir()
    for n in range(30):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    spec = SourceSpec(
        str(folder / "tiny"),
        dictionary=folder / "features",
        corpus=str(folder / "texts"),
        n_ctx=32,
    )
    harvesting.harvest(Settings(home=folder / "home"), spec)
    return folder


@pytest.fixture
def home(harvested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home."""
    shutil.copytree(harvested / "home", tmp_path / "home")
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_true_is_said_to_be(
    home: Path, harvested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*VERIFY, "--corpus", str(harvested / "texts")]) == 0
    told = capsys.readouterr().out
    assert told.count("as stored") >= 5
    assert "DIFFER" not in told
    assert told.endswith("tiny/features: 8 features are what their weights give.\n")


def test_what_was_changed_in_the_store_is_reported(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = connect(f"sqlite:///{home / 'featurescope.db'}")
    with writing(engine) as connection:
        connection.execute(update(StoredFeature).values(firings=StoredFeature.firings + 5))
    assert run(VERIFY) == 1
    told = capsys.readouterr()
    assert "DIFFER  histograms, bands and maxima" in told.out
    assert "are not what its weights give" in told.err


def test_other_weights_are_refused(
    home: Path, harvested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = harvested / "features" / "cfg.json"
    before = config.read_text()
    config.write_text(json.dumps({**json.loads(before), "k": 7}))
    assert run(VERIFY) == 1
    config.write_text(before)
    assert "has changed: its checksum is" in capsys.readouterr().err


def test_another_text_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.txt").write_text("something else entirely")
    assert run([*VERIFY, "--corpus", str(tmp_path / "other.txt")]) == 1
    assert "is not the text that tiny/features was harvested on" in capsys.readouterr().err


def test_a_text_is_read_as_it_was(
    home: Path, harvested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"story": f"the fox {n} jumps over {n} dogs"}) for n in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    reading = TextReading(str(tmp_path / "a.jsonl"), "story", 400, 3, Packing.JOINED)
    spec = SourceSpec(
        str(harvested / "tiny"),
        dictionary=harvested / "features",
        name="joined",
        corpus=reading,
        n_ctx=32,
    )
    harvesting.harvest(Settings(home=home), spec)
    target = ["verify", "tiny/joined", "--features", "4", "--corpus", reading.corpus]
    assert run([*target, "--column", "story"]) == 0
    assert "on sampled text" in capsys.readouterr().out


def test_a_target_without_a_dictionary_is_explained(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "tiny"]) == 1
    assert "write MODEL/DICTIONARY" in capsys.readouterr().err
