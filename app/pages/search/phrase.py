"""The search by phrase: features that are most specific to some tokens of the harvested text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from markupsafe import Markup

from app.errors import InvalidRequest
from app.pages.search.query import SearchQuery
from app.rendering.addresses import dictionary_address, search_address
from app.rendering.markup import trusted
from app.rendering.numbers import percent
from app.rendering.tokens import Typeset
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.search.kept import KeptSize
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.search.phrase_search import (
    LONGEST,
    MOST_WINDOWS,
    PhrasePlace,
    PhraseReading,
    PhraseResults,
    without_text,
)
from app.web.site import Site
from sae_core.evaluation.specificity import LEAST_P, SpecificFeature

FOUND = 0.05  # the largest corrected p-value of a feature that counts as found
_NO_BREAK = "\u00a0"
_PARTS = 2  # of a phrase, that are named where a feature fires on them
_LEAST_PART = 0.01  # of the places


@dataclass(frozen=True)
class PhraseLine:
    """A feature that fires where the phrase stands.

    Attributes:
        figures: how specific it is.
        row: what tables show of it.
        address: of its page.
        summary: it in one line, from counts alone.
        where: on which of the phrase's tokens it fires, as HTML.
        example: one such place, as HTML.
        place: the same as tokens.
    """

    figures: SpecificFeature
    row: FeatureRow
    address: str
    summary: Sentence
    where: Markup
    example: Markup
    place: PhrasePlace

    @property
    def found(self) -> bool:
        """Whether it fires there more than chance would have it."""
        return self.figures.corrected <= FOUND


@dataclass(frozen=True)
class FoundByPhrase:
    """What a search by phrase gives.

    Attributes:
        dictionary: that was searched.
        results: the figures.
        size: how much of its text is kept.
        lines: of each feature, the most specific first.
        readings: how the phrase is cut into tokens, as HTML.
        typeset: the tokens of the model.
    """

    dictionary: DictionaryView
    results: PhraseResults
    size: KeptSize
    lines: tuple[PhraseLine, ...]
    readings: tuple[Markup, ...]
    typeset: Typeset

    @property
    def nearest_address(self) -> str:
        """Of a search for the longest beginning of the phrase that is there."""
        return search_address(self.results.nearest, self.dictionary.title, by="phrase")


@dataclass(frozen=True)
class PhrasePage:
    """The page of a search by phrase.

    Attributes:
        asked: as the address says it.
        dictionaries: that are harvested.
        chosen: the one that is searched; None: there is none.
        size: how much of its text is kept; None: nothing.
        found: what the search gives; None: nothing was asked, or there is a problem.
        problem: why there is no answer; empty: there is one, or nothing was asked.
    """

    asked: SearchQuery
    dictionaries: Sequence[DictionaryView]
    chosen: DictionaryView | None
    size: KeptSize | None = None
    found: FoundByPhrase | None = None
    problem: str = ""

    longest, most_windows, least_p = LONGEST, MOST_WINDOWS, LEAST_P


def phrase_page(site: Site, asked: SearchQuery) -> PhrasePage:
    """The page, with the answer where something was asked."""
    every = [view for view in site.store.catalogue() if view.harvest is not None]
    chosen = _chosen(site, asked)
    page = PhrasePage(asked, every, chosen)
    if chosen is None:
        return replace(page, problem="There is nothing to search yet: harvest a dictionary first.")
    page = replace(page, size=site.store.search.kept.size(chosen))
    if page.size is None:
        return replace(page, problem=without_text(chosen))
    if not asked.typed:
        return page
    try:
        return replace(page, found=found_by_phrase(site, asked))
    except InvalidRequest as error:
        return replace(page, problem=str(error))


def found_by_phrase(site: Site, asked: SearchQuery) -> FoundByPhrase:
    """The features that are most specific to what is typed.

    Raises:
        InvalidRequest: it is empty or too long; there is no text to find it in.
    """
    view = _chosen(site, asked)
    if view is None:
        raise InvalidRequest("There is nothing to search yet: harvest a dictionary first.", "d")
    results = site.phrases.search(site.store, view, asked.typed)
    size = site.store.search.kept.size(view)
    if size is None:
        raise InvalidRequest(without_text(view), "d")
    rows = site.store.rows(view, [feature.feature for feature in results.features])
    typeset = site.typeset(view)
    commonest = results.readings[0].tokens if results.readings else ()
    lines = tuple(
        PhraseLine(
            figures=feature,
            row=rows[feature.feature],
            address=dictionary_address(view.model, view.name, feature.feature),
            summary=summary_of_row(rows[feature.feature], typeset),
            where=_where(feature, commonest, typeset),
            example=_drawn(place, typeset),
            place=place,
        )
        for feature, place in zip(results.features, results.examples, strict=True)
        if feature.feature in rows
    )
    readings = tuple(_cut(reading, typeset) for reading in results.readings)
    return FoundByPhrase(view, results, size, lines, readings, typeset)


def _chosen(site: Site, asked: SearchQuery) -> DictionaryView | None:
    """The dictionary that was asked for, or the first that keeps a text."""
    if asked.chosen is not None:
        return asked.chosen
    harvested = [view for view in asked.scope if view.harvest is not None]
    kept = (view for view in harvested if site.store.search.kept.size(view) is not None)
    return next(kept, next(iter(harvested), None))


def _where(feature: SpecificFeature, tokens: tuple[int, ...], typeset: Typeset) -> Markup:
    """The tokens of the phrase that it fires on most, each with the share of the places."""
    order = sorted(range(len(tokens)), key=lambda n: (-feature.places[n], n))
    return trusted(
        ", ".join(
            f'<bdi class="tok">{typeset.label[tokens[n]]}</bdi> '
            f"{percent(feature.places[n]).replace(' ', _NO_BREAK)}"
            for n in order[:_PARTS]
            if feature.places[n] >= _LEAST_PART
        )
    )


def _drawn(place: PhrasePlace, typeset: Typeset) -> Markup:
    """A place with the phrase marked, and what the feature fires on in it."""

    def run(tokens: tuple[int, ...]) -> str:
        return "".join(f"<bdi>{typeset.inline[token]}</bdi>" for token in tokens)

    phrase = "".join(
        f"<bdi{' class=a12' if n in place.fired else ''}>{typeset.inline[token]}</bdi>"
        for n, token in enumerate(place.tokens)
    )
    return trusted(f"{run(place.before)}<mark>{phrase}</mark>{run(place.after)}")


def _cut(reading: PhraseReading, typeset: Typeset) -> Markup:
    """The tokens of a phrase beside each other, and how often it is cut so."""
    tokens = " ".join(f'<bdi class="tok">{typeset.label[token]}</bdi>' for token in reading.tokens)
    return trusted(f"{tokens} {escape(f'{reading.count:,}×')}")
