"""What a sweep shows: its figures as rows, who wins at each L0, and by how much seeds differ."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from app.store.types.runs import RunRecord, dead_share
from sae_core.training.config import TrainingPoint

_REACHED = 0.01  # of an L0: nearer than this it counts as reached
_COMPARED = ("architecture", "d_sae", "l0", "seed")


@dataclass(frozen=True)
class SweepRow:
    """A run of a sweep in figures.

    Attributes:
        name: what the run is called in the store.
        architecture: name of the architecture, such as `topk`.
        d_sae: number of features.
        target: the L0 that was asked for; None: a penalty was asked for instead.
        seed: seed of the initial weights.
        tokens: number of tokens that it was trained on.
        l0: active features per token, measured in the evaluation like the losses below.
        fvu: fraction of variance unexplained.
        extra_loss: (L_recon - L_clean) / (L_zero - L_clean); NaN where the loss does not hang on
            the activation.
        added_nats: L_recon - L_clean, nats/token.
        dead_share: features without a firing for the training's `dead_after` tokens at its end;
            NaN: it saw fewer, or has no curve.
        silent_share: features without a firing in the evaluation. Its text is shorter: of rare
            features many are silent there that are not dead.
        seconds: how long the training took; NaN: not measured.
        peak_bytes: most memory while training; NaN: not measured.
        others: the other settings, such as tokens and learning rate, as JSON.
    """

    name: str
    architecture: str
    d_sae: int
    target: float | None
    seed: int
    tokens: int
    l0: float
    fvu: float
    extra_loss: float
    added_nats: float
    dead_share: float
    silent_share: float
    seconds: float
    peak_bytes: float
    others: str = ""


Goal = Callable[[SweepRow], float]
"""Reads from a row the figure that is to be low; NaN: the row has no such figure."""


@dataclass(frozen=True)
class Standing:
    """An architecture at one L0 and size, over its seeds.

    Attributes:
        architecture: such as `topk`.
        value: the goal at the very L0 that was asked for: `measured`, moved there along the line
            through the architecture's own means at other L0s, straight in log L0 and log goal.
        measured: mean of the goal over the seeds, at `l0`.
        spread: standard deviation over the seeds, n - 1 below; None: one seed alone.
        seeds: how many.
        l0: mean of the measured L0.
        fair: whether `value` is at the L0 that was asked for: it was reached within 1 %, or the
            architecture has other L0s to move along.
    """

    architecture: str
    value: float
    measured: float
    spread: float | None
    seeds: int
    l0: float
    fair: bool


@dataclass(frozen=True)
class Contest:
    """All architectures at one L0 and size.

    Attributes:
        target: the L0 that was asked for.
        d_sae: number of features.
        standings: the best first.
        noise: standard deviation between seeds, pooled over the configurations with this L0 that
            have several, of whatever architecture and size; where there are none, over those with
            another; None: there are none at all.
        noise_from: the L0s of those configurations.
    """

    target: float
    d_sae: int
    standings: tuple[Standing, ...]
    noise: float | None
    noise_from: tuple[float, ...] = ()

    @property
    def borrowed(self) -> bool:
        """Whether the noise is that of other L0s."""
        return self.noise is not None and self.target not in self.noise_from

    @property
    def clear(self) -> bool | None:
        """Whether the first two differ by more than seeds do: more than twice the standard
        deviation of a difference of their means; None: noise is unknown, or they are not compared
        at the same L0."""
        first, second = self.standings[:2]
        if self.noise is None or not (first.fair and second.fair):
            return None
        of_difference = self.noise * math.sqrt(1 / first.seeds + 1 / second.seeds)
        return second.value - first.value > 2 * of_difference


def rows(runs: Iterable[tuple[RunRecord, TrainingPoint | None]]) -> list[SweepRow]:
    """The runs that have figures, each with the last point of its curve, as rows."""
    return [
        _row(record, last, record.evaluation)
        for record, last in runs
        if record.evaluation is not None
    ]


def _row(record: RunRecord, last: TrainingPoint | None, e: Mapping[str, Any]) -> SweepRow:
    config, cost = record.config, record.cost or {}
    return SweepRow(
        name=record.name,
        architecture=config["architecture"],
        d_sae=config["d_sae"],
        target=config["l0"],
        seed=config["seed"],
        tokens=config["tokens"],
        l0=e["l0"],
        fvu=e["fvu"],
        extra_loss=e.get("extra_loss_fraction", math.nan),
        added_nats=e["l_recon"] - e["l_clean"],
        dead_share=dead_share(config, last),
        silent_share=e["dead_share"],
        seconds=cost.get("seconds", math.nan),
        peak_bytes=cost.get("peak_bytes", math.nan),
        others=json.dumps(
            {key: value for key, value in config.items() if key not in _COMPARED}, sort_keys=True
        ),
    )


def front(table: Sequence[SweepRow], goal: Goal) -> list[SweepRow]:
    """The Pareto front, by L0: no other row has both an L0 and a goal as low."""
    best: list[SweepRow] = []
    for row in sorted(table, key=lambda row: (row.l0, goal(row), row.name)):
        value = goal(row)
        if math.isfinite(value) and (not best or value < goal(best[-1])):
            best.append(row)
    return best


def contests(table: Sequence[SweepRow], goal: Goal) -> list[Contest]:
    """Who wins at each L0 and size at which there are several architectures.

    Runs are compared with those that share all their other settings. The size with most
    architectures comes first, then by size and L0.
    """
    alike: dict[str, list[SweepRow]] = {}
    for row in table:
        alike.setdefault(row.others, []).append(row)
    return [contest for held in alike.values() for contest in _contests(held, goal)]


def _contests(table: Sequence[SweepRow], goal: Goal) -> list[Contest]:
    """`contests` of runs that differ in architecture, size, L0 and seed alone."""
    # The seeds of each architecture, at each size and L0.
    groups: dict[tuple[int, float], dict[str, list[SweepRow]]] = {}
    for row in table:
        if row.target is not None and math.isfinite(goal(row)):
            group = groups.setdefault((row.d_sae, row.target), {})
            group.setdefault(row.architecture, []).append(row)
    lines = _lines(groups, goal)
    # Noise between seeds: at each L0 where that was measured, else that of the other L0s.
    everywhere = seed_noise(table, goal)
    there = {
        target: seed_noise([row for row in table if row.target == target], goal)
        for target in {target for _, target in groups}
    }
    measured = tuple(sorted(target for target, noise in there.items() if noise is not None))
    # The size at which most architectures were trained comes first.
    most = Counter[int]()
    for (d_sae, _), group in groups.items():
        most[d_sae] = max(most[d_sae], len(group))
    in_order = sorted(groups.items(), key=lambda item: (-most[item[0][0]], item[0]))
    return [
        Contest(
            target=target,
            d_sae=d_sae,
            standings=tuple(
                sorted(
                    (
                        _standing(
                            held,
                            goal,
                            target,
                            lines.get((name, d_sae)) or lines.get((name, None), []),
                        )
                        for name, held in group.items()
                    ),
                    key=lambda standing: (standing.value, standing.architecture),
                )
            ),
            noise=everywhere if there[target] is None else there[target],
            noise_from=measured if there[target] is None else (target,),
        )
        for (d_sae, target), group in in_order
        if len(group) > 1
    ]


def _lines(
    groups: Mapping[tuple[int, float], Mapping[str, Sequence[SweepRow]]], goal: Goal
) -> dict[tuple[str, int | None], list[tuple[float, float]]]:
    """Points (log L0, log goal), means over seeds, by L0, of each architecture and size that has
    several; under the size None those of the architecture's size that has most."""
    lines: dict[tuple[str, int | None], list[tuple[float, float]]] = {}
    for (d_sae, _), group in groups.items():
        for name, held in group.items():
            value, l0 = _mean(map(goal, held)), _mean(row.l0 for row in held)
            if value > 0 and l0 > 0:
                lines.setdefault((name, d_sae), []).append((math.log(l0), math.log(value)))
    lines = {key: sorted(points) for key, points in lines.items() if len(points) > 1}
    for (name, _), points in sorted(lines.items(), key=lambda item: len(item[1])):
        lines[name, None] = points
    return lines


