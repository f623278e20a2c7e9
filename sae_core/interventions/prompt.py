"""A prompt: text as the model is given it, and what one forward pass over it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.errors import PromptError, PromptLengthError
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import keep
from sae_core.language_model.predictions import log_probabilities

N_PREDICTED = 5
_LONG_TEXT = 1 << 18


@dataclass(frozen=True)
class PromptReading:
    """A prompt as the model sees it.

    Attributes:
        tokens: int64 [n], on the CPU.
        loss: -log p of each token, nats, float [n]; NaN for the first, which nothing predicts.
        predicted: the likeliest tokens after each position, int64 [n, 5], likeliest first.
        probabilities: how likely they are, float [n, 5].
        activations: x at each hook point that was asked for, [n, d_in], model units.
    """

    tokens: Tensor
    loss: Tensor
    predicted: Tensor
    probabilities: Tensor
    activations: Mapping[HookPoint, Tensor]


def prompt_tokens(model: LanguageModel, prompt: str | Sequence[int], cut: bool = False) -> Tensor:
    """A prompt as token ids, int64 [n], on the CPU.

    BOS comes first where the model has one, exactly once, whether or not the prompt begins with it
    or the tokenizer would add it. Further on, names of special tokens are read as those tokens, as
    in a corpus. Half a surrogate pair, which no text can hold, becomes U+FFFD.

    Args:
        model: the language model that will read the prompt.
        prompt: text, or token ids.
        cut: whether what is beyond the model's context is left out, not refused.

    Raises:
        PromptError: it is longer than the model's context, empty for a model without BOS, or has a
            token that is not in the vocabulary.
    """
    bos = model.vocabulary.bos
    ids = encoded(model, prompt) if isinstance(prompt, str) else list(prompt)
    if bos is not None:
        n_given = next((n for n, token in enumerate(ids) if token != bos), len(ids))
        ids = [bos, *ids[n_given:]]
    if not ids:
        raise PromptLengthError(
            "The prompt is empty, and the model has no token that opens a text: write something."
        )
    ids = ids[: model.n_ctx] if cut else ids
    check_tokens(model, ids)
    return torch.tensor(ids, dtype=torch.int64)


def check_tokens(model: LanguageModel, tokens: Sequence[int]) -> None:
    """Refuse what the model cannot be given.

    Raises:
        PromptError: naming the two numbers that disagree.
    """
    if len(tokens) > model.n_ctx:
        opening = "" if model.vocabulary.bos is None else ", the opening one included"
        raise PromptLengthError(
            f"The prompt has {len(tokens)} tokens{opening}, but the model takes at most "
            f"{model.n_ctx}: shorten it."
        )
    for token in tokens:
        check_token(model, token)


def check_token(model: LanguageModel, token: int) -> None:
    """Refuse a token that is not in the vocabulary.

    Raises:
        PromptError: naming the token and how many there are.
    """
    if not 0 <= token < model.d_vocab:
        raise PromptError(
            f"There is no token {token}: the model's vocabulary has {model.d_vocab} tokens, 0 to "
            f"{model.d_vocab - 1}."
        )


def check_feature(dictionary: Dictionary, feature: int) -> None:
    """Refuse a feature that is not there.

    Raises:
        PromptError: naming the feature and how many there are.
    """
    if not 0 <= feature < dictionary.d_sae:
        raise PromptError(
            f"There is no feature {feature}: the dictionary has {dictionary.d_sae} features, 0 to "
            f"{dictionary.d_sae - 1}."
        )


def text_positions(model: LanguageModel, tokens: Tensor) -> Tensor:
    """Where tokens [n] are text, not BOS or another special token: int64 [m], ascending, CPU."""
    special = torch.from_numpy(model.vocabulary.is_special)
    return (~special[tokens.cpu()]).nonzero()[:, 0]


@torch.no_grad()
def read_prompt(
    model: LanguageModel, tokens: Tensor, hook_points: Sequence[HookPoint] = ()
) -> PromptReading:
    """One forward pass over tokens [n]: losses, predictions, and x at any number of hook points.

    Raises:
        PromptError: the tokens are too many for the model, or not in its vocabulary.
    """
    # Hooks keep x while the model runs; the lock holds off other runs, whose x they would see.
    seen: dict[HookPoint, list[Tensor]] = {point: [] for point in hook_points}
    with ExitStack() as stack:
        stack.enter_context(model.lock)
        for point, kept in seen.items():
            stack.enter_context(model.touching(point.layer, point.kind, keep(kept)))
        hidden = model.final_hidden(tokens[None])[0]
    # Predictions piece by piece: the logits of a whole prompt may not fit into memory.
    following = tokens[1:].to(hidden.device)
    loss, predicted, probabilities = [hidden.new_full((1,), torch.nan)], [], []
    done = 0
    for log_p in log_probabilities(model, hidden):
        top = log_p.topk(N_PREDICTED, dim=-1)
        predicted.append(top.indices)
        probabilities.append(top.values.exp())
        expected = following[done : done + len(log_p)]
        loss.append(-log_p[: len(expected)].gather(-1, expected[:, None])[:, 0])
        done += len(log_p)
    return PromptReading(
        tokens=tokens.cpu(),
        loss=torch.cat(loss).cpu(),
        predicted=torch.cat(predicted).cpu(),
        probabilities=torch.cat(probabilities).cpu(),
        activations={point: kept[0][0] for point, kept in seen.items()},
    )


@torch.no_grad()
def prompt_firings(
    model: LanguageModel, dictionary: Dictionary, tokens: Tensor, x: Tensor
) -> Firings:
    """All firings on a prompt, ordered by position, then feature; special tokens left out.

    Args:
        model: the language model that the dictionary reads.
        dictionary: the one to encode with, at the hook point that x was read at.
        tokens: the prompt's ids, int64 [n].
        x: the activations there, [n, d_in], model units.

    Returns:
        Firings on the CPU; their rows are positions in the prompt.
    """
    positions = text_positions(model, tokens)
    firings = dictionary.encode_sparse(x[positions.to(x.device)])
    return Firings(
        rows=positions[firings.rows.cpu()],
        features=firings.features.cpu(),
        values=firings.values.cpu(),
    )


def encoded(model: LanguageModel, text: str) -> list[int]:
    """A text's tokens, without those that the tokenizer puts around it.

    Raises:
        PromptError: it has millions of characters, and cannot fit the model's context.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    bos = model.vocabulary.bos
    if bos is not None and (name := model.tokenizer.id_to_token(bos)):
        # Taken off before it is read: what follows a special token may be spelt in other tokens
        # than what begins a text.
        while text.startswith(name):
            text = text.removeprefix(name)
    if len(text) > _LONG_TEXT:
        # Reading millions of characters takes seconds: not where they cannot fit anyway.
        longest = max(len(piece) for piece in model.vocabulary.pieces)
        if len(text) > longest * model.n_ctx:
            raise PromptError(
                f"The prompt has {len(text)} characters, but the model takes at most {model.n_ctx} "
                f"tokens, each of at most {longest}: shorten it."
            )
    ids: list[int] = model.tokenizer.encode(text, add_special_tokens=False).ids
    return ids
