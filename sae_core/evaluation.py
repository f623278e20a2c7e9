"""How good a dictionary is, on text that no training saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sae_core.clean_run import clean_run
from sae_core.dictionary import Dictionary
from sae_core.errors import HarvestError
from sae_core.hook_point import HookPoint
from sae_core.language_model import LanguageModel
from sae_core.screening import screened
from sae_core.tokenized import Windows

BATCH_WINDOWS = 32
HEAD_ROWS = 256


@dataclass(frozen=True)
class Evaluation:
    """Figures of design.md, over the text tokens of the given windows; losses in nats/token.

    Attributes:
        n_tokens: text tokens evaluated.
        n_targets: those of them that the model predicts: all but a window's first, where the
            model has no BOS.
        l0: mean number of active features on a token.
        fvu: sum ||x - x_hat||^2 / sum ||x - mean(x)||^2.
        l_clean: the model as it is.
        l_recon: x replaced by x_hat at every text position.
        l_zero: x replaced by 0.
        l_mean: x replaced by its mean over the evaluated text.
        dead_share: features that fire on none of the tokens.
    """

    n_tokens: int
    n_targets: int
    l0: float
    fvu: float
    l_clean: float
    l_recon: float
    l_zero: float
    l_mean: float
    dead_share: float

    @property
    def extra_loss_fraction(self) -> float:
        """(L_recon - L_clean) / (L_zero - L_clean)."""
        return (self.l_recon - self.l_clean) / (self.l_zero - self.l_clean)

    @property
    def extra_loss_fraction_mean(self) -> float:
        """The same against mean ablation."""
        return (self.l_recon - self.l_clean) / (self.l_mean - self.l_clean)

    def figures(self) -> dict[str, float | int]:
        """All of it, as the store keeps it."""
        figures: dict[str, float | int] = dict(self.__dict__)
        # A hook point that the loss does not hang on has no such fraction.
        if self.l_zero != self.l_clean:
            figures["extra_loss_fraction"] = self.extra_loss_fraction
        if self.l_mean != self.l_clean:
            figures["extra_loss_fraction_mean"] = self.extra_loss_fraction_mean
        return figures


@torch.inference_mode()
def evaluate(
    model: LanguageModel,
    dictionary: Dictionary,
    windows: Windows,
    numbers: NDArray[np.int64],
    on_windows: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate a dictionary on the windows of those numbers.

    BOS and padding keep the model's own activation, are not encoded and are no targets.

    Args:
        model: the dictionary's model.
        dictionary: at one of its hook points.
        windows: the text.
        numbers: which windows, int64 [n].
        on_windows: told how many windows are done.

    Raises:
        HarvestError: there is too little text for figures.
    """
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    encoder = screened(dictionary)
    mean = _mean_activation(model, hook_point, windows, numbers).to(model.dtype)
    sums = dict.fromkeys(("error", "variance", "l_clean", "l_recon", "l_zero", "l_mean"), 0.0)
    n_tokens = n_targets = active = done = 0
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=model.device)
    for tokens, text in _batches(model, windows, numbers):
        run = clean_run(model, tokens, hook_point)
        x = run.x[text]
        firings = encoder.encode_sparse(x)
        x_hat = dictionary.decode_sparse(firings, len(x)).to(x.dtype)
        sums["error"] += float((x.double() - x_hat.double()).pow(2).sum())
        sums["variance"] += float((x.double() - mean.double()).pow(2).sum())
        n_tokens += len(x)
        n_targets += int(text[:, 1:].sum())
        active += len(firings.values)
        fired[firings.features] = True
        replacements = {"l_recon": x_hat, "l_zero": torch.zeros_like(x), "l_mean": mean}
        sums["l_clean"] += _summed_loss(model, run.hidden, tokens, text)
        for name, replacement in replacements.items():
            replaced = run.x.clone()
            replaced[text] = replacement
            sums[name] += _summed_loss(model, run.rerun(replaced), tokens, text)
        done += len(tokens)
        if on_windows is not None:
            on_windows(done)
    if n_targets == 0 or sums["variance"] == 0.0:
        raise HarvestError(f"{n_tokens} tokens are too few to evaluate on: give more text.")
    return Evaluation(
        n_tokens=n_tokens,
        n_targets=n_targets,
        l0=active / n_tokens,
        fvu=sums["error"] / sums["variance"],
        dead_share=1.0 - float(fired.double().mean()),
        **{name: loss / n_targets for name, loss in sums.items() if name.startswith("l_")},
    )


@torch.inference_mode()
def mean_loss(model: LanguageModel, windows: Windows, numbers: NDArray[np.int64]) -> float:
    """The model's own loss on the text tokens of those windows, nats/token."""
    total, n_targets = 0.0, 0
    for tokens, text in _batches(model, windows, numbers):
        total += _summed_loss(model, model.final_hidden(tokens), tokens, text)
        n_targets += int(text[:, 1:].sum())
    return total / n_targets


def _mean_activation(
    model: LanguageModel, hook_point: HookPoint, windows: Windows, numbers: NDArray[np.int64]
) -> Tensor:
    """Mean of x over the text tokens, float64 [d_in]."""
    total = torch.zeros(hook_point.d_in, dtype=torch.float64, device=model.device)
    n_tokens = 0
    for tokens, text in _batches(model, windows, numbers):
        x = model.capture(tokens, hook_point)[text]
        total += x.double().sum(dim=0)
        n_tokens += len(x)
    return total / max(1, n_tokens)


def _batches(
    model: LanguageModel, windows: Windows, numbers: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens and the mask of text among them, [batch, pos] each."""
    for begin in range(0, len(numbers), BATCH_WINDOWS):
        tokens, mask = windows.gather(numbers[begin : begin + BATCH_WINDOWS])
        mask &= ~model.vocabulary.is_special[tokens]
        yield torch.from_numpy(tokens).to(model.device), torch.from_numpy(mask).to(model.device)


def _summed_loss(model: LanguageModel, hidden: Tensor, tokens: Tensor, text: Tensor) -> float:
    """Summed -log p of the text tokens, each predicted from the position before it.

    Args:
        hidden: final hidden states [batch, pos, d_model].
        tokens: [batch, pos].
        text: [batch, pos]; which tokens are targets.
    """
    targets = text[:, 1:]
    states, expected = hidden[:, :-1][targets], tokens[:, 1:][targets]
    total = 0.0
    # In pieces: the logits of a whole batch would not fit a processor's cache, nor, with a large
    # vocabulary, its memory.
    pieces = zip(torch.split(states, HEAD_ROWS), torch.split(expected, HEAD_ROWS), strict=True)
    for part, wanted in pieces:
        logits = model.head(part)
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        total += float(losses.double().sum())
    return total
