"""The English demo is made with a tiny model: text, dictionaries, card; then it is harvested."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.jobs.demo import trained
from app.jobs.demo.contents import DemoDictionary, DemoModel
from app.jobs.demo.english import contents, make
from app.settings import Settings
from app.store.store import open_store
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.files.gguf.conversion import gguf_folder
from sae_core.training.config import TrainingConfig
from tests.sae_core.files.gguf.gguf_models import library_model, write_gguf

TINY = DemoModel(
    "tiny",
    "english",
    (
        DemoDictionary("resid", "blocks.0.hook_resid_post", 400),
        DemoDictionary("mlp", "blocks.1.mlp.hook_in", 400, "blocks.1.hook_mlp_out"),
    ),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a home with a tiny model in the place of the English one."""
    settings = Settings(home=tmp_path / "home")
    write_gguf(tmp_path / "tiny.gguf", "llama", library_model("llama"), "Q4_1")
    folder = gguf_folder(tmp_path / "tiny.gguf", settings.home / "gguf")
    for module in (make, contents):
        monkeypatch.setattr(module, "fetched_model", lambda _: folder)
        monkeypatch.setattr(module, "ENGLISH", TINY)
    monkeypatch.setattr(contents, "model_place", lambda _: folder)
    monkeypatch.setattr(contents, "resource", lambda _: tmp_path / "demo")
    monkeypatch.setattr(contents, "EVALUATION_TOKENS", 100)
    recipe = TrainingConfig(d_sae=32, l0=4, tokens=2000, batch=64)
    monkeypatch.setattr(make, "RECIPES", {"resid": recipe, "mlp": replace(recipe, l0=3)})
    for name, value in {"ROWS": 40, "POSITIONS": 63, "BATCHES": 4, "N_CTX": 32}.items():
        monkeypatch.setattr(make, name, value)
    monkeypatch.setattr(make, "WRITTEN_IN", "float32")
    monkeypatch.setattr(trained, "N_CTX", 32)
    return settings


def test_text_dictionaries_and_card_are_made_and_harvested(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = tmp_path / "demo"
    make.train_english_demo(settings, demo, seed=2)
    card = json.loads((demo / "english" / "card.json").read_text())
    assert card["corpus"]["documents"] <= 160
    assert card["quantisation"].startswith("Q4_1 in ")
    kept = [load_dictionary(demo / "english" / own.name) for own in TINY.dictionaries]
    assert [d.is_transcoder for d in kept] == [False, True]
    assert all(d.trained_on.prepend_bos for d in kept)
    readme = (demo / "english" / "README.md").read_text()
    fvu = card["dictionaries"]["resid"]["evaluation"]["fvu"]
    assert f"| FVU | {fvu:.4f}" in readme
    # What is there is taken as it is.
    text = (demo / "english" / "english.jsonl.xz").read_bytes()
    make.train_english_demo(settings, demo, seed=2)
    assert (demo / "english" / "english.jsonl.xz").read_bytes() == text

    assert not contents.english_is_harvested(settings)
    contents.harvest_english(settings, first=True)
    assert contents.english_is_harvested(settings, first=True)
    assert not contents.english_is_harvested(settings)
    contents.harvest_english(settings)
    assert contents.english_is_harvested(settings)
    with open_store(settings) as store:
        view = store.dictionary("tiny", "mlp")
    assert view.model_details["quantisation"].startswith("Q4_1 in ")
