"""The figures of an evaluation as rows: their names, units, meanings, values and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.rendering.numbers import number, percent, quotient
from app.store.types.evaluation import StoredEvaluation


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        key: as JSON calls it.
        title: as people call it.
        value: as written.
        interval: its 95 % interval, as written; empty: there is none.
        meaning: how to read it.
    """

    key: str
    title: str
    value: str
    interval: str
    meaning: str


_Write = Callable[[float], str]


def _digits(n: int) -> _Write:
    return lambda value: number(value, n)


_FIGURES: tuple[tuple[str, str, _Write, str], ...] = (
    ("l0", "L0", _digits(2), "active features on a token, on average; fewer are easier to read"),
    (
        "fvu",
        "FVU",
        _digits(4),
        "squared error of the reconstruction over the variance of the activation: 0 is perfect, 1 "
        "is no better than always answering the mean",
    ),
    ("l_clean", "L_clean", _digits(4), "loss of the model as it is, nats per token"),
    (
        "l_recon",
        "L_recon",
        _digits(4),
        "loss with every activation replaced by its reconstruction, nats per token",
    ),
    ("l_zero", "L_zero", _digits(4), "loss with the activation replaced by 0, nats per token"),
    (
        "l_mean",
        "L_mean",
        _digits(4),
        "loss with the activation replaced by its mean over the evaluated text, nats per token",
    ),
    (
        "extra_loss",
        "extra loss",
        _digits(4),
        "L_recon − L_clean: what reading the model through this dictionary costs, nats per token",
    ),
    (
        "extra_loss_fraction",
        "extra loss, of zero",
        quotient,
        "(L_recon − L_clean) / (L_zero − L_clean): its share of what removing the activation costs",
    ),
    (
        "extra_loss_fraction_mean",
        "extra loss, of mean",
        quotient,
        "(L_recon − L_clean) / (L_mean − L_clean): the same against mean ablation",
    ),
    (
        "loss_recovered",
        "loss recovered, of zero",
        quotient,
        "one minus the extra loss of zero",
    ),
    (
        "loss_recovered_mean",
        "loss recovered, of mean",
        quotient,
        "one minus the extra loss of mean",
    ),
    (
        "kl",
        "KL",
        _digits(4),
        "KL(clean || reconstructed) of the predictions, nats per token: how far they move, also "
        "where the loss stays the same",
    ),
    (
        "dead_share",
        "dead share",
        percent,
        "features that fire on none of these tokens; on more text fewer are dead",
    ),
)


def rows(evaluation: StoredEvaluation) -> list[Row]:
    """The figures that an evaluation has, in order."""
    shown = []
    for key, title, write, meaning in _FIGURES:
        value = getattr(evaluation, key)
        if value is None:
            continue
        interval = evaluation.interval(key)
        ends = " to ".join(write(end) for end in interval) if interval else ""
        shown.append(Row(key, title, write(value), ends, meaning))
    return shown
