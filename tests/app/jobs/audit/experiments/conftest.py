"""A home with the neurons of a small model, for all tests of experiments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.jobs.audit.contrast import ContrastSpec, find_contrast, read_texts
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from tests.app.jobs.audit.experiments.small_home import PLAN, POST, PROMPTS
from tests.sae_core.tiny_models import save_folder, tiny_gpt2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the neurons of a small model, a list, a contrast, prompts and a plan."""
    folder = tmp_path_factory.mktemp("experiment")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(20):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    spec = SourceSpec(
        str(folder / "tiny"), neurons=POST, name="neurons", corpus=str(folder / "texts"), n_ctx=32
    )
    settings = Settings(home=folder / "home")
    harvesting.harvest(settings, spec)
    foxes = read_texts([f"the fox {n} jumps" for n in range(10)], "foxes", as_json=False)
    code = read_texts([f"def f_{n}(x): return {n}" for n in range(10)], "code", as_json=False)
    with open_store(settings) as store:
        view = store.dictionary("tiny", "neurons")
        busy = np.argsort(-store.scales(view).firings)[:2].tolist()
        store.lists.create("busy", dictionary=view, features=busy)
        find_contrast(store, ContrastSpec(view, "foxes against code", foxes, code), "cpu")
    lines = [json.dumps({"text": text, "target": " return"}) for text in PROMPTS]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "plan.toml").write_text(PLAN)
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder
