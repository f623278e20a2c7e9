"""The circuit of a task: responsible features found on some prompts, taken out on others.

1. Ability: on every prompt, the gap between the right and the wrong answers, and whether it is
   above 0.
2. On every other prompt: which features help most (`responsible`).
3. On the rest: the model without the k strongest, for several k, beside as many random features of
   like activity, drawn several times; and without each of the strongest alone, to hold what was
   claimed of it against what it does.

All ablations are of the real model, to zero, at every position (`ablated`). Intervals are over
prompts, by bootstrap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.build import widened
from sae_core.circuits.frozen.parts import Wiring, wire
from sae_core.circuits.tasks.ablated import Chosen, hidden_without
from sae_core.circuits.tasks.responsible import Answers, FeatureEffects, effects_steps
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.interventions.prompt import check_tokens
from sae_core.language_model.model import LanguageModel

_AT_ONCE = 16  # prompts in one pass
FEWEST = 4  # prompts of a task

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CircuitSettings:
    """What decides a task's circuit.

    Attributes:
        sizes: how many of the strongest features are taken out together, rising.
        draws: sets of random features beside each.
        seed: of these.
    """

    sizes: tuple[int, ...] = (5, 10, 20, 50)
    draws: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise CircuitError("Sizes of a circuit are whole numbers from 1, rising.")
        if self.draws < 1:
            raise CircuitError("Random features are drawn at least once.")


@dataclass(frozen=True)
class Ability:
    """How well the model does prompts, [prompts] each.

    Attributes:
        gap: mean logit of the right answers less that of the wrong ones.
        probability: of all right answers together.
    """

    gap: Numbers
    probability: Numbers


@dataclass(frozen=True)
class TaskProgress:
    """How far it is: passes done, and how many there will be."""

    done: int
    total: int


@dataclass(frozen=True)
class TaskCircuit:
    """What was found and tried.

    Attributes:
        found_on: which prompts features were found on, int64.
        tried_on: the others.
        whole: the model's ability on all prompts.
        effects: of all features that fire on the first half.
        strongest: columns of `effects`, as many as the largest size, strongest first.
        alone: what the gap of the tried prompts loses without each of `strongest` alone, mean.
        sizes: of the sets.
        without: ability on the tried prompts without the strongest, one a size.
        random: without random ones, by size and draw.
    """

    found_on: NDArray[np.int64]
    tried_on: NDArray[np.int64]
    whole: Ability
    effects: FeatureEffects
    strongest: NDArray[np.int64]
    alone: Numbers
    sizes: tuple[int, ...]
    without: tuple[Ability, ...]
    random: tuple[tuple[Ability, ...], ...]


def circuit_steps(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    prompts: Sequence[Tensor],
    answers: Sequence[Answers],
    settings: CircuitSettings,
) -> Generator[TaskProgress, None, TaskCircuit]:
    """Find and try a task's circuit in short steps; the generator's return value is the result.

    Args:
        model: whose attention can be frozen; half precision is run in float32.
        dictionaries: as for a graph.
        prompts: tokens, int64 [pos] each.
        answers: of each the tokens of the right and of the wrong ones.
        settings: what decides it.

    Raises:
        CircuitError: too few prompts, or the model cannot be frozen.
        PromptError: a prompt does not fit the model.
        HookPointError: a dictionary does not belong to the model.
    """
    if len(prompts) < FEWEST:
        raise CircuitError(
            f"A task needs at least {FEWEST} prompts: on half of them features are found, on the "
            "others they are tried."
        )
    for tokens in prompts:
        check_tokens(model, tokens.tolist())
    wide = widened(model)
    trial = _Trial(wide, wire(wide, dictionaries), prompts, answers)
    found_on, tried_on = np.arange(0, len(prompts), 2), np.arange(1, len(prompts), 2)
    n_alone = settings.sizes[-1]
    passes = len(settings.sizes) * (1 + settings.draws) + n_alone + 1
    total = len(found_on) + passes
    whole = trial.ability(np.arange(len(prompts)), [])
    yield TaskProgress(1, total)
    steps = effects_steps(
        wide, trial.wiring, [prompts[n] for n in found_on], [answers[n] for n in found_on]
    )
    while True:
        try:
            done = 1 + next(steps)
        except StopIteration as end:
            effects: FeatureEffects = end.value
            break
        yield TaskProgress(done, total)
    strongest = effects.strongest()[:n_alone]
    rng = np.random.default_rng(settings.seed)
    without, random = [], []
    for size in settings.sizes:
        some = strongest[:size]
        without.append(trial.ability(tried_on, effects.chosen(some)))
        drawn = []
        for _ in range(settings.draws):
            drawn.append(trial.ability(tried_on, effects.chosen(effects.alike(some, rng))))
            done += 1
            yield TaskProgress(done, total)
        random.append(tuple(drawn))
        done += 1
    before = whole.gap[tried_on].mean()
    alone = np.zeros(len(strongest))
    for n in range(len(strongest)):
        alone[n] = before - trial.ability(tried_on, effects.chosen(strongest[n : n + 1])).gap.mean()
        yield TaskProgress(min(total, done + n + 1), total)
    return TaskCircuit(
        *(found_on, tried_on, whole, effects, strongest, alone, settings.sizes),
        *(tuple(without), tuple(random)),
    )


def interval(values: Numbers, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over prompts."""
    times = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), draws
    )
    low, high = np.quantile(times @ values / len(values), (0.025, 0.975))
    return float(low), float(high)


class _Trial:
    """A task's prompts, and the model without some features on them."""

    def __init__(
        self,
        model: LanguageModel,
        wiring: Wiring,
        prompts: Sequence[Tensor],
        answers: Sequence[Answers],
    ) -> None:
        self.model, self.wiring, self.prompts, self.answers = model, wiring, prompts, answers

    @torch.no_grad()
    def ability(self, some: NDArray[np.int64], without: Sequence[Chosen]) -> Ability:
        """On some prompts, without some features."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, n in enumerate(some.tolist()):
            by_length[len(self.prompts[n])].append(place)
        gap, probability = np.zeros((2, len(some)))
        for places in by_length.values():
            for begin in range(0, len(places), _AT_ONCE):
                own = places[begin : begin + _AT_ONCE]
                tokens = torch.stack([self.prompts[n] for n in some[own].tolist()])
                tokens = tokens.to(self.model.device)
                hidden = hidden_without(self.model, self.wiring, tokens, without)
                logits = self.model.head(hidden).double().cpu()
                for place, row in zip(own, logits, strict=True):
                    right, wrong = (list(ids) for ids in self.answers[int(some[place])])
                    gap[place] = row[right].mean() - row[wrong].mean()
                    probability[place] = row.softmax(dim=-1)[right].sum()
        return Ability(gap, probability)
