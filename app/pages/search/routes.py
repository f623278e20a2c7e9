"""The search's page, and its results alone, which are asked for while somebody types."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from app.errors import InvalidRequest
from app.pages.search.example import TheExample, example_page
from app.pages.search.meaning import meaning_page
from app.pages.search.phrase import phrase_page
from app.pages.search.query import TABS, SearchQuery, TheSearch
from app.rendering.addresses import dictionary_address
from app.web.routes import PatientRoute
from app.web.search.finding import number_in
from app.web.search.results import SearchResults
from app.web.site import Fragment, Site, TheSite

router = APIRouter(route_class=PatientRoute)
_IN_BOX = 4  # hits of a kind below the box


@router.get("/search")
def search(site: TheSite, asked: TheSearch, fragment: Fragment, go: str = "") -> Response:
    """The page, or its results alone. From a box (`go`), a number leads to the feature at once.

    For example /search?q=self.&d=demo/mlp-4096
    """
    if go and asked.chosen and (index := number_in(asked.chosen, asked.typed)) is not None:
        address = dictionary_address(asked.chosen.model, asked.chosen.name, index)
        return RedirectResponse(address, 303)
    results, status = _results(site, asked)
    template = "search/_results.html" if fragment else "search/search.html"
    return site.renderer.html(
        template,
        422 if status and not fragment else 200,
        asked=asked,
        results=results,
        tabs=TABS,
        catalogue=site.store.catalogue(),
    )


@router.get("/search/matches")
def matches(site: TheSite, asked: TheSearch) -> Response:
    """The best hits of each kind, as they stand below the box.

    For example /search/matches?q=self.
    """
    results, _ = _results(site, asked, _IN_BOX)
    return site.renderer.html("search/_matches.html", asked=asked, results=results)


@router.get("/search/meaning")
def meaning(site: TheSite, asked: TheSearch) -> Response:
    """Features of which something similar is said.

    For example /search/meaning?q=network+sockets&d=demo/mlp-4096
    """
    page = meaning_page(site, asked)
    return site.renderer.html(
        "search/meaning.html", 422 if page.refused else 200, page=page, asked=asked
    )


@router.get("/search/example")
def example(site: TheSite, asked: TheExample) -> Response:
    """Features that fire on some texts and not on others.

    For example /search/example?d=demo/mlp-4096&fire=import%20os%0Aimport%20re&not=return%0Apass
    """
    page = example_page(site, asked)
    return site.renderer.html("search/example.html", 422 if page.problem else 200, page=page)


@router.get("/search/phrase")
def phrase(site: TheSite, asked: TheSearch) -> Response:
    """Features that are most specific to a phrase of the harvested text.

    For example /search/phrase?q=%20except%20ValueError&d=demo/mlp-4096
    """
    page = phrase_page(site, asked)
    status = 422 if page.problem and asked.typed else 200
    return site.renderer.html("search/phrase.html", status, page=page, asked=asked)


def _results(site: Site, asked: SearchQuery, *most: int) -> tuple[SearchResults, bool]:
    """What fits, or the sentence that says why nothing was searched, and whether it is one."""
    if not asked.typed.strip() and most:
        return SearchResults(()), False
    try:
        return asked.results(site, *most), False
    except InvalidRequest as error:
        return SearchResults((), str(error)), True
