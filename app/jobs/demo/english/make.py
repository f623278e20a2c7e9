"""Making the English demo: the model's own text, two dictionaries, and their card."""

from __future__ import annotations

import json
import lzma
import platform
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from app.jobs.demo.contents import DemoDictionary
from app.jobs.demo.english.card import english_card_text
from app.jobs.demo.english.contents import ENGLISH, TEXT
from app.jobs.demo.english.openings import openings
from app.jobs.demo.english.package import ENGLISH_MODEL, fetched_model
from app.jobs.demo.trained import N_CTX, corpus_facts, trained_dictionary
from app.settings import Settings
from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import text_files
from sae_core.text.sampled import Drawing, sample_texts
from sae_core.text.tokenized import TokenizedCorpus, Windows, tokenize
from sae_core.training.config import Normalisation, TrainingConfig
from sae_core.training.data.activation_cache import CachedPools
from sae_core.training.data.pools import PoolSource, TextPools
from sae_core.training.data.repeated import RepeatedPools

ROWS = 128  # texts written at once
POSITIONS = 176  # tokens in a text at most
BATCHES = 28
_FRESH = 0.6  # share of different ones among a text's runs of three words that it must have
_SEED = 17  # of the text, to which the command's is added
WRITTEN_IN = "bfloat16"  # the model's numbers while it writes, and while it is read to train on
RECIPE = TrainingConfig(
    d_sae=4096,
    l0=32,
    tokens=4_000_000,
    normalisation=Normalisation.MEAN_AND_NORM,
    dead_after=200_000,
)
RECIPES = {"resid-15": RECIPE, "transcoder-12": replace(RECIPE, l0=24)}


def train_english_demo(settings: Settings, demo: Path, seed: int = 0) -> None:
    """Make text, dictionaries and card into `demo/english`, whatever of them is missing there.

    The text is taken as it is where it is there: what a model writes depends on the last bits of
    its numbers, which another processor may round otherwise.

    Args:
        settings: home folder and device.
        demo: folder of the demo.
        seed: of the text, the order of its windows, and the dictionaries.
    """
    out = demo / "english"
    work = settings.home / "demo-train" / "english"
    work.mkdir(parents=True, exist_ok=True)
    folder = fetched_model(settings)
    short = load_model(folder, WRITTEN_IN, settings.device).opening(prepend_bos=True)
    _write_text(short, out / TEXT, work / f"text-{seed}", seed)
    model = load_model(folder, device=settings.device).opening(prepend_bos=True)
    corpus = tokenize(text_files(out / TEXT), model.tokenizer, settings.home / "corpora")
    dictionaries = {}
    for own in ENGLISH.dictionaries:
        config = replace(RECIPES[own.name], seed=seed)
        pools = _pools(short, corpus, own, config, work)
        trained = trained_dictionary(model, corpus, own, config, work, out, pools)
        dictionaries[own.name] = trained | {"far": _far(pools)}
    card = {
        "command": f"featurescope demo-train --english --out demo --seed {seed}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "package": ENGLISH_MODEL.requirement,
        "file": Path(ENGLISH_MODEL.member).name,
        "quantisation": model.facts["quantisation"],
        "corpus": corpus_facts(corpus),
        "writing": {"batches": BATCHES, "rows": ROWS, "positions": POSITIONS}
        | vars(Drawing())
        | {"fresh": _FRESH, "seed": _SEED + seed, "dtype": WRITTEN_IN},
        "dictionaries": dictionaries,
        "checksums": {"model": folder_checksum(folder)}
        | {own.name: dictionary_checksum(out / own.name) for own in ENGLISH.dictionaries},
    }
    with atomic_file(out / "card.json") as draft:
        draft.write_text(json.dumps(card, indent=1) + "\n")
    with atomic_file(out / "README.md") as draft:
        draft.write_text(english_card_text(card))


def _pools(
    model: LanguageModel,
    corpus: TokenizedCorpus,
    own: DemoDictionary,
    config: TrainingConfig,
    work: Path,
) -> PoolSource:
    """Activations of the whole text, which the model reads once for all epochs."""
    windows = Windows(corpus, N_CTX, model.vocabulary.bos)
    pools = TextPools(
        *(model, own.hook_point, windows, config.seed),
        output_hook_point=own.output_hook_point,
    )
    kept = CachedPools(pools, work / "activations")
    return RepeatedPools(kept, pools.per_epoch, config.seed)


def _far(pools: PoolSource) -> dict[str, float]:
    """Tokens whose activation is ten times as long as the median: their share of all tokens, and of
    the variance."""
    x = pools.pool(0)[:, : pools.widths[0]].float()
    norms = x.norm(dim=1)
    far = norms > 10 * norms.median()
    deviations = (x - x.mean(0)).square().sum(1)
    return {
        "tokens": float(far.float().mean()),
        "variance": float(deviations[far].sum() / deviations.sum()),
    }


def _write_text(model: LanguageModel, path: Path, parts: Path, seed: int) -> None:
    """JSON lines of what the model writes; batches that are there already are kept."""
    if path.is_file():
        return
    for batch in tqdm(range(BATCHES), desc="writing text", unit="batch"):
        part = parts / f"{batch:04}.jsonl"
        if not part.is_file():
            lines = [json.dumps(row, ensure_ascii=False) for row in _batch(model, batch, seed)]
            with atomic_file(part) as draft:
                draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    written = [(parts / f"{batch:04}.jsonl").read_text("utf-8") for batch in range(BATCHES)]
    kept = [line for part in written for line in part.splitlines(True) if not _loops(line)]
    with atomic_file(path) as draft:
        draft.write_bytes(lzma.compress("".join(kept).encode(), preset=9 | lzma.PRESET_EXTREME))


def _loops(line: str) -> bool:
    """Whether a text of a small model has come round to saying the same over and over."""
    words = json.loads(line)["text"].split()
    threes = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(threes)) < _FRESH * len(threes)


def _batch(model: LanguageModel, batch: int, seed: int) -> Iterator[dict[str, Any]]:
    begun = openings(ROWS, random.Random(f"{_SEED + seed} {batch}"))  # noqa: S311
    draw = torch.Generator().manual_seed((_SEED + seed) * 100_003 + batch)
    texts = sample_texts(model, begun, POSITIONS, draw, Drawing())
    for number, (opening, text) in enumerate(zip(begun, texts, strict=True)):
        yield {"name": f"{opening.name} ({batch}.{number})", "text": text}
