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
from sae_core.circuits.tasks.responsible import Answers, TaskEffects, effects_steps
from sae_core.circuits.tasks.result import Ability, ResponsibleFeature, TaskCircuit, TriedSet
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.interventions.prompt import check_tokens
from sae_core.language_model.model import LanguageModel

_AT_ONCE = 16  # prompts in one pass
FEWEST = 4  # prompts of a task


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
class TaskProgress:
    """How far it is: passes done, and how many there will be."""

    done: int
    total: int


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
    tried_on = np.arange(1, len(prompts), 2)
    passes = len(settings.sizes) * settings.draws + settings.sizes[-1]
    total = 1 + len(prompts[::2]) + passes
    whole = trial.ability(np.arange(len(prompts)), [])
    yield TaskProgress(1, total)
    steps = effects_steps(wide, trial.wiring, prompts[::2], answers[::2])
    while True:
        try:
            done = 1 + next(steps)
        except StopIteration as end:
            effects: TaskEffects = end.value
            break
        yield TaskProgress(done, total)
    strongest = effects.strongest()[: settings.sizes[-1]]
    rng, sets = np.random.default_rng(settings.seed), []
    for size in settings.sizes:
        some = strongest[:size]
        without, drawn = trial.ability(tried_on, effects.chosen(some)), []
        for _ in range(settings.draws):
            drawn.append(trial.ability(tried_on, effects.chosen(effects.alike(some, rng))))
            done += 1
            yield TaskProgress(done, total)
        sets.append(TriedSet(size, without, tuple(drawn)))
    before, alone = np.mean(whole.gap[1::2]), np.zeros(len(effects.place))
    for column in strongest.tolist():
        without = trial.ability(tried_on, effects.chosen(np.array([column])))
        alone[column] = before - np.mean(without.gap)
        done += 1
        yield TaskProgress(done, total)
    figures = (effects.effect, effects.error, effects.activity, effects.prompts, alone)
    features = tuple(
        ResponsibleFeature(
            int(effects.place[column]),
            int(effects.feature[column]),
            *(float(figure[column]) for figure in figures),
        )
        for column in strongest.tolist()
    )
    # Documented: what `yield from` gives.
    return TaskCircuit(whole, len(effects.place), features, tuple(sets))


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
        return Ability(tuple(gap.tolist()), tuple(probability.tolist()))
