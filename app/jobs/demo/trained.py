"""The parts that both of the demo's models have: dictionaries trained on them, and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from app.jobs.demo.contents import DemoDictionary
from app.settings import Settings
from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.evaluation.evaluation import evaluate, mean_loss
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import TokenizedCorpus, Windows
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.downstream import DownstreamLoss
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import PoolSource, TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.demo_model import LossPoint, ModelConfig, held_out_windows, train_model
from sae_core.training.trainer import train

N_CTX = 128

OnMoment = Callable[[int, GPT2LMHeadModel], None]


def trained_dictionary(
    model: LanguageModel,
    corpus: TokenizedCorpus,
    own: DemoDictionary,
    config: TrainingConfig,
    work: Path,
    out: Path,
    pools: PoolSource | None = None,
) -> dict[str, Any]:
    """Train one dictionary into a folder of `out`; what the card says of it.

    It goes on where it was stopped, from its checkpoint in `work`. Without `pools` the model reads
    the text for each of them.
    """
    windows, written = Windows(corpus, N_CTX, model.vocabulary.bos), own.output_hook_point
    output = output_at(model, own.hook_point, written)
    if pools is None:
        pools = TextPools(model, own.hook_point, windows, config.seed, output_hook_point=written)
    stream, downstream = PoolStream(pools, config.batch), None
    if config.downstream:
        downstream = DownstreamLoss(
            model, own.hook_point, windows, config.batch, config.seed, written
        )
    with tqdm(total=config.steps, desc=f"training {own.name}", unit="step") as bar:

        def show(point: TrainingPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(fvu=f"{point.fvu:.3f}", dead=f"{point.dead_share:.3f}")

        checkpoint = work / f"{own.name}.ckpt"
        trained = train(stream, config, own.hook_point, checkpoint, show, downstream, output=output)
    trained.dictionary.trained_on = TrainedOn(windows.bos is not None, windows.n_ctx)
    save_dictionary(trained.dictionary, out / own.name, torch.float16)
    kept = load_dictionary(out / own.name, str(model.device))  # float16 rounds what is evaluated
    figures = evaluate(model, kept, windows, windows.of_documents(held_out=True)).figures()
    about = {"hook_point": own.hook_point, "d_in": kept.d_in, "kept_as": kept.architecture}
    if written is not None:
        about["output_hook_point"] = written
    return about | {"training": asdict(config), "evaluation": figures}


def trained_model(
    settings: Settings,
    corpus: TokenizedCorpus,
    config: ModelConfig,
    checkpoint: Path,
    on_moment: OnMoment | None = None,
    moments: tuple[int, ...] = (),
) -> tuple[GPT2LMHeadModel, list[LossPoint]]:
    """A language model and its curve, going on from the checkpoint, with a bar."""
    with tqdm(total=config.steps, desc="training the language model", unit="step") as bar:

        def show(point: LossPoint) -> None:
            bar.update(point.step - bar.n)
            bar.set_postfix(loss=f"{point.loss:.3f}", tokens_s=f"{point.tokens_per_second:,.0f}")

        return train_model(
            *(corpus, config, checkpoint, settings.device, show),
            on_moment=on_moment,
            moments=moments,
        )


def model_losses(
    model: LanguageModel, corpus: TokenizedCorpus, config: ModelConfig
) -> dict[str, float]:
    """Losses (nats/token) on held-out windows, on held-out documents and on text it was trained on.

    The last is of as many windows as the first, drawn by the seed.
    """
    whole = Windows(corpus, config.n_ctx, model.vocabulary.bos)
    inside = held_out_windows(whole, config.seed)
    outside = np.setdiff1d(whole.of_documents(held_out=False), inside)
    seen = np.random.default_rng(config.seed).choice(outside, len(inside), replace=False)
    return {
        "held_out_windows": len(inside),
        "held_out_loss": mean_loss(model, whole, inside),
        "held_out_documents_loss": mean_loss(model, whole, whole.of_documents(held_out=True)),
        "training_loss": mean_loss(model, whole, seen),
    }


def corpus_facts(corpus: TokenizedCorpus) -> dict[str, Any]:
    """What a card says of the text."""
    held_out = int(corpus.lengths[corpus.held_out].sum())
    return {
        "source": corpus.source,
        "documents": corpus.n_documents,
        "tokens": corpus.n_tokens,
        "held_out_documents": int(corpus.held_out.sum()),
        "held_out_tokens": held_out,
        "fingerprint": corpus.fingerprint,
    }


def tokenizer_from(path: Path) -> Tokenizer:
    """A tokenizer of the `tokenizers` library from its file."""
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    return tokenizer
