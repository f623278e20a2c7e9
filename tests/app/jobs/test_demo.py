"""The demo shows the sweep that it ships; its deeper model is made beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import GPT2LMHeadModel

from app.errors import InvalidRequest
from app.jobs.demo import contents as demo
from app.jobs.demo import deep, trained
from app.jobs.harvest import harvest as harvesting
from app.jobs.training.sweeps.records import write_record
from app.settings import Settings
from app.store.store import Store, open_store
from sae_core.circuits.replacement import evaluate_together
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.evaluation.evaluation import evaluate
from sae_core.evaluation.figures import Evaluation
from sae_core.language_model.model import load_model
from sae_core.text.corpus import Document, TextCorpus
from sae_core.text.tokenized import Windows, tokenize
from sae_core.training.config import TrainingConfig
from sae_core.training.demo_model import ModelConfig, train_tokenizer
from tests.app.jobs.training.sweeps.test_sweep_plan import made


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a store whose demo is harvested, but for the sweep."""
    shipped = tmp_path / "demo"
    shipped.mkdir()
    names = [own.name for own in demo.SHALLOW.dictionaries]
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


def plain(evaluation: Evaluation | dict[str, Any]) -> dict[str, float]:
    """Figures that are one number."""
    figures = evaluation if isinstance(evaluation, dict) else evaluation.figures()
    return {name: value for name, value in figures.items() if isinstance(value, float)}


def test_the_deeper_model_is_made_beside_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    words = (" ".join(f"word{n % 97 + m}" for n in range(400)) for m in range(1000))
    texts = [next(words) for _ in range(9)]
    texts.append(next(text for text in words if Document("", text).held_out))
    for n, text in enumerate(texts):
        (folder / f"{n}.py").write_text(text)
    corpus = TextCorpus("words", "made up", tuple((p.name, p) for p in sorted(folder.iterdir())))
    monkeypatch.setattr(deep, "standard_library", lambda: corpus)
    small = ModelConfig(d_vocab=300, d_model=16, n_layers=2, d_mlp=16, n_ctx=16, batch=2, steps=4)
    monkeypatch.setattr(deep, "DEEP_MODEL", replace(small, warmup=1, horizon=9, cooldown=1))
    monkeypatch.setattr(deep, "MOMENTS", (2,))
    monkeypatch.setattr(trained, "N_CTX", 16)
    monkeypatch.setattr(deep, "N_CTX", 16)
    tiny = TrainingConfig(d_sae=32, l0=4, tokens=2000, batch=64, downstream=0.1)
    monkeypatch.setattr(deep, "TRANSCODER", tiny)
    monkeypatch.setattr(deep, "RESIDUAL", tiny)
    both = replace(demo.DEEP, dictionaries=(*demo.DEEP.dictionaries[:2], demo.DEEP.dictionaries[3]))
    monkeypatch.setattr(deep, "DEEP", both)
    settings, shipped = Settings(home=tmp_path / "home"), tmp_path / "demo" / "deep"
    with pytest.raises(InvalidRequest, match="make the demo there without --deep first"):
        deep.train_deep_demo(settings, tmp_path / "demo")
    (tmp_path / "demo" / "model").mkdir(parents=True)
    train_tokenizer(corpus, 300).save(str(tmp_path / "demo" / "model" / "tokenizer.json"))
    deep.train_deep_demo(settings, tmp_path / "demo", seed=3)
    model = load_model(shipped / "model")
    assert model.n_layers == 2
    assert not (shipped / "step-2" / "tokenizer.json").exists()
    assert GPT2LMHeadModel.from_pretrained(shipped / "step-2").config.n_layer == 2
    # The card's figures are those of the files, and its text holds them.
    card = json.loads((shipped / "card.json").read_text())
    windows = Windows(tokenize(corpus, model.tokenizer, tmp_path), 16, model.vocabulary.bos)
    names = [own.name for own in both.dictionaries]
    held_out = windows.of_documents(held_out=True)
    for own in both.dictionaries:
        kept = load_dictionary(shipped / own.name)
        assert (kept.hook_point, kept.is_transcoder) == (own.hook_point, "trans" in own.name)
        figures = plain(evaluate(model, kept, windows, held_out))
        assert plain(card["dictionaries"][own.name]["evaluation"]) == pytest.approx(figures)
    whole = evaluate_together(
        model, [load_dictionary(shipped / name) for name in names[:2]], windows, held_out
    )
    assert card["together"]["names"] == names[:2]
    assert plain(card["together"]["evaluation"]) == pytest.approx(plain(whole.evaluation))
    assert [row["step"] for row in card["moments"]] == [2, 4]
    assert card["moments"][-1]["held_out_loss"] == card["held_out_loss"]
    readme = (shipped / "README.md").read_text()
    fraction = whole.evaluation.figures()["extra_loss_fraction"]
    assert f"an extra-loss fraction of\n{fraction:.2%} (zero)" in readme
    assert "| writes at | `blocks.0.hook_mlp_out` | `blocks.1.hook_mlp_out` |  |" in readme


def test_what_the_pages_begin_with_is_enough_to_begin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deeper demo is asked for where it is shipped, and harvested after the first two."""
    harvested: list[str] = []
    monkeypatch.setattr(
        harvesting, "harvest", lambda _, spec, *__, **___: harvested.append(spec.name)
    )
    deeper = demo.resource("demo") / "deep"
    deeper.mkdir()
    assert demo.is_harvested(settings)
    (deeper / "card.json").write_text('{"checksums": {"model": "d"}}')
    assert demo.is_harvested(settings, first=True)
    assert not demo.is_harvested(settings)
    demo.harvest_demo(settings, first=True)
    assert harvested == [demo.FEATURES, demo.NEURONS]
    demo.harvest_demo(settings)
    names = [own.name for own in (*demo.SHALLOW.dictionaries[1:], *demo.DEEP.dictionaries)]
    assert harvested[2:] == [demo.FEATURES, demo.NEURONS, *names]
