"""Drawing the next token: temperature, top-k, top-p, and random numbers from the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sae_core.files.hashing import mix
from sae_core.language_model.predictions import wide

# A nucleus is nearly always among this many; sorting a whole vocabulary takes longer than a small
# model's step.
_NUCLEUS = 256
_COLDEST = 1e-30  # what divides float32 numbers without a remainder of chance


@dataclass(frozen=True)
class TokenSampling:
    """How a token is drawn from p = softmax(logits).

    Attributes:
        temperature: what logits are divided by; 0 takes the likeliest token.
        top_p: of the likeliest tokens, only as many as it takes to reach this share (Holtzman et
            al. 2020); 1 keeps all.
        top_k: only this many of the likeliest, chosen before `top_p` looks; 0 keeps all.
        seed: what the random number of each step is made from.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class Draws(NamedTuple):
    """One token for each row.

    Attributes:
        tokens: the ids drawn.
        probabilities: theirs before temperature, top-k and top-p; NaN where the logits are no
            numbers.
    """

    tokens: list[int]
    probabilities: list[float]


class Sampler:
    """Draws a token for every row of a batch, with the same random number for all rows.

    A step has one uniform number, made from seed and step; it picks a token from the cumulative
    distribution in order of ids. So rows whose distributions are equal draw equal tokens, and
    similar ones mostly do. Rows with seeds of their own each draw what a batch with that seed
    would.

    Attributes:
        uniform: the random number of each step, in [0, 1), float64 [n_steps]; where rows have
            seeds, [n_steps, rows].
    """

    def __init__(
        self, sampling: TokenSampling, n_steps: int, seeds: Sequence[int] | None = None
    ) -> None:
        self._sampling = sampling
        columns = [
            (mix(seed, np.arange(n_steps)) >> np.uint64(11)) * 2.0**-53
            for seed in ([sampling.seed] if seeds is None else seeds)
        ]
        self.uniform = columns[0] if seeds is None else np.stack(columns, axis=1)

    def draw(self, logits: Tensor, step: int) -> Draws:
        """Draw from logits [rows, d_vocab]."""
        logits = wide(logits.cpu())
        p = logits.softmax(dim=-1)
        uniform = torch.from_numpy(np.atleast_1d(self.uniform[step]))[:, None]
        tokens = self._choose(logits, p, uniform)
        return Draws(tokens[:, 0].tolist(), p.gather(-1, tokens)[:, 0].tolist())

    def _choose(self, logits: Tensor, p: Tensor, uniform: Tensor) -> Tensor:
        """The tokens drawn by uniform [rows or 1, 1], int64 [rows, 1]; p is softmax(logits), both
        [rows, d_vocab]."""
        temperature = self._sampling.temperature
        if temperature == 0:
            return logits.argmax(dim=-1, keepdim=True)
        if temperature != 1:
            # The largest is taken off first, or a tiny temperature would make it infinite.
            cooled = (logits - logits.amax(dim=-1, keepdim=True)) / max(temperature, _COLDEST)
            p = cooled.softmax(dim=-1)
        cumulative = self._cut(p).cumsum(dim=-1, dtype=torch.float64)
        tokens = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        return tokens.clamp_(max=p.shape[-1] - 1)  # passed only where the logits are no numbers

    def _cut(self, p: Tensor) -> Tensor:
        """Probabilities [rows, d_vocab], 0 where top-k or top-p leaves a token out."""
        top_k, top_p, d_vocab = self._sampling.top_k, self._sampling.top_p, p.shape[-1]
        if top_k:
            best = p.topk(min(top_k, d_vocab))
        elif top_p < 1:
            best = p.topk(min(_NUCLEUS, d_vocab))
            if bool((best.values.sum(dim=-1) < top_p).any()):
                best = p.topk(d_vocab)
        else:
            return p
        kept = best.values
        if top_p < 1:
            # A token stays while those likelier than it have not reached the share.
            before = kept.cumsum(dim=-1) - kept
            share = kept.sum(dim=-1, keepdim=True) if top_k else 1.0
            kept = kept.masked_fill(before >= top_p * share, 0.0)
        return torch.zeros_like(p).scatter_(-1, best.indices, kept)
