"""The demo shows the sweep that it ships; its deeper model is made beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.errors import InvalidRequest
from app.jobs.demo import contents as demo
from app.jobs.demo import deep
from app.jobs.harvest import harvest as harvesting
from app.jobs.sweeps.records import write_record
from app.settings import Settings
from app.store.store import Store, open_store
from sae_core.language_model.model import load_model
from sae_core.text.corpus import TextCorpus
from sae_core.training.demo_model import ModelConfig, train_tokenizer
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


def test_the_deeper_model_is_made_beside_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "a.py").write_text(" ".join(f"word{n % 97}" for n in range(4000)))
    text = TextCorpus("words", "made up", (("a.py", folder / "a.py"),))
    monkeypatch.setattr(deep, "standard_library", lambda: text)
    small = ModelConfig(d_vocab=300, d_model=16, n_layers=2, d_mlp=16, n_ctx=16, batch=2, steps=4)
    monkeypatch.setattr(deep, "DEEP_MODEL", replace(small, warmup=1, horizon=9, cooldown=1))
    monkeypatch.setattr(deep, "MOMENTS", (2,))
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(InvalidRequest, match="make the demo there without --deep first"):
        deep.train_deep_model(settings, tmp_path / "demo")
    (tmp_path / "demo" / "model").mkdir(parents=True)
    train_tokenizer(text, 300).save(str(tmp_path / "demo" / "model" / "tokenizer.json"))
    deep.train_deep_model(settings, tmp_path / "demo", seed=3)
    for name in ("model", "step-2"):
        assert load_model(tmp_path / "demo" / "deep" / name).n_layers == 2
