"""Features that a task's prompts owe their answers to.

For each prompt every feature's effect on

    gap = mean logit of the right answers - mean logit of the wrong ones

along all paths of the frozen model (`effects`), summed over positions; then the mean over prompts.
Beside it how active a feature is: what it writes, |a_f| ||d_f|| summed over positions, so that a
random feature of like activity can be had for each.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.frozen.parts import Firing, Wiring
from sae_core.circuits.frozen.rows import causes_of
from sae_core.circuits.tasks.ablated import Chosen
from sae_core.circuits.tasks.effects import feature_effects
from sae_core.language_model.model import LanguageModel

_NEAREST = 20  # features among which a random one of like activity is drawn

Numbers = NDArray[np.float64]
Answers = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class TaskEffects:
    """What features do on a task's prompts; only those that fire on any of them, [n] each.

    Attributes:
        place: numbers of their dictionaries, int64.
        feature: numbers in these, int64.
        effect: on the gap, mean over prompts, logits, float64.
        error: standard error of that mean, float64.
        activity: what they write, mean over prompts, float64.
        prompts: share of the prompts on which they fire, float64.
    """

    place: NDArray[np.int64]
    feature: NDArray[np.int64]
    effect: Numbers
    error: Numbers
    activity: Numbers
    prompts: Numbers

    def chosen(self, some: NDArray[np.int64]) -> list[Chosen]:
        """Some of them as places and numbers."""
        return list(zip(self.place[some].tolist(), self.feature[some].tolist(), strict=True))

    def strongest(self) -> NDArray[np.int64]:
        """All, by their mean effect, the most helpful first."""
        return np.argsort(-self.effect, kind="stable")

    def alike(self, some: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
        """For each of some features another of the same dictionary and like activity, all
        different and none of `some`; fewer where there are no more."""
        free = np.ones(len(self.place), dtype=bool)
        free[some] = False
        drawn: list[int] = []
        for own in some.tolist():
            others = np.flatnonzero(free & (self.place == self.place[own]))
            if not len(others):
                continue
            apart = np.abs(np.log(self.activity[others]) - np.log(self.activity[own]))
            near = others[np.argsort(apart, kind="stable")[:_NEAREST]]
            drawn.append(int(draw.choice(near)))
            free[drawn[-1]] = False
        return np.array(drawn, dtype=np.int64)


def effects_steps(
    model: LanguageModel, wiring: Wiring, prompts: Sequence[Tensor], answers: Sequence[Answers]
) -> Generator[int, None, TaskEffects]:
    """Look at prompts one by one; yields how many are done.

    Args:
        model: in float32.
        wiring: of the dictionaries.
        prompts: tokens, int64 [pos] each.
        answers: of each the tokens of the right and of the wrong ones.
    """
    sizes = {part.place: part.dictionary.d_sae for part in wiring.parts}
    places = sorted(sizes)
    begins = dict(zip(places, np.cumsum([0, *(sizes[p] for p in places)]).tolist(), strict=False))
    total = sum(sizes.values())
    sums, squares, activity, fires = np.zeros((4, total))
    for n, (tokens, (right, wrong)) in enumerate(zip(prompts, answers, strict=True)):
        causes = causes_of(model, tokens, wiring)
        hidden = causes.run.leaving[-1].detach()[0]
        by_hidden = torch.zeros_like(hidden)
        by_hidden[-1] = _direction(model, right) - _direction(model, wrong)
        effects = np.zeros(total)
        for firing, own in zip(causes.firings, feature_effects(causes, by_hidden), strict=True):
            columns = firing.features.cpu().numpy() + begins[firing.part.place]
            np.add.at(effects, columns, own.double().cpu().numpy())
            np.add.at(activity, columns, _written(firing))
            fires[np.unique(columns)] += 1
        sums += effects
        squares += effects**2
        yield n + 1
    kept = np.flatnonzero((fires > 0) & (activity > 0))
    place = np.repeat(places, [sizes[p] for p in places])
    feature = np.concatenate([np.arange(sizes[p]) for p in places])
    count = len(prompts)
    mean = sums / count
    variance = np.maximum(squares / count - mean**2, 0.0) * count / max(1, count - 1)
    figures = (mean, np.sqrt(variance / count), activity / count, fires / count)
    return TaskEffects(place[kept], feature[kept], *(figure[kept] for figure in figures))


def _direction(model: LanguageModel, answers: Sequence[int]) -> Tensor:
    return model.logit_directions(torch.tensor(answers, device=model.device)).mean(dim=0)


def _written(firing: Firing) -> Numbers:
    """|a_f| ||d_f|| where features fire, over all places that they write to, [n]."""
    sizes = torch.zeros_like(firing.values)
    for point in firing.part.writes:
        # Each feature's row once, though it fires at many positions.
        features, where = torch.unique(firing.features, return_inverse=True)
        sizes += firing.part.write_rows(features, point).to(sizes.dtype).norm(dim=-1)[where]
    written: Numbers = (firing.values.abs() * sizes).double().cpu().numpy()
    return written
