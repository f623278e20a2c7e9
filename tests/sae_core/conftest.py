"""Tiny random models in Hugging Face folders, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_models import save_folder, tiny_gpt2, tiny_llama


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tiny_gpt2(), tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="session")
def relu_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's shape: one layer, ReLU."""
    return save_folder(tiny_gpt2(1, "relu"), tmp_path_factory.mktemp("models") / "tiny-relu")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tiny_llama(), tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def gpt2(gpt2_folder: Path) -> LanguageModel:
    return load_model(gpt2_folder)


@pytest.fixture(scope="session")
def relu_model(relu_folder: Path) -> LanguageModel:
    return load_model(relu_folder)


@pytest.fixture(scope="session")
def llama(llama_folder: Path) -> LanguageModel:
    return load_model(llama_folder)


@pytest.fixture(scope="session")
def tokens() -> torch.Tensor:
    """Random token ids [3, 20], the end-of-text token first."""
    ids = torch.randint(1, 280, (3, 20), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = 0
    return ids
