"""Making the bundled demo: tokenizer, language model, dictionaries and card."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from app.jobs.demo.card import card_text
from app.jobs.demo.contents import DICTIONARIES, FEATURES, DemoDictionary
from app.settings import Settings
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.evaluation.evaluation import evaluate, mean_loss
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import TokenizedCorpus, Windows, tokenize
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.downstream import DownstreamLoss
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.demo_model import (
    LossPoint,
    ModelConfig,
    held_out_windows,
    save_model,
    train_model,
    train_tokenizer,
)
from sae_core.training.trainer import train

N_CTX = 128
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
    curve = _language_model(settings, corpus, tokenizer, config, work, out / "model")
    model = load_model(out / "model", device=settings.device)
    # The saved tokenizer is spelled otherwise and means the same: the card names the text by it, as
    # every harvest of the demo does.
    shown = tokenize(standard_library(), model.tokenizer, settings.home / "corpora")
    windows = Windows(corpus, N_CTX, model.vocabulary.bos)
    dictionaries = {
        own.name: _dictionary(model, windows, own, replace(RECIPES[own.name], seed=seed), work, out)
        for own in DICTIONARIES
    }
    whole = Windows(corpus, config.n_ctx, model.vocabulary.bos)
    inside = held_out_windows(whole, seed)
    outside = np.setdiff1d(whole.of_documents(held_out=False), inside)
    seen = np.random.default_rng(seed).choice(outside, len(inside), replace=False)
    card = {
        "command": f"featurescope demo-train --out demo --seed {seed}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "corpus": _corpus_facts(shown),
        "model": asdict(config),
        "held_out_windows": len(inside),
        "held_out_loss": mean_loss(model, whole, inside),
        "held_out_documents_loss": mean_loss(model, whole, whole.of_documents(held_out=True)),
        "training_loss": mean_loss(model, whole, seen),
        "loss_curve": [[p.step, round(p.loss, 4)] for p in curve],
        "dictionaries": dictionaries,
        "checksums": {"model": folder_checksum(out / "model")}
        | {own.name: dictionary_checksum(out / own.name) for own in DICTIONARIES},
    }
    with atomic_file(out / "card.json") as draft:
        draft.write_text(json.dumps(card, indent=1) + "\n")
    with atomic_file(out / "README.md") as draft:
        draft.write_text(card_text(card))


def _dictionary(
    model: LanguageModel,
    windows: Windows,
    own: DemoDictionary,
    config: TrainingConfig,
    work: Path,
    out: Path,
) -> dict[str, Any]:
    """Train one dictionary into `out`; what the card says of it."""
    stream = PoolStream(TextPools(model, own.hook_point, windows, config.seed), config.batch)
    downstream = None
    if config.downstream:
        downstream = DownstreamLoss(model, own.hook_point, windows, config.batch, config.seed)
    with tqdm(total=config.steps, desc=f"training {own.name}", unit="step") as bar:

        def show(point: TrainingPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(fvu=f"{point.fvu:.3f}", dead=f"{point.dead_share:.3f}")

        checkpoint = work / f"{own.name}.ckpt"
        trained = train(stream, config, own.hook_point, checkpoint, show, downstream)
    trained.dictionary.trained_on = TrainedOn(windows.bos is not None, windows.n_ctx)
    save_dictionary(trained.dictionary, out / own.name, torch.float16)
    kept = load_dictionary(out / own.name, str(model.device))  # float16 rounds what is evaluated
    figures = evaluate(model, kept, windows, windows.of_documents(held_out=True)).figures()
    about = {"hook_point": own.hook_point, "d_in": kept.d_in, "kept_as": kept.architecture}
    return about | {"training": asdict(config), "evaluation": figures}


def _tokenizer(path: Path) -> Tokenizer:
    if not path.exists():
        with atomic_file(path) as draft:
            train_tokenizer(standard_library(), ModelConfig().d_vocab).save(str(draft))
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    return tokenizer


def _language_model(
    settings: Settings,
    corpus: TokenizedCorpus,
    tokenizer: Tokenizer,
    config: ModelConfig,
    work: Path,
    folder: Path,
) -> list[LossPoint]:
    with tqdm(total=config.steps, desc="training the language model", unit="step") as bar:

        def show(point: LossPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(loss=f"{point.loss:.3f}", tokens_s=f"{point.tokens_per_second:,.0f}")

        model, curve = train_model(corpus, config, work / "model.ckpt", settings.device, show)
    save_model(model, tokenizer, folder)
    return curve


def _corpus_facts(corpus: TokenizedCorpus) -> dict[str, Any]:
    held_out = int(corpus.lengths[corpus.held_out].sum())
    return {
        "source": corpus.source,
        "documents": corpus.n_documents,
        "tokens": corpus.n_tokens,
        "held_out_documents": int(corpus.held_out.sum()),
        "held_out_tokens": held_out,
        "fingerprint": corpus.fingerprint,
    }
