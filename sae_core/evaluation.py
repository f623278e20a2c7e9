"""How good a dictionary is, on text that no training saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sae_core.dictionary import Dictionary
from sae_core.language_model import LanguageModel
from sae_core.tokenized import Windows

BATCH_WINDOWS = 32


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
        return {
            **self.__dict__,
            "extra_loss_fraction": self.extra_loss_fraction,
            "extra_loss_fraction_mean": self.extra_loss_fraction_mean,
        }


@torch.inference_mode()
def evaluate(
    model: LanguageModel, dictionary: Dictionary, windows: Windows, numbers: NDArray[np.int64]
) -> Evaluation:
    """Evaluate a dictionary on the windows of those numbers.

    BOS and padding keep the model's own activation, are not encoded and are no targets.
    """
    hook = model.hook_point(dictionary.hook_point, dictionary.d_in)
    total = torch.zeros(dictionary.d_in, dtype=torch.float64, device=model.device)
    squares = error = 0.0
    n_tokens = n_targets = active = 0
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=model.device)
    for tokens, text in _batches(model, windows, numbers):
        x = model.capture(tokens, hook)[text]
        acts = dictionary.encode(x)
        total += x.double().sum(dim=0)
        squares += float(x.double().pow(2).sum())
        error += float((x.double() - dictionary.decode(acts).double()).pow(2).sum())
        n_tokens += len(x)
        n_targets += int(text[:, 1:].sum())
        active += int((acts > 0).sum())
        fired |= (acts > 0).any(dim=0)
    mean = total / n_tokens
    variance = squares - n_tokens * float(mean.pow(2).sum())

    edits: dict[str, Callable[[Tensor], Tensor]] = {
        "l_recon": dictionary.forward,
        "l_zero": torch.zeros_like,
        "l_mean": lambda x: mean.to(x.dtype).expand_as(x),
    }
    losses = dict.fromkeys(["l_clean", *edits], 0.0)
    for tokens, text in _batches(model, windows, numbers):
        losses["l_clean"] += _summed_loss(model.logits(tokens), tokens, text)
        for name, edit in edits.items():
            with model.replaced(hook, _on_text(edit, text)):
                losses[name] += _summed_loss(model.logits(tokens), tokens, text)
    return Evaluation(
        n_tokens=n_tokens,
        n_targets=n_targets,
        l0=active / n_tokens,
        fvu=error / variance,
        dead_share=1.0 - float(fired.double().mean()),
        **{name: loss / n_targets for name, loss in losses.items()},
    )


@torch.inference_mode()
def mean_loss(model: LanguageModel, windows: Windows, numbers: NDArray[np.int64]) -> float:
    """The model's own loss on the text tokens of those windows, nats/token."""
    total, n_targets = 0.0, 0
    for tokens, text in _batches(model, windows, numbers):
        total += _summed_loss(model.logits(tokens), tokens, text)
        n_targets += int(text[:, 1:].sum())
    return total / n_targets


def _batches(
    model: LanguageModel, windows: Windows, numbers: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    for begin in range(0, len(numbers), BATCH_WINDOWS):
        tokens, mask = windows.gather(numbers[begin : begin + BATCH_WINDOWS])
        mask &= ~model.vocabulary.is_special[tokens]
        yield torch.from_numpy(tokens).to(model.device), torch.from_numpy(mask).to(model.device)


def _on_text(edit: Callable[[Tensor], Tensor], text: Tensor) -> Callable[[Tensor], Tensor]:
    def apply(x: Tensor) -> Tensor:
        return torch.where(text[..., None], edit(x).to(x.dtype), x)

    return apply


def _summed_loss(logits: Tensor, tokens: Tensor, text: Tensor) -> float:
    """Summed -log p of the text tokens, each predicted from the position before it."""
    predicted = logits[:, :-1].float().transpose(1, 2)
    loss = functional.cross_entropy(predicted, tokens[:, 1:], reduction="none")
    return float(loss.double()[text[:, 1:]].sum())
