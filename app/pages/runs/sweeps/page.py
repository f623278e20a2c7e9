"""A sweep worked out for its page: the plots of its figures, its table in any order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.errors import InvalidRequest
from app.pages.runs.page import evaluated_on
from app.pages.runs.sweeps.figures import Contest, SweepRow, contests, front, rows
from app.rendering.addresses import sweep_address
from app.rendering.charts.plots import STYLES, Axis, Line, Mark, plot, swatch
from app.rendering.markup import trusted
from app.rendering.numbers import count
from app.store.types.runs import RunView

FRONT_STYLE = STYLES - 1
_USUAL = ("topk", "batchtopk", "matryoshka", "jumprelu", "gated", "standard")
_SMALLEST, _STEP = 2.2, 0.9  # radii of marks: the smallest dictionaries', and from size to size
_MOST_AIMS = 8
_WIDE = 2.5  # figures that differ by more than this factor are drawn on a log axis


@dataclass(frozen=True)
class Quantity:
    """What is drawn against L0.

    Attributes:
        title: what it is called, above its picture and in the list of contests.
        axis: title of the picture's vertical axis, with the unit.
        of: reads it from a row of the table, in the unit of the axis.
        goal: whether lower is better, so that there are a front and winners.
        digits: how many digits are written after the point.
    """

    title: str
    axis: str
    of: Callable[[SweepRow], float]
    goal: bool = True
    digits: int = 2


QUANTITIES = (
    Quantity("Extra loss", "% of zero-ablation's", lambda row: 100 * row.extra_loss),
    Quantity("FVU", "fraction of variance unexplained", lambda row: row.fvu, digits=4),
    Quantity("Dead share", "% of the features", lambda row: 100 * row.dead_share, False),
)


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        key: what addresses call it.
        title: its heading.
        of: reads from a row the value that rows are ordered by.
        hint: what it means; shown when the pointer rests on the heading.
        numeric: whether it holds numbers, which stand to the right.
    """

    key: str
    title: str
    of: Callable[[SweepRow], Any]
    hint: str
    numeric: bool = True


COLUMNS = (
    Column("run", "run", lambda row: row.name, "Name of the run", False),
    Column("architecture", "architecture", lambda row: row.architecture, "Architecture", False),
    Column("features", "features", lambda row: row.d_sae, "Size of the dictionary"),
    Column("aim", "aim", lambda row: row.target or math.inf, "L0 that was asked for"),
    Column("seed", "seed", lambda row: row.seed, "Seed of the weights"),
    Column("l0", "L0", lambda row: row.l0, "Active features per token, in the evaluation"),
    Column("fvu", "FVU", lambda row: row.fvu, "Fraction of variance unexplained"),
    Column("extra", "extra loss", lambda row: row.extra_loss, "Loss added, of zero-ablation's"),
    Column("nats", "nats added", lambda row: row.added_nats, "L_recon − L_clean, nats per token"),
    Column(
        "dead",
        "dead",
        lambda row: row.dead_share,
        "Features without a firing in the last tokens of training, as many as the text below says",
    ),
    Column(
        "silent",
        "silent",
        lambda row: row.silent_share,
        "Features that fire on none of the evaluated tokens, fewer than those that dead looks back "
        "on: of rare features many are silent there",
    ),
    Column(
        "seconds",
        "time",
        lambda row: row.seconds,
        "Time of training, and of the model wherever activations did not come from a cache: "
        "compare runs that read the same cache on the same idle machine",
    ),
    Column(
        "memory",
        "memory",
        lambda row: row.peak_bytes,
        "Most that the whole process held, the model and pages of cached activations included, "
        "which the system would give back: no measure of what an architecture needs",
    ),
)


@dataclass(frozen=True)
class Order:
    """How the table is ordered.

    Attributes:
        sweep: name of the sweep.
        key: key of the column that rows are ordered by.
        descending: whether the largest comes first.
    """

    sweep: str
    key: str = "extra"
    descending: bool = False

    def __post_init__(self) -> None:
        if self.key not in (keys := [column.key for column in COLUMNS]):
            raise InvalidRequest(f"sort cannot be {self.key!r}: use one of {', '.join(keys)}.")

    def sorted(self, table: Iterable[SweepRow]) -> list[SweepRow]:
        """The rows in this order; what has no figure comes last."""
        of = next(column.of for column in COLUMNS if column.key == self.key)
        rows = sorted(table, key=lambda row: row.name)
        known = [row for row in rows if not _missing(of(row))]
        known.sort(key=of, reverse=self.descending)
        return known + [row for row in rows if _missing(of(row))]

    def link(self, key: str) -> str:
        """The address of the table ordered by another column, or by this one the other way."""
        turned = key == self.key and not self.descending
        return sweep_address(self.sweep, sort=key, order="desc" if turned else "")

    def aria(self, key: str) -> str:
        """The value of aria-sort for a column."""
        if key != self.key:
            return "none"
        return "descending" if self.descending else "ascending"


