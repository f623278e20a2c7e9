"""The search by meaning: features of which something similar is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.errors import InvalidRequest
from app.pages.search.query import SearchQuery
from app.rendering.addresses import dictionary_address
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.search.meaning_folder import meaning_folder
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.site import Site
from sae_core.meaning.vectors import SavedVectors, open_vectors

_MOST = 24
_ROWS_EACH = 4  # texts of one feature at the most, so that enough features are among them
LONGEST = 400  # characters


@dataclass(frozen=True)
class MeaningLine:
    """A feature of which something similar is said.

    Attributes:
        row: what tables show of it.
        address: of its page.
        text: that is similar: its label, its rule, or its summary.
        cosine: of that text with the question.
        summary: it in one line.
    """

    row: FeatureRow
    address: str
    text: str
    cosine: float
    summary: Sentence


@dataclass(frozen=True)
class MeaningPage:
    """The page of a search by meaning.

    Attributes:
        asked: as the address says it.
        dictionaries: that are harvested.
        chosen: the one that is searched; None: there is none.
        lines: the most similar first.
        problem: why there is no answer; empty: there is one, or nothing was asked.
        refused: whether that is what was typed.
        stale: whether the texts are of another harvest than the one that pages show.
    """

    asked: SearchQuery
    dictionaries: Sequence[DictionaryView]
    chosen: DictionaryView | None
    lines: tuple[MeaningLine, ...] = ()
    problem: str = ""
    refused: bool = False
    stale: bool = False

    longest = LONGEST


def meaning_page(site: Site, asked: SearchQuery) -> MeaningPage:
    """The page, with the answer where something was asked.

    Raises:
        Pending, and what the worker's client raises.
    """
    every = [view for view in site.store.catalogue() if view.harvest is not None]
    harvested = [view for view in asked.scope if view.harvest is not None]
    switched_on = [view for view in harvested if _vectors(site, view) is not None]
    chosen = asked.chosen or next(iter(switched_on or harvested), None)
    page = MeaningPage(asked, every, chosen)
    if chosen is None:
        return replace(page, problem="There is nothing to search yet: harvest a dictionary first.")
    try:
        lines, stale = found_by_meaning(site, chosen, asked.typed)
    except InvalidRequest as error:
        return replace(page, problem=str(error), refused=error.field == "q")
    return replace(page, lines=lines, stale=stale)


def found_by_meaning(
    site: Site, view: DictionaryView, typed: str
) -> tuple[tuple[MeaningLine, ...], bool]:
    """The features of which something similar is said, and whether that was said of another
    harvest; nothing typed finds nothing.

    Raises:
        InvalidRequest: the text is too long, or the dictionary cannot be searched by meaning.
    """
    if view.harvest is None:
        raise InvalidRequest(f"{view.title} is not harvested yet: nothing is said of it.", "d")
    vectors = _vectors(site, view)
    if vectors is None:
        raise InvalidRequest(
            f"{view.title} cannot be searched by meaning yet. To switch it on, install "
            f"`featurescope[meaning]` and run `featurescope embed {view.title}`; after that it "
            "needs no network.",
            "d",
        )
    if len(typed) > LONGEST:
        raise InvalidRequest(
            f"A search has at most {LONGEST} characters; this one has {len(typed):,}.", "q"
        )
    stale = vectors.about.get("digest") != view.digest
    if not typed.strip():
        return (), stale
    text = typed.encode("utf-8", "replace").decode().strip()
    query = site.prompts.embed(vectors.about["model"], vectors.about["checksum"], text)
    best: dict[int, tuple[str, float]] = {}
    for hit in vectors.nearest(query, _ROWS_EACH * _MOST):
        best.setdefault(int(vectors.indices[hit.row]), (vectors.texts[hit.row], hit.cosine))
    rows, typeset = site.store.rows(view, list(best)[:_MOST]), site.typeset(view)
    lines = tuple(
        MeaningLine(
            rows[index],
            dictionary_address(view.model, view.name, index),
            text,
            cosine,
            summary_of_row(rows[index], typeset),
        )
        for index, (text, cosine) in list(best.items())[:_MOST]
        if index in rows
    )
    return lines, stale


def _vectors(site: Site, view: DictionaryView) -> SavedVectors | None:
    return open_vectors(meaning_folder(site.home, view))
