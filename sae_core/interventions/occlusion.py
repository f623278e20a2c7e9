"""Occlusion: how a feature's activation on one token hangs on each token of the prompt.

Each token of the text is left out in turn, so that those behind it move up by one, or replaced by a
given token; the activation is read on the same token as before. What stands behind that token
cannot change it. Special tokens (BOS, padding) stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import PromptError
from sae_core.interventions.prompt import check_feature, check_token, check_tokens, text_positions
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.pace import Pace


@dataclass(frozen=True)
class OccludedActivations:
    """The activation with single tokens missing.

    Attributes:
        positions: where the missing token of each variant stood, int64 [n].
        activations: the feature's activation without it, model units, float [n]; NaN where no text
            is left to read.
    """

    positions: Tensor
    activations: Tensor


@dataclass(frozen=True)
class FeatureReading:
    """A feature's activation on one token of a prompt.

    Attributes:
        model: the language model that the dictionary reads.
        dictionary: the one that the feature belongs to.
        hook_point: where in the model the dictionary reads.
        feature: index in the dictionary.
        tokens: the prompt, int64 [n], on the CPU.
        position: of the token on which the activation is read.
        activation: the undisturbed activation there, model units.
    """

    model: LanguageModel
    dictionary: Dictionary
    hook_point: HookPoint
    feature: int
    tokens: Tensor
    position: int
    activation: float

    def occlusions(self, replacement: int | None = None) -> Iterator[OccludedActivations]:
        """Activations with each token of the text missing, a few at a time, nearest first.

        Each `next` is a short step.

        Args:
            replacement: what takes a missing token's place; None: it is left out.

        Raises:
            PromptError: there is no such token.
        """
        if replacement is not None:
            check_token(self.model, replacement)
        return self._occlusions(replacement)

    def _occlusions(self, replacement: int | None) -> Iterator[OccludedActivations]:
        # Tokens before the one that is read, the nearest first; then the one itself; those behind
        # it cannot matter and need no forward pass.
        text = text_positions(self.model, self.tokens)
        before = text[text < self.position].flip(0)
        pace = Pace(self.model, max(self.model.d_model, self.hook_point.d_in))
        if self._reads(replacement):
            before = torch.cat([torch.tensor([self.position]), before])
        else:
            yield self._same(torch.tensor([self.position]), torch.nan)
        while len(before):
            n = pace.rows(self.position + 1)
            missing, before = before[:n], before[n:]
            with pace.step(len(missing) * (self.position + 1)):
                activations = self._without(missing, replacement)
            yield OccludedActivations(missing, activations)
        after = text[text > self.position]
        if len(after):
            yield self._same(after, self.activation)

    def _reads(self, replacement: int | None) -> bool:
        """Whether a text token takes the place of the one that is read, so that it can be read."""
        return replacement is not None and replacement not in self.model.vocabulary.special

    def _same(self, positions: Tensor, activation: float) -> OccludedActivations:
        """One activation for all of these positions."""
        dtype = self.dictionary.b_dec.dtype
        return OccludedActivations(
            positions, torch.full((len(positions),), activation, dtype=dtype)
        )

    @torch.no_grad()
    def _without(self, missing: Tensor, replacement: int | None) -> Tensor:
        """Activations with the token at each of n positions missing, on the CPU, [n]."""
        rows = self.tokens[: self.position + 1].repeat(len(missing), 1)
        if replacement is None:
            kept = torch.arange(rows.shape[1]) != missing[:, None]
            rows = rows[kept].view(len(missing), -1)
        else:
            rows[torch.arange(len(missing)), missing] = replacement
        x = self.model.capture(rows, self.hook_point)[:, -1]
        return self.dictionary.encode_feature(x, self.feature).cpu()


@torch.no_grad()
def read_feature(
    model: LanguageModel,
    dictionary: Dictionary,
    feature: int,
    tokens: Tensor,
    position: int | None = None,
) -> FeatureReading:
    """A feature's activation on one token of a prompt, to be occluded.

    Args:
        model: the language model that the dictionary reads.
        dictionary: one that reads the model at one of its hook points.
        feature: index in the dictionary.
        tokens: the prompt, BOS first where the model has one, int64 [n].
        position: where to read; None: where the feature fires most, or where it fires nowhere, at
            the last token of the text.

    Raises:
        PromptError: there is no such token, feature or position, or no text in the prompt; the
            message names the numbers.
        HookPointError: model and dictionary do not belong together.
    """
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    check_tokens(model, tokens.tolist())
    check_feature(dictionary, feature)
    text = text_positions(model, tokens)
    if not len(text):
        raise PromptError("The prompt has no text in which a feature could fire: write something.")
    if position is not None:
        _check_position(tokens, text, position)
    x = model.capture(tokens[None], hook_point)[0, text.to(model.device)]
    acts = dictionary.encode_feature(x, feature).cpu()
    if position is None:
        position = int(text[acts.argmax() if bool(acts.any()) else -1])
    activation = float(acts[int(torch.searchsorted(text, position))])
    return FeatureReading(
        model, dictionary, hook_point, feature, tokens.cpu(), position, activation
    )


def _check_position(tokens: Tensor, text: Tensor, position: int) -> None:
    if not 0 <= position < len(tokens):
        raise PromptError(
            f"There is no position {position}: the prompt has {len(tokens)} tokens, 0 to "
            f"{len(tokens) - 1}."
        )
    if position not in text.tolist():
        raise PromptError(
            f"At position {position} stands a special token, on which no feature counts as firing: "
            "choose a token of the text."
        )
