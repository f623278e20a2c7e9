"""Whether steering the first feature of a step makes the second fire on the next token.

In the real model, on contexts that end where the source does not fire:

1. *unsteered*: the likeliest next token is appended, and whether the target fires on it is asked;
2. *steered*: at the last token of the context, and there alone, x + s m_f d_f; the likeliest next
   token of that run is appended unsteered, and the same is asked of it;
3. *random*: the same with the direction of another feature in place of d_f, just as
   long. Every context has one of some random features, in turns.

Contexts are of as many documents, so that each is a trial of its own; intervals are Wilson's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.errors import SteeringError
from sae_core.interventions.prompt import check_feature
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.decoding import head
from sae_core.language_model.model import LanguageModel

CONTEXTS_AT_ONCE = 16


class Arm(StrEnum):
    """What is done to the contexts."""

    UNSTEERED = "unsteered"
    STEERED = "steered"
    RANDOM = "random"


@dataclass(frozen=True)
class StepTrial:
    """A step that is tried.

    Attributes:
        source: the feature that is steered.
        target: the feature that is watched.
        maximum: of the source, model units.
        strengths: in multiples of it.
        contexts: token ids, equally many each, BOS first where the model has one.
        written: tokens that the source writes.
        others: random features whose directions take the source's place.
    """

    source: int
    target: int
    maximum: float
    strengths: tuple[float, ...]
    contexts: tuple[tuple[int, ...], ...]
    written: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True)
class ArmCount:
    """What came of one arm.

    Attributes:
        arm: which.
        strength: of the steering; 0: none.
        contexts: how many.
        fired: on how many the target fired on the next token.
        wrote: in how many the next token is one that the source writes.
    """

    arm: Arm
    strength: float
    contexts: int
    fired: int
    wrote: int


def try_step(
    model: LanguageModel, dictionary: Dictionary, trial: StepTrial
) -> Iterator[ArmCount | None]:
    """Try a step, an arm after the other; None: a piece of work is done.

    Raises:
        SteeringError: the source has no direction, or the contexts are not equally long.
    """
    for feature in (trial.source, trial.target, *trial.others):
        check_feature(dictionary, feature)
    if not trial.contexts or len({len(context) for context in trial.contexts}) != 1:
        raise SteeringError("A step is tried on contexts that are equally long.")
    if any(token >= len(model.vocabulary.pieces) for c in trial.contexts for token in c):
        raise SteeringError("A context has a token that the model does not know.")
    if not float(dictionary.decoder_row(trial.source).norm()) > 0:
        raise SteeringError(f"Feature {trial.source} has no direction: nothing can be steered.")
    yield from _arm(model, dictionary, trial, Arm.UNSTEERED, 0.0)
    for strength in trial.strengths:
        yield from _arm(model, dictionary, trial, Arm.STEERED, strength)
        if trial.others:
            yield from _arm(model, dictionary, trial, Arm.RANDOM, strength)


def _arm(
    model: LanguageModel, dictionary: Dictionary, trial: StepTrial, arm: Arm, strength: float
) -> Iterator[ArmCount | None]:
    fired = wrote = 0
    written = torch.tensor(trial.written, dtype=torch.int64)
    for begin in range(0, len(trial.contexts), CONTEXTS_AT_ONCE):
        some = trial.contexts[begin : begin + CONTEXTS_AT_ONCE]
        edits = [_edits(dictionary, trial, arm, strength, begin + n) for n in range(len(some))]
        tokens, acts = _next(model, dictionary, trial.target, some, edits)
        fired += int((acts > 0).sum())
        wrote += int(torch.isin(tokens, written).sum())
        yield None
    yield ArmCount(arm, strength, len(trial.contexts), fired, wrote)


def _edits(
    dictionary: Dictionary, trial: StepTrial, arm: Arm, strength: float, n: int
) -> list[FeatureEdit]:
    """What is done to context n."""
    if arm is Arm.UNSTEERED:
        return []
    if arm is Arm.STEERED:
        return [FeatureEdit(dictionary, trial.source, Mode.ADD, strength, trial.maximum)]
    other = trial.others[n % len(trial.others)]
    own = float(dictionary.decoder_row(other).norm())
    length = trial.maximum * float(dictionary.decoder_row(trial.source).norm())
    return [FeatureEdit(dictionary, other, Mode.ADD, strength, length / own if own > 0 else 0.0)]


@torch.inference_mode()
def _next(
    model: LanguageModel,
    dictionary: Dictionary,
    target: int,
    contexts: Sequence[Sequence[int]],
    edits: Sequence[Sequence[FeatureEdit]],
) -> tuple[Tensor, Tensor]:
    """The likeliest next token of each context, and what the target reads on it; [n] each."""
    point = places_of(model, dictionary).read
    texts = torch.tensor(contexts, dtype=torch.int64)
    steering = Steering(model, edits, texts.shape[1] - 1)
    hidden = SteeredRun(steering, cached=False).feed(texts).hidden[:, -1]
    tokens = head(model)(hidden).argmax(dim=-1).cpu()
    longer = torch.cat([texts, tokens[:, None]], dim=1)
    # Unsteered, so that all that the steering does to the target goes through the token.
    plain = SteeredRun(Steering(model, [()] * len(contexts)), cached=False)
    x = plain.feed(longer, [point]).x[point][:, -1]
    return tokens, dictionary.encode_feature(x, target).cpu()
