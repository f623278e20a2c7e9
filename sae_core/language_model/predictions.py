"""What final hidden states predict, a few positions at a time.

Logits are made in pieces: in the processor's cache that is twice as fast, and it bounds memory
where the vocabulary is large. Much smaller pieces would read W_U too often.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sae_core.language_model.model import LanguageModel

_LOGITS_AT_ONCE = 1 << 19
_LEAST_ROWS = 64


def rows_at_once(model: LanguageModel) -> int:
    """How many positions' logits are best made together."""
    return max(_LEAST_ROWS, _LOGITS_AT_ONCE // model.d_vocab)


def wide(logits: Tensor) -> Tensor:
    """Logits in a dtype that differences of log-probabilities can be taken in."""
    return logits if logits.dtype is torch.float64 else logits.float()


def log_probabilities(model: LanguageModel, hidden: Tensor) -> Iterator[Tensor]:
    """Log-probabilities of the next token after each of n positions, piece by piece, in order.

    Args:
        model: whose hidden states they are.
        hidden: what the unembedding reads, [n, d_model].

    Yields:
        [rows, d_vocab], nats; float64 where the model is, else float32.
    """
    for piece in torch.split(hidden, rows_at_once(model)):
        yield wide(model.head(piece)).log_softmax(dim=-1)


def target_log_probability(model: LanguageModel, hidden: Tensor, target: int) -> Tensor:
    """Log-probability of one token after each of n positions [n, d_model]; nats, [n]."""
    return torch.cat([piece[:, target] for piece in log_probabilities(model, hidden)])


def log_probabilities_of(model: LanguageModel, hidden: Tensor, tokens: Tensor) -> Iterator[Tensor]:
    """Log-probability of each position's own token after it, piece by piece, in order.

    Args:
        model: whose hidden states they are.
        hidden: what the unembedding reads, [n, d_model].
        tokens: the token in question after each, int64 [n].

    Yields:
        [rows], nats.
    """
    pieces = torch.split(tokens.to(hidden.device), rows_at_once(model))
    for log_p, piece in zip(log_probabilities(model, hidden), pieces, strict=True):
        yield log_p.gather(-1, piece[:, None])[:, 0]


def perplexity(log_p: Tensor) -> float:
    """exp(mean of -log p) over a text's tokens [n]; at most e^700, short of what a float holds."""
    return math.exp(min(700.0, -float(log_p.cpu().double().mean())))
