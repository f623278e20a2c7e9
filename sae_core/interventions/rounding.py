"""How far rounding alone moves the losses of a model that runs in a short dtype.

In bfloat16 a number has eight binary digits. Two passes that differ in nothing but where roundings
fall give losses some hundredths of a nat apart, so that the effect of an ablation means nothing
below that. In float32 the same is some millionths of a nat and below anything shown.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor

from sae_core.language_model.clean_run import CleanRun, clean_run
from sae_core.language_model.hook_point import HookPoint, Side
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import touching
from sae_core.language_model.predictions import log_probabilities_of

SHORT_DTYPES = (torch.bfloat16, torch.float16)
_SEED = 0


@torch.no_grad()
def loss_noise(
    model: LanguageModel, hook_point: HookPoint, tokens: Tensor, is_text: Tensor
) -> float:
    """How far the loss of a token moves when roundings from a hook point on fall otherwise.

    The activation, what each later block gives and the final hidden state are drawn anew within
    their last binary digit, as another order of additions would leave them.

    Args:
        model: in whatever dtype.
        hook_point: what lies before it is the same in both passes, as in an ablation.
        tokens: windows of text, int64 [batch, pos].
        is_text: which of them are text, bool [batch, pos]; padding and BOS are not.

    Returns:
        The root of the mean squared change, nats; 0 where no token is predicted. The draw is the
        same every time.
    """
    run = clean_run(model, tokens.to(model.device), hook_point)
    draw = torch.Generator().manual_seed(_SEED)
    redrawn = partial(redraw, draw=draw)
    with ExitStack() as stack:
        stack.enter_context(model.lock)
        for layer in range(hook_point.layer, model.n_layers):
            stack.enter_context(touching(model.block(layer), Side.OUTPUT, redrawn))
        moved = redrawn(run.rerun(redrawn(run.x)))
    predicted = is_text[:, 1:].to(model.device)
    if not predicted.any():
        return 0.0
    change = _losses(run, moved, predicted) - _losses(run, run.hidden, predicted)
    return float(change.square().mean().sqrt())


def redraw(x: Tensor, draw: torch.Generator) -> Tensor:
    """Numbers within half a binary digit of x, in its dtype; the largest of these stays finite."""
    limits = torch.finfo(x.dtype)
    share = torch.rand(x.shape, generator=draw, dtype=torch.float32).to(x.device) - 0.5
    return (x.float() * (1 + limits.eps * share)).clamp(limits.min, limits.max).to(x.dtype)


def _losses(run: CleanRun, hidden: Tensor, predicted: Tensor) -> Tensor:
    """Losses of the predicted tokens, bool [batch, pos - 1], float64 [n]."""
    expected = run.tokens[:, 1:][predicted]
    log_p = log_probabilities_of(run.model, hidden[:, :-1][predicted], expected)
    return -torch.cat(list(log_p)).double()
