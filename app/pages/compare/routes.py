"""Comparisons, their pairs, the trees of their features, and the twins of one feature."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from app.pages.compare.page import ComparisonPage
from app.pages.compare.pair import pair_page
from app.pages.compare.query import ThePair
from app.pages.compare.schema import Measure
from app.pages.compare.tree import tree_page
from app.rendering.addresses import comparison_address
from app.rendering.words.twins import twin_lines
from app.web.site import Fragment, TheDictionary, TheSite

router = APIRouter()


@router.get("/compare")
def comparisons(site: TheSite) -> Response:
    """All comparisons, and how to make one.

    For example /compare
    """
    pages = [ComparisonPage(view) for view in site.store.comparisons.all()]
    return site.renderer.html("compare/comparisons.html", pages=pages)


@router.get("/compare/{name}")
def comparison(name: str, site: TheSite) -> Response:
    """A comparison: its dictionaries, and how much of each is found again in each other.

    For example /compare/seeds
    """
    page = ComparisonPage(site.store.comparisons.view(name))
    return site.renderer.html("compare/comparison.html", page=page)


@router.get("/compare/{name}/tree/{place}")
def root(name: str, place: int, site: TheSite, index: Annotated[int, Query()] = 0) -> Response:
    """To the tree of the feature whose number was typed.

    For example /compare/seeds/tree/0?index=12
    """
    site.store.comparisons.view(name)
    return RedirectResponse(comparison_address(name, "tree", place, index), 303)


@router.get("/compare/{name}/tree/{place}/{index}")
def tree(
    name: str,
    place: int,
    index: int,
    site: TheSite,
    by: Annotated[Measure, Query(description="What features are matched by.")] = "correlation",
) -> Response:
    """How a feature splits in larger dictionaries.

    For example /compare/seeds/tree/0/12
    """
    page = tree_page(site, site.store.comparisons.view(name), place, index, by)
    return site.renderer.html("compare/tree.html", page=page)


@router.get("/compare/{name}/{source}/{target}")
def pair(
    name: str, source: int, target: int, query: ThePair, site: TheSite, fragment: Fragment
) -> Response:
    """One dictionary's features and their matches in another, or only their table.

    For example /compare/seeds/0/1?show=found
    """
    page = pair_page(site, site.store.comparisons.view(name), source, target, query)
    template = "compare/_pairs.html" if fragment else "compare/pair.html"
    return site.renderer.html(template, page=page)


@router.get("/d/{model}/{dictionary}/{index}/twins")
def twins(dictionary: TheDictionary, index: int, site: TheSite) -> Response:
    """The features of other dictionaries that are most like a given one.

    For example /d/demo/mlp-4096/12/twins
    """
    lines = twin_lines(site.store, dictionary, index)
    return site.renderer.html("compare/twins.html", dictionary=dictionary, index=index, twins=lines)
