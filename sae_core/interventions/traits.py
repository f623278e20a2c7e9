"""The traits of steered text: every generated token in numbers, and what else steering changed.

Each text is read once more from its beginning, by the unsteered and by the steered model together:

    perplexity = exp(mean of -log p_unsteered(tok_t | tok_<t)) over the generated tokens.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.generation import STEERED, UNSTEERED, Scope
from sae_core.interventions.prompt import text_positions
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import log_probabilities_of, perplexity

N_FEATURES = 5
N_SIDE_EFFECTS = 20
# So many multiplications make one piece of encoding, so that no piece takes long; and so many
# activations may be held by it.
_ENCODED_AT_ONCE = 1 << 28
_ACTS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class TextTraits:
    """The generated tokens of one text, a row each.

    Attributes:
        row: which text it is, UNSTEERED or STEERED.
        unsteered: probability of each token under the unsteered model, float32 [n].
        steered: probability of each token under the steered model, float32 [n].
        features: the features that are most active on each token, as the model that wrote the text
            reads it, edits included; strongest first, int32 [n, k]; -1 where there is none, as on
            special tokens.
        activations: how active they are, model units, float32 [n, k].
        perplexity: of the generated text under the unsteered model.
    """

    row: int
    unsteered: NDArray[np.float32]
    steered: NDArray[np.float32]
    features: NDArray[np.int32]
    activations: NDArray[np.float32]
    perplexity: float


@dataclass(frozen=True)
class SideEffectFeatures:
    """Features whose mean activation over the generated tokens differs most between the texts.

    Means leave special tokens out.

    Attributes:
        features: indices in the dictionary, the largest difference first, int32 [n].
        unsteered: mean in the unsteered text under the unsteered model, model units, float32 [n].
        steered: mean in the steered text under the steered model, float32 [n].
        reads: for each edit, what its feature reads in the steered text on average.
    """

    features: NDArray[np.int32]
    unsteered: NDArray[np.float32]
    steered: NDArray[np.float32]
    reads: tuple[float, ...]


def traits(
    model: LanguageModel,
    prompt: Tensor,
    texts: tuple[Sequence[int], Sequence[int]],
    edits: Sequence[FeatureEdit],
    scope: Scope,
    dictionary: Dictionary,
) -> Iterator[TextTraits | SideEffectFeatures | None]:
    """Read the two texts that `generate` wrote.

    Args:
        model: the language model that wrote them.
        prompt: token ids, int64 [n].
        texts: generated tokens, at least one each, of the unsteered and of the steered text.
        edits: those of the steered text.
        scope: where the edits apply.
        dictionary: the one whose features are reported.

    Yields:
        None after each piece of work that completes no result; the traits of each text; at the end
        the side effects.
    """
    rows: Sequence[Sequence[FeatureEdit]] = ((), edits)
    if all(edit.is_neutral for edit in edits):
        rows = ((),)  # both models are the same
    means: list[Mapping[Dictionary, Tensor]] = []
    for row, text in enumerate(map(torch.tensor, texts)):
        # The steered text is also encoded with the dictionaries of its edits, for what they read.
        wanted = [dictionary] if row == UNSTEERED else [dictionary, *(e.dictionary for e in edits)]
        points = {d: model.hook_point(d.hook_point, d.d_in) for d in wanted}
        steering = Steering(model, rows, scope.begin(len(prompt)))
        # One pass gives log-probabilities under both models, and x under the text's own.
        reading = yield from _read(steering, prompt, text, row, tuple(set(points.values())))
        special = torch.ones(len(text), dtype=torch.bool)
        special[text_positions(model, text)] = False
        active = {}
        for each, point in points.items():
            active[each] = yield from _active(each, reading.x[point], special)
        means.append({each: features.means for each, features in active.items()})
        p = reading.log_p.exp().cpu().numpy().astype(np.float32)
        yield TextTraits(
            row=row,
            unsteered=p[UNSTEERED],
            steered=p[-1],
            features=active[dictionary].features,
            activations=active[dictionary].activations,
            perplexity=perplexity(reading.log_p[UNSTEERED]),
        )
    reads = tuple(float(means[STEERED][edit.dictionary][edit.feature]) for edit in edits)
    yield _side_effects(means[UNSTEERED][dictionary], means[STEERED][dictionary], reads)


def encoded_at_once(dictionary: Dictionary) -> int:
    """Tokens whose encoding makes one piece of work."""
    size = dictionary.d_in * dictionary.d_sae
    return max(1, min(_ENCODED_AT_ONCE // size, _ACTS_AT_ONCE // dictionary.d_sae))


class _GeneratedReading(NamedTuple):
    """What reading a text left behind.

    Attributes:
        log_p: log-probability of each generated token under each model, nats, [1 or 2, n].
        x: activations on the generated tokens under the text's own model, [n, d_in].
    """

    log_p: Tensor
    x: Mapping[HookPoint, Tensor]


def _read(
    steering: Steering, prompt: Tensor, text: Tensor, row: int, points: Sequence[HookPoint]
) -> Generator[None, None, _GeneratedReading]:
    n_rows = len(steering.rows)
    run = SteeredRun(steering)
    hidden: list[Tensor] = []
    x: dict[HookPoint, list[Tensor]] = {point: [] for point in points}
    for fed in run.feed_in_pieces(torch.cat([prompt, text]).expand(n_rows, -1), points):
        hidden.append(fed.hidden)
        for point, kept in x.items():
            kept.append(fed.x[point][min(row, n_rows - 1)])
        yield None
    # A token is predicted at the position before it.
    before = torch.cat(hidden, dim=1)[:, len(prompt) - 1 : -1]
    log_p = []
    for piece in log_probabilities_of(steering.model, before.flatten(0, 1), text.repeat(n_rows)):
        log_p.append(piece)
        yield None
    generated = {point: torch.cat(kept)[len(prompt) :] for point, kept in x.items()}
    return _GeneratedReading(torch.cat(log_p).view(n_rows, -1), generated)


class _Active(NamedTuple):
    """A dictionary's features on some tokens.

    Attributes:
        means: mean activation over the tokens that are not special, float64 [d_sae], on the CPU.
        features: the most active on each token, as in `TextTraits`.
        activations: how active they are, as in `TextTraits`.
    """

    means: Tensor
    features: NDArray[np.int32]
    activations: NDArray[np.float32]


def _active(dictionary: Dictionary, x: Tensor, special: Tensor) -> Generator[None, None, _Active]:
    """Encode x [n, d_in] where the mask `special` [n] is not set."""
    total = torch.zeros(dictionary.d_sae, dtype=torch.float64)
    features, activations = [], []
    step = encoded_at_once(dictionary)
    for begin in range(0, len(x), step):
        hidden = special[begin : begin + step, None].to(x.device)
        acts = dictionary.encode(x[begin : begin + step]).masked_fill(hidden, 0.0)
        total += acts.sum(dim=0).cpu()
        best = acts.topk(min(N_FEATURES, dictionary.d_sae))
        features.append(best.indices.masked_fill(best.values <= 0, -1).cpu().numpy())
        activations.append(best.values.cpu().numpy())
        yield None
    return _Active(
        means=total / max(1, int((~special).sum())),
        features=np.concatenate(features).astype(np.int32),
        activations=np.concatenate(activations).astype(np.float32),
    )


def _side_effects(
    unsteered: Tensor, steered: Tensor, reads: tuple[float, ...]
) -> SideEffectFeatures:
    """The largest differences of mean activations, [d_sae] of each text."""
    change = (steered - unsteered).abs()
    order = change.argsort(descending=True, stable=True)[:N_SIDE_EFFECTS]
    order = order[change[order] > 0]
    return SideEffectFeatures(
        features=order.numpy().astype(np.int32),
        unsteered=unsteered[order].numpy().astype(np.float32),
        steered=steered[order].numpy().astype(np.float32),
        reads=reads,
    )
