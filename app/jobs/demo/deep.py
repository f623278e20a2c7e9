"""Making the deeper demo: a model of three layers, ten moments of its training, dictionaries."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

from app.errors import InvalidRequest
from app.jobs.demo.card import deep_card_text
from app.jobs.demo.contents import DEEP, DemoDictionary
from app.jobs.demo.trained import (
    N_CTX,
    corpus_facts,
    model_losses,
    tokenizer_from,
    trained_dictionary,
    trained_model,
)
from app.settings import Settings
from sae_core.circuits.replacement import evaluate_together
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import TokenizedCorpus, Windows, tokenize
from sae_core.training.config import TrainingConfig
from sae_core.training.demo_model import ModelConfig, save_model, save_weights

DEEP_MODEL = ModelConfig(
    n_layers=3,
    tied=True,
    steps=14_650,
    learning_rate=3e-3,
    horizon=20_000,
)
MOMENTS = (64, 256, 512, 1_024, 2_048, 4_096, 6_144, 9_216, 12_288)
"""Steps after which the model is kept besides; the finished one is the tenth."""
TRANSCODER = TrainingConfig(d_sae=1280, l0=24, tokens=5_000_000, downstream=0.1)
RESIDUAL = TrainingConfig(d_sae=1024, l0=24, tokens=4_000_000, downstream=0.1)


def train_deep_demo(settings: Settings, demo: Path, seed: int = 0) -> None:
    """Make model, dictionaries and card into `demo/deep`, and each of MOMENTS into its `step-N`.

    It goes on where it was stopped. Its tokenizer is that of the one-layer demo, so that both read
    one text alike; moments are weights and settings alone.

    Args:
        settings: home folder and device.
        demo: folder of the demo, with its one-layer model.
        seed: of initial weights, rows and dictionaries.

    Raises:
        InvalidRequest: there is no one-layer model yet.
    """
    tokenizer_file = demo / "model" / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise InvalidRequest(
            f"{tokenizer_file} is missing: make the demo there without --deep first."
        )
    out, config = demo / "deep", replace(DEEP_MODEL, seed=seed)
    work = settings.home / "demo-train" / "deep"
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_from(tokenizer_file)
    corpus = tokenize(standard_library(), tokenizer, settings.home / "corpora")

    def keep(step: int, model: GPT2LMHeadModel) -> None:
        save_weights(model, out / f"step-{step}")

    made, curve = trained_model(settings, corpus, config, work / "model.ckpt", keep, MOMENTS)
    save_model(made, tokenizer, out / "model")
    model = load_model(out / "model", device=settings.device)
    dictionaries = {
        own.name: trained_dictionary(
            model, corpus, own, replace(_recipe(own), seed=seed), work, out
        )
        for own in DEEP.dictionaries
    }
    losses = model_losses(model, corpus, config)
    card = {
        "command": f"featurescope demo-train --deep --out demo --seed {seed}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus": corpus_facts(
            tokenize(standard_library(), model.tokenizer, settings.home / "corpora")
        ),
        "model": asdict(config),
        **losses,
        "loss_curve": [[p.step, round(p.loss, 4)] for p in curve],
        "moments": _moments(settings, out, tokenizer, corpus, config, losses),
        "dictionaries": dictionaries,
        "together": _together(model, corpus, out, dictionaries),
        "checksums": {"model": folder_checksum(out / "model")}
        | {f"step-{step}": folder_checksum(out / f"step-{step}") for step in MOMENTS}
        | {own.name: dictionary_checksum(out / own.name) for own in DEEP.dictionaries},
    }
    with atomic_file(out / "card.json") as draft:
        draft.write_text(json.dumps(card, indent=1) + "\n")
    with atomic_file(out / "README.md") as draft:
        draft.write_text(deep_card_text(card))


def _recipe(own: DemoDictionary) -> TrainingConfig:
    return RESIDUAL if own.output_hook_point is None else TRANSCODER


def _moments(
    settings: Settings,
    out: Path,
    tokenizer: Tokenizer,
    corpus: TokenizedCorpus,
    config: ModelConfig,
    finished: Mapping[str, float],
) -> list[dict[str, float]]:
    """Step and held-out losses of each moment, the finished model's last."""
    rows = []
    for step in MOMENTS:
        # A moment has no tokenizer of its own, so that the demo stays small.
        whole = settings.home / "demo-train" / "deep" / "moment"
        save_model(_weights_of(out / f"step-{step}"), tokenizer, whole)
        losses = model_losses(load_model(whole, device=settings.device), corpus, config)
        rows.append({"step": step, **losses})
    rows.append({"step": config.steps, **finished})
    names = ("step", "held_out_loss", "held_out_documents_loss", "training_loss")
    return [{name: row[name] for name in names} for row in rows]


def _weights_of(folder: Path) -> GPT2LMHeadModel:
    model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    return model


def _together(
    model: LanguageModel, corpus: TokenizedCorpus, out: Path, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Figures of all transcoders at once, each reading what the ones before it left."""
    windows = Windows(corpus, N_CTX, model.vocabulary.bos)
    names = [name for name, part in about.items() if "output_hook_point" in part]
    transcoders = [load_dictionary(out / name, str(model.device)) for name in names]
    numbers = windows.of_documents(held_out=True)
    whole = evaluate_together(model, transcoders, windows, numbers)
    return {"names": names, "evaluation": whole.evaluation.figures()}
