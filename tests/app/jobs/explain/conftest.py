"""A real, tiny harvest whose features are explained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from sae_core.dictionaries.checkpoint import save_dictionary
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

WORDS = ("def", "fox", "dog", "return", "jumps", "over", "lazy", "self", "print", "for", "in", "a")


@pytest.fixture(scope="session")
def explained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, dictionary, texts, and a home with their harvest."""
    folder = tmp_path_factory.mktemp("explain")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_dictionary(
        random_dictionary("blocks.1.mlp.hook_post", 48, architecture="topk"), folder / "features"
    )
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    for n in range(80):
        text = " ".join(rng.choice(WORDS, 60))
        (folder / "texts" / f"{n:02}.txt").write_text(text)
    spec = SourceSpec(
        str(folder / "tiny"),
        dictionary=folder / "features",
        corpus=str(folder / "texts"),
        n_ctx=32,
    )
    harvesting.harvest(Settings(home=folder / "home"), spec)
    return folder / "home"


@pytest.fixture
def home(explained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home."""
    shutil.copytree(explained_home, tmp_path / "home")
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path / "home"
