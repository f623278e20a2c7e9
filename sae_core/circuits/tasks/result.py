"""What a task's circuit is, as plain numbers: to be kept, and to be read without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import CircuitError

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ability:
    """How well the model does some prompts, one number a prompt.

    Attributes:
        gap: mean logit of the right answers less that of the wrong ones.
        probability: of all right answers together.
    """

    gap: tuple[float, ...]
    probability: tuple[float, ...]

    @property
    def right(self) -> float:
        """Share of the prompts on which right answers are above wrong ones."""
        return float(np.mean(np.array(self.gap) > 0))


@dataclass(frozen=True)
class ResponsibleFeature:
    """A feature that a task owes its answers to.

    Attributes:
        place: number of its dictionary.
        feature: its number there.
        effect: on the gap along all paths of the frozen model, mean over prompts, logits.
        error: standard error of that mean.
        activity: what it writes on a prompt, mean.
        prompts: share of the prompts on which it fires.
        alone: what the gap loses in the real model without it alone, on prompts not seen.
    """

    place: int
    feature: int
    effect: float
    error: float
    activity: float
    prompts: float
    alone: float


@dataclass(frozen=True)
class TriedSet:
    """The strongest features taken out together, on prompts not seen.

    Attributes:
        size: how many.
        without: the model without them.
        random: without as many random ones of like activity, drawn several times.
    """

    size: int
    without: Ability
    random: tuple[Ability, ...]

    @property
    def random_gap(self) -> Numbers:
        """The gap without random features, mean over draws, [prompts]."""
        mean: Numbers = np.mean([drawn.gap for drawn in self.random], axis=0)
        return mean

    @property
    def random_right(self) -> float:
        """Share of the prompts that are right without random features, mean over draws."""
        return float(np.mean([drawn.right for drawn in self.random]))


@dataclass(frozen=True)
class TaskCircuit:
    """What was found and tried.

    Attributes:
        whole: the model's ability on all prompts; features are found on the first, third, fifth
            and so on, and tried on the others.
        firing: features that fire on the prompts they were found on.
        features: the most helpful, the strongest first.
        sets: of these, rising.
    """

    whole: Ability
    firing: int
    features: tuple[ResponsibleFeature, ...]
    sets: tuple[TriedSet, ...]

    @property
    def tried(self) -> Ability:
        """The whole model's ability on the prompts that sets are tried on."""
        return Ability(self.whole.gap[1::2], self.whole.probability[1::2])

    def as_json(self) -> dict[str, Any]:
        """Lists, texts and numbers."""
        return asdict(self)


def circuit_of(value: Mapping[str, Any]) -> TaskCircuit:
    """What `as_json` made, checked.

    Raises:
        CircuitError: it is something else.
    """
    try:
        circuit = TaskCircuit(
            whole=_ability(value["whole"]),
            firing=int(value["firing"]),
            features=tuple(
                ResponsibleFeature(
                    int(row["place"]),
                    int(row["feature"]),
                    *(_finite(row[name]) for name in _FIGURES),
                )
                for row in value["features"]
            ),
            sets=tuple(
                TriedSet(
                    int(row["size"]),
                    _ability(row["without"]),
                    tuple(_ability(drawn) for drawn in row["random"]),
                )
                for row in value["sets"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CircuitError("This is not the circuit of a task, or it is damaged.") from error
    lengths = {len(circuit.tried.gap)}
    lengths |= {len(some.gap) for own in circuit.sets for some in (own.without, *own.random)}
    if len(lengths) != 1 or not all(own.random for own in circuit.sets) or lengths == {0}:
        raise CircuitError("This is not the circuit of a task, or it is damaged.")
    return circuit


def interval(values: Sequence[float] | Numbers, draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean over prompts; the same for the same values."""
    n = len(values)
    times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), draws)
    low, high = np.quantile(times @ np.asarray(values) / n, (0.025, 0.975))
    return float(low), float(high)


_FIGURES = ("effect", "error", "activity", "prompts", "alone")


def _ability(value: Mapping[str, Any]) -> Ability:
    gap, probability = (tuple(map(_finite, value[name])) for name in ("gap", "probability"))
    if len(gap) != len(probability):
        raise ValueError("lengths differ")
    return Ability(gap, probability)


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError("not finite")
    return number
