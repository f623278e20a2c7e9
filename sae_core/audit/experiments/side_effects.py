"""Figures of side effects: perplexity and KL of each arm on neutral text, with intervals.

With p the unsteered model's predictions and q the arm's, over the tokens of each text,

    perplexity = exp(mean of -log q(tok_t | tok_<t)),    KL = mean of KL(q || p).

Texts are the unit of the intervals (`evaluation/document_sums.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.document_sums import interval

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class NeutralText:
    """One text under every arm.

    Attributes:
        tokens: that were predicted.
        loss: sum of -log q over them, nats, [arms].
        kl: sum of KL(q || p), nats, [arms]; 0 for an arm without edits.
    """

    tokens: int
    loss: tuple[float, ...]
    kl: tuple[float, ...]


@dataclass(frozen=True)
class ArmSideEffect:
    """One arm on all neutral texts.

    Attributes:
        arm: its name.
        perplexity: over all tokens.
        perplexity_low: lower end of its 95 % interval; NaN: too few texts.
        perplexity_high: upper end.
        kl: nats a token.
        kl_low: lower end of its interval.
        kl_high: upper end.
    """

    arm: str
    perplexity: float
    perplexity_low: float
    perplexity_high: float
    kl: float
    kl_low: float
    kl_high: float


def arm_side_effects(texts: Sequence[NeutralText], arms: Sequence[str]) -> list[ArmSideEffect]:
    """Each arm's figures, with intervals over texts."""
    tokens = np.array([text.tokens for text in texts], dtype=np.float64)
    rows = []
    for number, arm in enumerate(arms):
        loss = _ratio(np.array([text.loss[number] for text in texts]), tokens)
        kl = _ratio(np.array([text.kl[number] for text in texts]), tokens)
        perplexity = [value if math.isnan(value) else math.exp(min(700.0, value)) for value in loss]
        rows.append(
            ArmSideEffect(
                arm=arm,
                perplexity=perplexity[0],
                perplexity_low=perplexity[1],
                perplexity_high=perplexity[2],
                kl=kl[0],
                kl_low=kl[1],
                kl_high=kl[2],
            )
        )
    return rows


def _ratio(sums: Numbers, tokens: Numbers) -> tuple[float, float, float]:
    """A mean over tokens with its interval over texts."""
    figure = float(sums.sum() / tokens.sum())
    left_out = (sums.sum() - sums) / (tokens.sum() - tokens) if len(tokens) > 1 else sums[:0]
    return figure, *(interval(figure, left_out, least=0.0) or (math.nan, math.nan))
