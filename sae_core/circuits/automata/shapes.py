"""Small automata put together from steps.

Every feature keeps its strongest steps out (`OUT`). A step is *recurrent* where one can come back
to it along such steps: it is a loop of one feature, or both its ends lie in one strongly connected
part. Automata are then grown one after the other: from the strongest step that is left, recurrent
ones before chains, by whichever step at its edge is strongest, until there are `MOST` features.
Each feature is in at most one automaton; all steps among its features belong to it. What is equally
strong is ordered by the features' numbers, so that the same steps give the same automata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from sae_core.circuits.automata.mining import Step

MOST = 6
"""Features of one automaton."""
OUT = 2
"""Steps out of a feature that automata grow along."""


@dataclass(frozen=True)
class Automaton:
    """Features that write each other's tokens.

    Attributes:
        features: in the order in which they are drawn: as the steps go, as far as they can.
        steps: all that were mined among them, the strongest first.
        recurrent: whether some step can be come back to.
    """

    features: tuple[int, ...]
    steps: tuple[Step, ...]
    recurrent: bool

    @property
    def name(self) -> str:
        """Part of its address: the numbers of its features, ascending."""
        return "-".join(map(str, sorted(self.features)))

    @property
    def support(self) -> int:
        """Of all steps together."""
        return sum(step.support for step in self.steps)


def automata(steps: Sequence[Step]) -> tuple[Automaton, ...]:
    """All automata, recurrent ones first, then by the strength of the step they grew from."""
    ranked = sorted(steps, key=lambda step: (-step.strength, step.source, step.target))
    grown = _strongest_out(ranked)
    back = _recurrent(grown)
    seeds = sorted(grown, key=lambda step: (step.source, step.target) not in back)
    used: set[int] = set()
    made = []
    for seed in seeds:
        if {seed.source, seed.target} & used:
            continue
        features = _grow(seed, grown, used)
        used |= features
        own = tuple(s for s in ranked if {s.source, s.target} <= features)
        recurrent = any((s.source, s.target) in back for s in own)
        made.append(Automaton(_ordered(seed, own), own, recurrent))
    return tuple(made)


def _strongest_out(ranked: Sequence[Step]) -> list[Step]:
    taken: dict[int, int] = {}
    kept = []
    for step in ranked:
        taken[step.source] = taken.get(step.source, 0) + 1
        if taken[step.source] <= OUT:
            kept.append(step)
    return kept


def _recurrent(steps: Sequence[Step]) -> set[tuple[int, int]]:
    """The steps that one can come back to."""
    known = sorted({f for step in steps for f in (step.source, step.target)})
    place = {feature: n for n, feature in enumerate(known)}
    ends = [(place[step.source], place[step.target]) for step in steps]
    if not ends:
        return set()
    links = sparse.coo_matrix(
        (np.ones(len(ends)), np.array(ends).T), shape=(len(known), len(known))
    )
    _, part = csgraph.connected_components(links.tocsr(), connection="strong")
    return {(known[a], known[b]) for a, b in ends if part[a] == part[b]}


def _grow(seed: Step, steps: Sequence[Step], used: set[int]) -> set[int]:
    features = {seed.source, seed.target}
    while len(features) < MOST:
        more = next(
            (
                end
                for step in steps
                for end in {step.source, step.target} - features
                if len({step.source, step.target} & features) == 1 and end not in used
            ),
            None,
        )
        if more is None:
            return features
        features.add(more)
    return features


def _ordered(seed: Step, steps: Sequence[Step]) -> tuple[int, ...]:
    """Features as the steps go: from one that none leads to, along the strongest steps."""
    features = dict.fromkeys(f for step in (seed, *steps) for f in (step.source, step.target))
    reached = {step.target for step in steps if step.source != step.target}
    waiting = sorted(features, key=lambda f: (f in reached, f != seed.source))
    order: list[int] = []
    while waiting:
        at = waiting.pop(0)
        while True:
            order.append(at)
            nexts = [s.target for s in steps if s.source == at and s.target in waiting]
            if not nexts:
                break
            at = nexts[0]
            waiting.remove(at)
    return tuple(order)