def _standing(
    held: Sequence[SweepRow], goal: Goal, target: float, line: Sequence[tuple[float, float]]
) -> Standing:
    values = [goal(row) for row in held]
    mean, l0 = _mean(values), _mean(row.l0 for row in held)
    squares = math.fsum((value - mean) ** 2 for value in values)
    reached = abs(l0 / target - 1) <= _REACHED
    slope = _slope(line, math.log(l0), math.log(target)) if line and mean > 0 else None
    return Standing(
        architecture=held[0].architecture,
        value=mean if slope is None else mean * (target / l0) ** slope,
        measured=mean,
        spread=math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None,
        seeds=len(values),
        l0=l0,
        fair=reached or slope is not None,
    )


def _slope(line: Sequence[tuple[float, float]], start: float, end: float) -> float | None:
    """d log goal / d log L0 of a line's piece between two L0s, or of the piece next to them."""
    middle = (start + end) / 2
    pieces = [
        (abs((x0 + x1) / 2 - middle), (y1 - y0) / (x1 - x0))
        for (x0, y0), (x1, y1) in pairwise(line)
        if x1 > x0 and (x0 <= middle <= x1 or middle < line[0][0] or middle > line[-1][0])
    ]
    return min(pieces)[1] if pieces else None


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)


def seed_noise(table: Sequence[SweepRow], goal: Goal) -> float | None:
    """Standard deviation between seeds: sqrt(sum of squares / sum of (n - 1)) over all
    configurations with several seeds; None where there is none."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in table:
        value = goal(row)
        if math.isfinite(value):
            key = (row.architecture, row.d_sae, row.target, row.others)
            groups.setdefault(key, []).append(value)
    squares, freedom = 0.0, 0
    for values in groups.values():
        mean = _mean(values)
        squares += math.fsum((value - mean) ** 2 for value in values)
        freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None
