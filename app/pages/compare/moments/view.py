"""A dictionary's features through its model's training: when they appear, and what they were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlencode

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.errors import InvalidRequest, NotFound
from app.rendering.addresses import dictionary_address
from app.rendering.charts.plots import Axis, Line, plot
from app.rendering.markup import trusted
from app.rendering.numbers import count, percent
from app.rendering.tokens import Typeset, printable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.moments import Moment, MomentsRecord
from sae_core.evaluation.comparison.arrivals import NEVER, appearances

SORTS = {"appears": "appears", "match": "match now", "score": "label score now", "index": "index"}
PER_PAGE = 50
_BEFORE, _AFTER = 12, 5  # tokens of a context
_SPARK = (72, 18)


@dataclass(frozen=True)
class MomentsQuery:
    """What is shown.

    Attributes:
        at: number of the moment; -1: the last.
        feature: whose contexts are shown; None: none.
        sort: a key of `SORTS`.
        page: of the table, from 1.
    """

    at: int = -1
    feature: int | None = None
    sort: str = "appears"
    page: int = 1


@dataclass(frozen=True)
class StrongContext:
    """A token on which a feature is strong, in its text."""

    before: str
    token: str
    after: str
    strength: float


@dataclass(frozen=True)
class FollowedFeature:
    """A feature at one moment.

    Attributes:
        index: of the last moment's feature.
        label: what it means, by people or by its rule; empty: nothing is known.
        appears: number of the moment at which it does; -1: it is not found again.
        value: correlation of its match at the moment shown; nan: none.
        score: F1 of its rule there; nan: none.
        same: correlation with the last dictionary read from the moment's activations.
        partner: number of the match in the moment's own dictionary; -1: none.
        spark: its matches through the training.
    """

    index: int
    label: str
    appears: int
    value: float
    score: float
    same: float
    partner: int
    spark: Markup


@dataclass(frozen=True)
class MomentsPage:
    """The page.

    Attributes:
        record: as it was kept.
        query: what is shown.
        labels: of features, by index.
        dictionary: in the store; None: it is there no longer.
        typeset: its tokens; None: not known.
    """

    record: MomentsRecord
    query: MomentsQuery = field(default_factory=MomentsQuery)
    labels: Mapping[int, str] = field(default_factory=dict)
    dictionary: DictionaryView | None = None
    typeset: Typeset | None = None

    @property
    def moments(self) -> tuple[Moment, ...]:
        """In order."""
        return self.record.moments

    @property
    def at(self) -> int:
        """Number of the moment that is shown."""
        last = len(self.moments) - 1
        return last if self.query.at < 0 else min(self.query.at, last)

    @property
    def moment(self) -> Moment:
        """That is shown."""
        return self.moments[self.at]

    @cached_property
    def appears(self) -> NDArray[np.int64]:
        """The moment at which each feature appears; -1: never found again."""
        values = self.record.arrays.values.astype(np.float64)
        nulls = np.array([moment.null for moment in self.moments])
        return appearances(values, nulls, values[-1])

    @cached_property
    def counts(self) -> list[int]:
        """How many features appear at each moment."""
        return [int((self.appears == n).sum()) for n in range(len(self.moments))]

    @property
    def never(self) -> int:
        """Features that a second training of the last moment does not find again."""
        return int((self.appears == NEVER).sum())

    @property
    def present(self) -> list[int]:
        """How many are there at each moment."""
        return [sum(self.counts[: n + 1]) for n in range(len(self.counts))]

    def score(self, n: int) -> float:
        """Mean F1 of the rules at a moment, over features that have one; nan: none has."""
        scores = self.record.arrays.f1[n]
        known = np.isfinite(scores)
        return float(scores[known].mean()) if known.any() else math.nan

    def name(self, n: int) -> str:
        """What a moment is called."""
        moment = self.moments[n]
        return f"step {moment.step:,}" if moment.step >= 0 else printable(moment.name)

    @property
    def lines(self) -> list[str]:
        """The table of moments in words."""
        rows = []
        for n, moment in enumerate(self.moments):
            last = "; matches are with its second training" if n == len(self.moments) - 1 else ""
            rows.append(
                f"{self.name(n)}: loss {moment.loss:.3f}, {count(self.counts[n])} features appear, "
                f"{count(self.present[n])} are there, mean F1 of their rules {self.score(n):.3f} "
                f"(chance {moment.null:.2f}){last}"
            )
        rows.append(
            f"{count(self.never)} of {count(self.record.d_sae)} features are not found again by a "
            "second training of the last moment, or fire too seldom to be judged."
        )
        return rows

    def address(self, **changes: object) -> str:
        """Of the page, with other values."""
        query = {
            "at": self.query.at,
            "feature": self.query.feature,
            "sort": self.query.sort,
            "page": self.query.page,
        } | changes
        usual = {"at": -1, "feature": None, "sort": "appears", "page": 1}
        kept = {key: value for key, value in query.items() if value != usual[key]}
        base = f"/over-training/{quote(self.record.name, safe='')}"
        return f"{base}?{urlencode(kept)}" if kept else base

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Features in the order of the table."""
        arrays, every = self.record.arrays, np.arange(self.record.d_sae)
        if self.query.sort == "index":
            return every
        if self.query.sort == "appears":
            late = np.where(self.appears == NEVER, len(self.moments), self.appears)
            ceiling = np.nan_to_num(arrays.values[-1], nan=-1.0)
            return np.lexsort((every, -ceiling, late))
        values = arrays.values if self.query.sort == "match" else arrays.f1
        return np.argsort(-np.nan_to_num(values[self.at], nan=-1.0), kind="stable")

    @property
    def pages(self) -> int:
        """Of the table."""
        return max(1, -(-self.record.d_sae // PER_PAGE))

    @property
    def rows(self) -> list[FollowedFeature]:
        """Of the table's page that is shown."""
        begin = (self.query.page - 1) * PER_PAGE
        return [self.feature(index) for index in self.order[begin : begin + PER_PAGE].tolist()]

    def feature(self, index: int) -> FollowedFeature:
        """One feature at the moment that is shown."""
        arrays, n = self.record.arrays, self.at
        return FollowedFeature(
            index=index,
            label=self.labels.get(index, ""),
            appears=int(self.appears[index]),
            value=float(arrays.values[n, index]),
            score=float(arrays.f1[n, index]),
            same=float(arrays.same[n, index]),
            partner=int(arrays.partners[n, index]),
            spark=spark(arrays.values[:, index], n),
        )

    @property
    def chosen(self) -> FollowedFeature | None:
        """The feature whose contexts are shown."""
        return None if self.query.feature is None else self.feature(self.query.feature)

    def contexts(self, moment: int) -> list[StrongContext]:
        """Where the chosen feature's match, or the feature itself (`moment` -1), is strongest."""
        index, arrays = self.query.feature, self.record.arrays
        if index is None or self.typeset is None:
            return []
        pairs = zip(
            arrays.rows[moment, index].tolist(),
            arrays.strengths[moment, index].tolist(),
            strict=True,
        )
        return [self._context(row, strength) for row, strength in pairs if row >= 0]

    def _context(self, row: int, strength: float) -> StrongContext:
        arrays = self.record.arrays
        window = int(np.searchsorted(arrays.begins, row, side="right")) - 1
        begin = max(int(arrays.begins[window]), row - _BEFORE)
        end = len(arrays.tokens)
        if window + 1 < len(arrays.begins):
            end = int(arrays.begins[window + 1])
        return StrongContext(
            self._text(begin, row),
            self._text(row, row + 1),
            self._text(row + 1, min(end, row + 1 + _AFTER)),
            strength,
        )

    def _text(self, begin: int, end: int) -> str:
        assert self.typeset is not None
        pieces = self.typeset.vocabulary.pieces
        tokens = self.record.arrays.tokens[begin:end].tolist()
        raw = b"".join(pieces[token] for token in tokens if 0 <= token < len(pieces))
        return printable(raw.decode("utf-8", "replace"))

    def link(self, index: int) -> str:
        """Of the feature's own page; empty: it is not in the store."""
        known = self.dictionary
        return "" if known is None else dictionary_address(known.model, known.name, index)

    @property
    def picture(self) -> Markup:
        """Loss by moment."""
        points = [(n + 1, moment.loss) for n, moment in enumerate(self.moments)]
        now = [(self.at + 1, self.moment.loss)]
        lines = [Line("loss", 0, points), Line("shown", 1, now)]
        return trusted(
            plot(
                "Loss through the training",
                Axis("checkpoint"),
                Axis("loss (nats)", zero=False),
                lines,
            )
        )

    @property
    def arrivals(self) -> Markup:
        """Features that are there, by moment."""
        points = [(n + 1, there) for n, there in enumerate(self.present)]
        lines = [Line("features", 0, points), Line("shown", 1, [points[self.at]])]
        return trusted(
            plot("Features that are there", Axis("checkpoint"), Axis("features there"), lines)
        )

    @property
    def said(self) -> str:
        """The moment that is shown, in words."""
        n = self.at
        return (
            f"{self.name(n)}: {count(self.present[n])} of {count(self.record.d_sae - self.never)} "
            f"features that can be found again are there ({percent(self._share(n))}), "
            f"{count(self.counts[n])} of them new; loss {self.moment.loss:.3f} nats a token."
        )

    def _share(self, n: int) -> float:
        return self.present[n] / max(1, self.record.d_sae - self.never)


def moments_page(store: Store, typeset_of: object, name: str, query: MomentsQuery) -> MomentsPage:
    """The page of one training.

    Args:
        store: where it is.
        typeset_of: gives the tokens of a dictionary's model.
        name: of the training.
        query: what is shown.

    Raises:
        NotFound: there is none of that name.
        InvalidRequest: there is no such moment, feature or order.
    """
    record = store.comparisons.moments.view(name)
    if query.sort not in SORTS:
        raise InvalidRequest(f"Features can be sorted by {', '.join(SORTS)}.", "sort")
    if query.at >= len(record.moments):
        raise InvalidRequest(f"There are {len(record.moments)} checkpoints, from 0.", "at")
    if query.feature is not None and not 0 <= query.feature < record.d_sae:
        raise InvalidRequest(f"The dictionary has features 0 to {record.d_sae - 1}.", "feature")
    page = MomentsPage(record, query)
    if not 1 <= query.page <= page.pages:
        raise InvalidRequest(f"The table has pages 1 to {page.pages}.", "page")
    try:
        view = store.dictionary(record.model, record.dictionary)
    except NotFound:
        return page
    if (view.checksum or "") != record.checksum:
        return page
    shown = {row.index for row in page.rows} | ({query.feature} - {None})
    labels = _labels(store, view, sorted(index for index in shown if index is not None))
    typeset = typeset_of(view) if callable(typeset_of) else None
    return MomentsPage(record, query, labels, view, typeset)


def spark(values: NDArray[np.float32], at: int) -> Markup:
    """A feature's correlations through the training, as a small line; the moment shown is a dot."""
    width, height = _SPARK
    xs = np.linspace(2, width - 2, len(values))
    ys = height - 2 - np.clip(np.nan_to_num(values, nan=0.0), 0, 1) * (height - 4)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    told = ", ".join("–" if np.isnan(value) else f"{value:.2f}" for value in values.tolist())
    return trusted(
        f'<svg class="spark" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="match by checkpoint: {told}"><polyline points="{path}" '
        f'fill="none" stroke="currentColor"/><circle cx="{xs[at]:.1f}" cy="{ys[at]:.1f}" r="2.5" '
        f'fill="currentColor"/></svg>'
    )


def _labels(store: Store, view: DictionaryView, indices: list[int]) -> dict[int, str]:
    labels = {index: printable(text) for index, text in store.labels.texts(view, indices).items()}
    for index in indices:
        if not labels.get(index):
            rule = store.rules.of_feature(view, index)
            if rule is not None and rule.above:
                labels[index] = printable(rule.sentence)
    return labels
