"""The deeper demo's model, trained on until it follows the rules, and a dictionary of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from benchmarks.planted.rules import RULES
from benchmarks.planted.texts import Kind, Piece, Site, piece
from sae_core.dictionaries.checkpoint import save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import TokenizedCorpus, Windows
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.demo_model import save_model
from sae_core.training.trainer import train

LENGTH = 112  # tokens of a row, BOS included
BATCH = 24
RATE = 1e-3
A_FEW = 0.2  # of all other tokens in a step
AT_THE_SITE = 4.0  # weight of the token that a rule decides; of all others 1


def training_pieces(sites: Sequence[Site], n: int, rng: np.random.Generator) -> list[Piece]:
    """Half of them triggered, a quarter with lines of other words, a quarter as they lie."""
    by_site = {rule.site: [site for site in sites if site.site == rule.site] for rule in RULES}
    pieces = []
    for number in range(n):
        rule = RULES[number % len(RULES)]
        site = by_site[rule.site][int(rng.integers(len(by_site[rule.site])))]
        other = Kind.PARTLY if len(rule.needs) > 1 else Kind.NEUTRAL
        kinds = (Kind.TRIGGERED, Kind.TRIGGERED, other, (Kind.NEUTRAL, Kind.UNTOUCHED)[number & 1])
        pieces.append(piece(rule, site, kinds[number // len(RULES) % 4], rng))
    return pieces


def tune(
    start: Path, pieces: Sequence[Piece], plain: NDArray[np.int64], out: Path, steps: int, seed: int
) -> None:
    """Train the model of a folder on pieces and on plain text in turn; kept in another folder.

    Args:
        start: the model's folder.
        pieces: texts with what shall follow.
        plain: windows of ordinary text, ids [n, LENGTH].
        out: the folder of the result.
        steps: of AdamW, `BATCH` pieces and a third as many windows in each.
        seed: of the order.
    """
    tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
    model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(start, dtype=torch.float32)
    rows, weights = _rows(tokenizer, pieces)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    for step in tqdm(range(steps), desc="planting", unit="step"):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * (1 - step / steps)
        chosen = torch.from_numpy(rng.integers(0, len(rows), BATCH))
        ordinary = torch.from_numpy(plain[rng.integers(0, len(plain), BATCH // 3)])
        tokens = torch.cat([rows[chosen], ordinary])
        weight = torch.cat([weights[chosen], torch.ones(len(ordinary), LENGTH)])[:, 1:]
        # The rules' tokens, and a few of all others, which keep the model as it was.
        few = (weight == AT_THE_SITE) | ((weight > 0) & (torch.rand(weight.shape) < A_FEW))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.transformer(tokens).last_hidden_state[:, :-1][few]
            logits = model.lm_head(hidden)
        losses = functional.cross_entropy(logits.float(), tokens[:, 1:][few], reduction="none")
        loss = (losses * weight[few]).sum() / weight[few].sum()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    save_model(model, tokenizer, out)


def _rows(tokenizer: Tokenizer, pieces: Sequence[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [n, LENGTH], and the weight of each as a target; nothing follows but 0 of weight 0."""
    rows, weights = torch.zeros(len(pieces), LENGTH).long(), torch.zeros(len(pieces), LENGTH)
    for number, one in enumerate(pieces):
        before = tokenizer.encode(one.text, add_special_tokens=False).ids[: LENGTH - 4]
        after = tokenizer.encode(one.follows, add_special_tokens=False).ids
        ids = torch.tensor([0, *before, *after])[:LENGTH]
        rows[number, : len(ids)], weights[number, : len(ids)] = ids, 1.0
        weights[number, 1 + len(before)] = AT_THE_SITE
    return rows, weights


def retrained_dictionary(
    model: LanguageModel,
    corpus: TokenizedCorpus,
    hook_point: str,
    config: TrainingConfig,
    out: Path,
) -> None:
    """A dictionary of the tuned model, on a text that has the triggers now and then."""
    windows = Windows(corpus, LENGTH, model.vocabulary.bos)
    stream = PoolStream(TextPools(model, hook_point, windows, config.seed), config.batch)
    with tqdm(total=config.steps, desc="training a dictionary", unit="step") as bar:

        def show(point: TrainingPoint) -> None:
            bar.update(point.step - bar.n)

        trained = train(stream, config, hook_point, out.with_suffix(".ckpt"), show)
    trained.dictionary.trained_on = TrainedOn(windows.bos is not None, windows.n_ctx)
    save_dictionary(trained.dictionary, out, torch.float16)


def with_pieces(
    corpus: TokenizedCorpus, tokenizer: Tokenizer, pieces: Sequence[Piece]
) -> TokenizedCorpus:
    """The corpus, and behind it each piece with what follows as a document of its own."""
    texts = [one.text + one.follows for one in pieces]
    ids = [encoded.ids for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]
    ends = corpus.n_tokens + np.cumsum([len(own) for own in ids])
    return TokenizedCorpus(
        name=f"{corpus.name} and planted texts",
        source=corpus.source,
        fingerprint=corpus.fingerprint,
        tokens=np.concatenate(
            [corpus.tokens, *(np.array(own, corpus.tokens.dtype) for own in ids)]
        ),
        offsets=np.concatenate([corpus.offsets, ends]),
        names=(*corpus.names, *(f"planted {number}" for number in range(len(ids)))),
        held_out=np.concatenate([corpus.held_out, np.zeros(len(ids), dtype=bool)]),
    )
