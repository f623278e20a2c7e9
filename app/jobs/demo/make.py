"""Making the bundled demo: tokenizer, language model, dictionaries and card."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from app.jobs.demo.card import card_text
from app.jobs.demo.contents import FEATURES, SHALLOW
from app.jobs.demo.trained import (
    corpus_facts,
    model_losses,
    tokenizer_from,
    trained_dictionary,
    trained_model,
)
from app.settings import Settings
from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.model import load_model
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import tokenize
from sae_core.training.config import TrainingConfig
from sae_core.training.demo_model import ModelConfig, save_model, train_tokenizer

SMALL = TrainingConfig(d_sae=1024, l0=16, tokens=6_000_000, downstream=0.1)
RECIPES = {
    FEATURES: TrainingConfig(d_sae=4096, l0=24, tokens=20_000_000, downstream=0.2),
    "resid-1024": SMALL,
    "mlp-out-1024": SMALL,
    "heads-1024": SMALL,
}


def train_demo(settings: Settings, out: Path, seed: int = 0) -> None:
    """Make tokenizer, model, dictionaries and card into `out`; goes on where it was stopped.

    Checkpoints lie under the home folder, in `demo-train`.
    """
    work = settings.home / "demo-train"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(work / "tokenizer.json")
    corpus = tokenize(standard_library(), tokenizer, settings.home / "corpora")
    config = ModelConfig(seed=seed)
    made, curve = trained_model(settings, corpus, config, work / "model.ckpt")
    save_model(made, tokenizer, out / "model")
    model = load_model(out / "model", device=settings.device)
    # The saved tokenizer is spelled otherwise and means the same: the card names the text by it, as
    # every harvest of the demo does.
    shown = tokenize(standard_library(), model.tokenizer, settings.home / "corpora")
    dictionaries = {
        own.name: trained_dictionary(
            model, corpus, own, replace(RECIPES[own.name], seed=seed), work, out
        )
        for own in SHALLOW.dictionaries
    }
    card = {
        "command": f"featurescope demo-train --out demo --seed {seed}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus": corpus_facts(shown),
        "model": asdict(config),
        **model_losses(model, corpus, config),
        "loss_curve": [[p.step, round(p.loss, 4)] for p in curve],
        "dictionaries": dictionaries,
        "checksums": {"model": folder_checksum(out / "model")}
        | {own.name: dictionary_checksum(out / own.name) for own in SHALLOW.dictionaries},
    }
    with atomic_file(out / "card.json") as draft:
        draft.write_text(json.dumps(card, indent=1) + "\n")
    with atomic_file(out / "README.md") as draft:
        draft.write_text(card_text(card))


def _tokenizer(path: Path) -> Tokenizer:
    if not path.exists():
        with atomic_file(path) as draft:
            train_tokenizer(standard_library(), ModelConfig().d_vocab).save(str(draft))
    return tokenizer_from(path)
