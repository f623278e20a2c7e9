"""The search as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.errors import InvalidRequest
from app.pages.search.answers import (
    example_answer,
    meaning_answer,
    phrase_answer,
    search_answer,
)
from app.pages.search.example import TheExample, found_by_example
from app.pages.search.meaning import meaning_page
from app.pages.search.phrase import found_by_phrase
from app.pages.search.query import TheSearch
from app.pages.search.schema import ExampleAnswer, MeaningAnswer, PhraseAnswer, SearchAnswer
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["search"], responses=ERRORS, route_class=PatientRoute)


@router.get("/search")
def search(site: TheSite, asked: TheSearch) -> SearchAnswer:
    """The features that fit a text: by number, by words of their labels, notes and rules, by the
    tokens that they fire on or raise.

    \f
    For example /api/v1/search?q=self.&d=demo/mlp-4096
    """
    return search_answer(asked.results(site))


@router.get("/search/meaning")
def meaning(site: TheSite, asked: TheSearch) -> MeaningAnswer:
    """The features of which something similar is said.

    \f
    For example /api/v1/search/meaning?q=network+sockets&d=demo/mlp-4096
    """
    page = meaning_page(site, asked)
    if page.refused:
        raise InvalidRequest(page.problem, "q")
    return meaning_answer(page)


@router.get("/search/example")
def example(site: TheSite, asked: TheExample) -> ExampleAnswer:
    """The ten features that tell two sets of texts apart best, each tested on held-out texts.

    \f
    For example /api/v1/search/example?d=demo/mlp-4096&fire=import%20os&not=return
    """
    return example_answer(found_by_example(site, asked))


@router.get("/search/phrase")
def phrase(site: TheSite, asked: TheSearch) -> PhraseAnswer:
    """The features that are most specific to the places where a phrase stands in the harvested
    text, blanks at its ends included.

    \f
    For example /api/v1/search/phrase?q=%20except%20ValueError&d=demo/mlp-4096
    """
    return phrase_answer(found_by_phrase(site, asked))
