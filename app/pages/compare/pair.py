"""One dictionary's features and their matches in another, as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.errors import InvalidRequest, NotFound
from app.pages.compare.cells import FeatureCell, FeatureCells
from app.pages.compare.query import PER_PAGE, PairQuery
from app.pages.compare.words import (
    MEASURES,
    above_sentence,
    found_sentence,
    left_out_sentence,
    measure_of,
    noun_of,
)
from app.rendering.addresses import comparison_address
from app.rendering.charts.plots import Axis, Line, plot, swatch
from app.rendering.markup import trusted
from app.store.types.comparisons import (
    ComparedDictionary,
    ComparisonView,
    PairFigures,
    PairMatches,
)
from app.web.site import Site
from sae_core.evaluation.comparison.figures import MatchFigures
from sae_core.evaluation.comparison.matches import NONE, Matches

_MATCHED, _CHANCE, _BAR = 0, 1, 7  # styles of lines


@dataclass(frozen=True)
class PairLine:
    """A feature and its match.

    Attributes:
        here: the feature.
        there: its match.
        value: how alike they are.
        found: whether that counts as found again.
        mutual: whether each is the other's best match.
        paired: whether they are a pair one to one.
    """

    here: FeatureCell
    there: FeatureCell
    value: float
    found: bool
    mutual: bool
    paired: bool


@dataclass(frozen=True)
class PairPage:
    """One dictionary's features and their matches in another one.

    Attributes:
        view: the comparison.
        figures: of the pair, by both measures.
        measure: of the measure that is shown.
        query: what is asked for.
        lines: on this page.
        total: on all pages.
        pages: how many there are, at least 1.
    """

    view: ComparisonView
    figures: PairFigures
    measure: MatchFigures
    query: PairQuery
    lines: tuple[PairLine, ...]
    total: int
    pages: int

    @property
    def here(self) -> ComparedDictionary:
        """The dictionary whose features are looked for."""
        return self.view.dictionaries[self.figures.source]

    @property
    def there(self) -> ComparedDictionary:
        """The one in which they are looked for."""
        return self.view.dictionaries[self.figures.target]

    @property
    def noun(self) -> str:
        """What the first one holds."""
        return noun_of(self.here, 1)

    @property
    def same_weights(self) -> bool:
        """Whether both are the same dictionary under two names."""
        return self.here.subject == self.there.subject

    @property
    def sentences(self) -> list[str]:
        """What the figures say."""
        one_to_one = (
            "the pairs with the largest sum of correlations"
            if self.figures.assigned
            else "features that are each other's best match: there are too many for an assignment"
        )
        return list(
            filter(
                None,
                [
                    found_sentence(self.here, self.there, self.measure, self.query.by),
                    above_sentence(self.measure),
                    left_out_sentence(self.here) if self.query.by == "correlation" else "",
                    f"One to one are {one_to_one}." if self.query.by == "correlation" else "",
                ],
            )
        )

    @property
    def measures(self) -> list[tuple[str, str, bool]]:
        """Name and address of each measure that there are figures of, and whether it is shown."""
        return [
            (
                MEASURES[by],
                self.to(by=by, shown="", sort="value", descending=True),
                by == self.query.by,
            )
            for by in MEASURES
            if measure_of(self.figures, by) is not None
        ]

    @property
    def address(self) -> str:
        """Of the pair's page, without a query."""
        return comparison_address(self.view.name, self.figures.source, self.figures.target)

    def to(self, **changes: object) -> str:
        """The address that differs in something and begins with its first page."""
        return comparison_address(
            self.view.name,
            self.figures.source,
            self.figures.target,
            **self.query.address_of(**changes),
        )

    @property
    def other_way(self) -> str:
        """The address of the pair seen from the other dictionary."""
        return comparison_address(
            self.view.name,
            self.figures.target,
            self.figures.source,
            by="" if self.query.by == "correlation" else self.query.by,
        )

    def sort(self, key: str) -> str:
        """The address that sorts by a column, the other way round where it does already."""
        if key == self.query.sort:
            return self.to(descending=not self.query.descending)
        return self.to(sort=key, descending=key == "value")

    def sorted(self, key: str) -> str:
        """The value of aria-sort for a column."""
        if key != self.query.sort:
            return "none"
        return "descending" if self.query.descending else "ascending"

    @property
    def chart(self) -> Markup:
        """The distribution of the matches beside that of the null."""
        measure = self.measure
        top = max(max(_shares(measure.counts)), max(_shares(measure.null_counts)))
        lines = [
            Line("by chance: matches with the null", _CHANCE, _steps(measure.null_counts, measure)),
            Line("best matches", _MATCHED, _steps(measure.counts, measure)),
            Line(
                f"found again from {measure.bar:.2f} on",
                _BAR,
                [(measure.bar, 0.0), (measure.bar, top)],
                faint=True,
            ),
        ]
        title = (
            f"Distribution of the best matches by {MEASURES[self.query.by]}, median "
            f"{measure.median:.2f}, beside those with the null, median {measure.null_median:.2f}. "
            "The sentences beside it say the shares."
        )
        axis = Axis(MEASURES[self.query.by], zero=measure.low >= 0)
        return trusted(plot(title, axis, Axis("share of features"), lines))

    @property
    def key(self) -> list[tuple[Markup, str]]:
        """What the lines of the chart are."""
        return [
            (trusted(swatch(_MATCHED, mark=False)), "best matches"),
            (trusted(swatch(_CHANCE, mark=False)), "by chance"),
            (
                trusted(swatch(_BAR, mark=False)),
                f"found again from {self.measure.bar:.2f} on",
            ),
        ]