class SweepPage:
    """A sweep's page, worked out.

    Attributes:
        name: what the sweep is called.
        runs: all trainings of the sweep, in the order in which they were added.
        order: how the table is ordered.
        rows: the trainings that have figures, in the order of the table.
        columns: the columns of the table.
    """

    def __init__(self, name: str, runs: Sequence[RunView], order: Order) -> None:
        self.name, self.runs, self.order, self.columns = name, runs, order, COLUMNS
        self._rows = rows((run.record, run.last) for run in runs)
        self.rows = order.sorted(self._rows)

    @property
    def first(self) -> RunView:
        """One run, for what all have in common."""
        return self.runs[0]

    def those(self, status: str) -> list[RunView]:
        """The runs whose status this is."""
        return [run for run in self.runs if run.record.status == status]

    @property
    def key(self) -> list[tuple[str, Any]]:
        """Each architecture, and the front, with a small picture of how it is drawn."""
        entries = [(name, trusted(swatch(style))) for name, style in styles(self._rows).items()]
        return [*entries, ("Pareto front", trusted(swatch(FRONT_STYLE, mark=False)))]

    @property
    def sizes(self) -> list[int]:
        """The sizes of dictionaries, the smallest first."""
        return list(radii(self._rows))

    @property
    def seeds(self) -> int:
        """How many seeds there are at most of one configuration."""
        counts = Counter(
            (row.architecture, row.d_sae, row.target, row.others) for row in self._rows
        )
        return max(counts.values(), default=0)

    @property
    def pictures(self) -> list[tuple[Quantity, Any]]:
        """Each quantity that is known, against L0, as SVG."""
        return [(quantity, trusted(svg)) for quantity, svg in pictures(self._rows)]

    @property
    def text(self) -> str:
        """What text the evaluations read."""
        return evaluated_on(self.first)

    @property
    def dead_after(self) -> str:
        """Training tokens without a firing after which a feature counts as dead."""
        tokens = sorted({int(run.record.config["dead_after"]) for run in self.runs})
        return " or ".join(map(count, tokens))

    @property
    def borrows(self) -> bool:
        """Whether some contest has the seed noise of other L0s."""
        return any(contest.borrowed for _, held in self.contests for contest in held)

    @property
    def contests(self) -> list[tuple[Quantity, list[Contest]]]:
        """Who wins, for each goal."""
        return [
            (quantity, contests(self._rows, quantity.of))
            for quantity in QUANTITIES
            if quantity.goal
        ]

    @cached_property
    def on_front(self) -> frozenset[str]:
        """Names of the runs on the front of the extra loss."""
        return frozenset(row.name for row in front(self._rows, QUANTITIES[0].of))


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def styles(table: Iterable[SweepRow]) -> dict[str, int]:
    """Each architecture's style: the same in every sweep, the usual ones first."""
    names = {row.architecture for row in table}
    others = sorted(names - set(_USUAL))
    return {name: place for place, name in enumerate((*_USUAL, *others)) if name in names}


def radii(table: Iterable[SweepRow]) -> dict[int, float]:
    """The size of a mark for each size of a dictionary, the smallest first."""
    return {
        d_sae: _SMALLEST + _STEP * place
        for place, d_sae in enumerate(sorted({row.d_sae for row in table}))
    }


def pictures(table: Sequence[SweepRow]) -> list[tuple[Quantity, str]]:
    """Each quantity that some row has, against L0, as SVG."""
    return [
        (quantity, _picture(quantity, table))
        for quantity in QUANTITIES
        if any(math.isfinite(quantity.of(row)) for row in table)
    ]


def _picture(quantity: Quantity, table: Sequence[SweepRow]) -> str:
    style, radius = styles(table), radii(table)
    first_seed = min((row.seed for row in table), default=0)
    values = [value for row in table if math.isfinite(value := quantity.of(row))]
    log = quantity.goal and bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)
    lines = [
        Line(f"{name}, {d_sae:,} features", style[name], points, faint=True)
        for (name, d_sae, _), points in _means(quantity, table).items()
    ]
    if quantity.goal:
        best = [(row.l0, quantity.of(row)) for row in front(table, quantity.of)]
        lines.insert(0, Line("Pareto front", FRONT_STYLE, best))
    marks = [
        Mark(
            f"{row.name}: L0 {row.l0:.2f}, {quantity.title} {quantity.of(row):.{quantity.digits}f}",
            style[row.architecture],
            row.l0,
            quantity.of(row),
            radius[row.d_sae],
            hollow=row.seed != first_seed,
        )
        for row in sorted(table, key=lambda row: -row.d_sae)  # small marks upon large ones
    ]
    return plot(
        f"{quantity.title} of {len(table)} dictionaries against their L0; the table below holds "
        "the figures",
        Axis("L0, active features per token (log)", log=True, ticks=_aims(table)),
        Axis(quantity.axis, log=log, zero=not quantity.goal),
        lines,
        marks,
    )


def _aims(table: Sequence[SweepRow]) -> tuple[float, ...]:
    """The L0s that were asked for, where they are few enough to mark them all."""
    aims = sorted({row.target for row in table if row.target is not None})
    return tuple(aims) if 2 <= len(aims) <= _MOST_AIMS else ()


def _means(
    quantity: Quantity, table: Sequence[SweepRow]
) -> dict[tuple[str, int, str], list[tuple[float, float]]]:
    """Where each architecture, size and `others` lie, seeds averaged, by L0."""
    groups: dict[tuple[str, int, str], dict[float, list[SweepRow]]] = {}
    for row in table:
        if row.target is not None and math.isfinite(quantity.of(row)):
            group = groups.setdefault((row.architecture, row.d_sae, row.others), {})
            group.setdefault(row.target, []).append(row)
    return {
        name: [
            (
                math.fsum(row.l0 for row in rows) / len(rows),
                math.fsum(quantity.of(row) for row in rows) / len(rows),
            )
            for _, rows in sorted(group.items())
        ]
        for name, group in groups.items()
        if len(group) > 1
    }
