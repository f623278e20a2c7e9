"""What an arm does to neutral text: every text read under every arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sae_core.audit.experiments.side_effects import NeutralText
from sae_core.audit.experiments.texts import SteeredArm
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import Steering
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import log_probabilities, rows_at_once

_TEXTS_AT_ONCE = 16


@torch.inference_mode()
def neutral_texts(
    model: LanguageModel, texts: Sequence[Tensor], arms: Sequence[SteeredArm]
) -> Iterator[NeutralText]:
    """Read texts under every arm; edits apply everywhere.

    Args:
        model: the language model.
        texts: token ids of each, at least two, int64 [n].
        arms: the first is the unsteered model.
    """
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        batch = texts[begin : begin + _TEXTS_AT_ONCE]
        longest = max(map(len, batch))
        # Padded at their ends, where nothing is read.
        tokens = torch.zeros(len(batch), longest, dtype=torch.int64)
        for row, text in zip(tokens, batch, strict=True):
            row[: len(text)] = text
        hidden = [_hidden(model, arm, tokens) for arm in arms]
        for row, text in enumerate(batch):
            yield _measured(model, text, [h[row, : len(text) - 1] for h in hidden], arms)


def _hidden(model: LanguageModel, arm: SteeredArm, tokens: Tensor) -> Tensor:
    return SteeredRun(Steering(model, [arm.edits] * len(tokens)), cached=False).feed(tokens).hidden


def _measured(
    model: LanguageModel, text: Tensor, hidden: Sequence[Tensor], arms: Sequence[SteeredArm]
) -> NeutralText:
    loss, kl = np.zeros((2, len(arms)))
    for begin in range(0, len(text) - 1, rows_at_once(model)):
        there = slice(begin, begin + rows_at_once(model))
        following = text[1:][there]
        log_p = None
        for number, arm in enumerate(arms):
            log_q = torch.cat(list(log_probabilities(model, hidden[number][there])))
            log_p = log_q if log_p is None else log_p
            own = log_q.gather(-1, following.to(log_q.device)[:, None])
            loss[number] -= float(own.double().sum())
            if arm.edits:
                kl[number] += float((log_q.exp() * (log_q - log_p)).double().sum())
    return NeutralText(len(text) - 1, tuple(loss.tolist()), tuple(kl.tolist()))