def pair_page(
    site: Site, view: ComparisonView, source: int, target: int, query: PairQuery
) -> PairPage:
    """A page of a pair.

    Raises:
        NotFound: there is no such pair, or the page lies beyond its end.
        InvalidRequest: features were not matched by that measure.
    """
    pair = site.store.comparisons.pair(view, source, target)
    measure = measure_of(pair.figures, query.by)
    matches = pair.cosines if query.by == "cosine" else pair.correlations
    if measure is None or matches is None:
        raise InvalidRequest(_no_measure(view, pair.figures, query.by))
    if query.shown == "paired" and query.by == "cosine":
        raise InvalidRequest(
            "Pairs one to one are made by correlation: ask for them without by=cosine.", "show"
        )
    chosen = _chosen(pair, matches, measure, query)
    pages = max(1, -(-len(chosen) // PER_PAGE))
    if query.page > pages:
        raise NotFound(f"There is no page {query.page} of these pairs; the last one is {pages}.")
    indices = chosen[(query.page - 1) * PER_PAGE : query.page * PER_PAGE]
    lines = _lines(site, view, pair, matches, measure, query, indices.tolist())
    return PairPage(view, pair.figures, measure, query, lines, len(chosen), pages)


def _no_measure(view: ComparisonView, figures: PairFigures, by: str) -> str:
    here, there = view.dictionaries[figures.source], view.dictionaries[figures.target]
    other = "cosine" if by == "correlation" else "correlation"
    way = (
        f" Look at them by {MEASURES[other]} (by={other})."
        if measure_of(figures, other) is not None
        else ""
    )
    if by == "correlation":
        why = "on this text one of the two has no feature that fires often enough"
    else:
        why = "their decoders write into different spaces, or have no direction"
    return f"{here.title} and {there.title} cannot be compared by {MEASURES[by]}: {why}.{way}"


def _chosen(
    pair: PairMatches, matches: Matches, measure: MatchFigures, query: PairQuery
) -> NDArray[np.int64]:
    """The features that are shown, in order."""
    kept = matches.known
    if query.shown in ("found", "lost"):
        kept = kept & ((matches.values >= measure.bar) == (query.shown == "found"))
    elif query.shown == "paired":
        kept = kept & pair.partners.known
        matches = pair.partners
    chosen = np.flatnonzero(kept)
    if query.sort == "index":
        return chosen[::-1] if query.descending else chosen
    values = matches.values[chosen]
    return chosen[np.lexsort((chosen, -values if query.descending else values))]


def _lines(
    site: Site,
    view: ComparisonView,
    pair: PairMatches,
    matches: Matches,
    measure: MatchFigures,
    query: PairQuery,
    indices: Sequence[int],
) -> tuple[PairLine, ...]:
    source, target = pair.figures.source, pair.figures.target
    turned = site.store.comparisons.pair(view, target, source)
    back = turned.cosines if query.by == "cosine" else turned.correlations
    shown = pair.partners if query.shown == "paired" else matches
    others = {index: int(shown.indices[index]) for index in indices}
    here = FeatureCells(site, view.now[source], indices, contexts=True)
    there = FeatureCells(site, view.now[target], others.values(), contexts=True)
    return tuple(
        PairLine(
            here=here.cell(index),
            there=there.cell(other),
            value=float(shown.values[index]),
            found=bool(shown.values[index] >= measure.bar),
            mutual=back is not None
            and int(matches.indices[index]) == other != NONE
            and int(back.indices[other]) == index,
            paired=int(pair.partners.indices[index]) == other,
        )
        for index, other in others.items()
    )


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(1, sum(counts))
    return [n / total for n in counts]


def _steps(counts: Sequence[int], measure: MatchFigures) -> list[tuple[float, float]]:
    """The outline of a histogram."""
    width = (1.0 - measure.low) / len(counts)
    points = [(measure.low, 0.0)]
    for place, share in enumerate(_shares(counts)):
        begin = measure.low + place * width
        points += [(begin, share), (begin + width, share)]
    return [*points, (1.0, 0.0)]
