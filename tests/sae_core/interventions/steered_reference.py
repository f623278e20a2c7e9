"""Steering by hooks written by hand, in float64, over the whole text at every step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import LanguageModel
from tests.sae_core.language_model.double_models import exchanged, in_double


def busiest(model: LanguageModel, dictionary: Dictionary, tokens: Sequence[int]) -> int:
    """The feature that fires on most of these tokens, so that clamp and scale do something."""
    x = model.capture(torch.tensor([list(tokens)]), model.hook_point(dictionary.hook_point))[0]
    firings = (dictionary.encode(x.to(dictionary.W_dec.dtype)) > 0).sum(0)
    assert firings.max() > 2
    return int(firings.argmax())


@dataclass(frozen=True)
class HandEdit:
    """One feature, steered: what `Edit` says, with the formula of its mode written out."""

    dictionary: Dictionary
    feature: int
    mode: str
    strength: float
    maximum: float

    def __call__(self, x: Tensor) -> Tensor:
        """What is added to x [..., d_in], float64."""
        dictionary = copy.deepcopy(self.dictionary).double()
        d = dictionary.decoder_rows[self.feature]
        a = dictionary.encode(x)[..., self.feature, None]
        s, m, length = self.strength, self.maximum, torch.linalg.vector_norm(d)
        u = d / length
        along = (x @ u)[..., None] if x.shape[-1] == len(u) else torch.zeros(())
        return {
            "add": s * m * d,
            "clamp": (s * m - a) * d,
            "scale": (s - 1) * a * d,
            "cap": (s * m * length - along).clamp(max=0) * u,
            "remove": -s * along * u,
        }[self.mode]


@torch.no_grad()
def steered_pass(
    model: LanguageModel, tokens: Sequence[int] | Tensor, edits: Sequence[HandEdit], begin: int = 0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [pos, d_vocab], and x after the edits [pos, d_in] at the edits' hook points."""
    ids = torch.as_tensor(tokens)
    edited = torch.tensor([int(t) not in model.vocabulary.special for t in ids])
    edited[:begin] = False
    seen: dict[str, Tensor] = {}

    def exchange(name: str) -> Callable[[Tensor], Tensor]:
        here = [edit for edit in edits if edit.dictionary.hook_point == name]

        def steer(x: Tensor) -> Tensor:
            new = torch.where(edited[:, None], x + sum(edit(x) for edit in here), x)
            seen[name] = new[0]
            return new

        return steer

    double = in_double(model.path)
    with ExitStack() as stack:
        for name in dict.fromkeys(edit.dictionary.hook_point for edit in edits):
            stack.enter_context(exchanged(double, name, exchange(name)))
        logits = double(input_ids=ids[None], use_cache=False).logits[0]
    return logits, seen


def chosen(logits: Tensor, uniform: float) -> int:
    """The token that a uniform number picks from softmax(logits), in order of ids."""
    total = 0.0
    for token, p in enumerate(logits.softmax(-1).tolist()):
        total += p
        if total > uniform:
            return token
    raise AssertionError("probabilities add up to one")


def written(
    model: LanguageModel,
    prompt: Sequence[int],
    edits: Sequence[HandEdit],
    uniforms: Sequence[float],
    begin: int = 0,
) -> tuple[list[int], list[float]]:
    """Tokens drawn one by one, and their probabilities; ends with token 0."""
    tokens, probabilities = list(prompt), []
    for uniform in uniforms:
        logits, _ = steered_pass(model, tokens, edits, begin)
        tokens.append(chosen(logits[-1], uniform))
        probabilities.append(float(logits[-1].softmax(-1)[tokens[-1]]))
        if tokens[-1] == 0:
            break
    return tokens[len(prompt) :], probabilities
