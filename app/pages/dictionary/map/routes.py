"""The map's page, the table beside it, and the card of a point."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.errors import NotFound
from app.pages.dictionary.map.page import MapPage
from app.pages.dictionary.map.query import TheMapQuery
from app.web.site import Fragment, TheDictionary, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}/map")


@router.get("")
def feature_map(
    dictionary: TheDictionary, query: TheMapQuery, site: TheSite, fragment: Fragment
) -> Response:
    """The map, also of a dictionary that has none: it says how to make it. Or the table alone.

    For example /d/demo/mlp-4096/map?q=self&view=0.5,0.5,0.25
    """
    page = MapPage(site, dictionary, query)
    if page.drawn is None:
        return site.renderer.html("dictionary/map/none.html", dictionary=dictionary, page=page)
    return site.renderer.html(
        "dictionary/map/_beside.html" if fragment else "dictionary/map/map.html",
        dictionary=dictionary,
        page=page,
        typeset=site.typeset(dictionary),
    )


@router.get("/card")
def card(dictionary: TheDictionary, feature: Annotated[int, Query()], site: TheSite) -> Response:
    """What a feature is in a line, and its strongest context.

    For example /d/demo/mlp-4096/map/card?feature=12
    """
    row = None
    if 0 <= feature < dictionary.d_sae:
        row = site.store.rows(dictionary, [feature], contexts=True).get(feature)
    if row is None:
        raise NotFound(f"Nothing is known of a feature {feature} of {dictionary.title}.")
    return site.renderer.html(
        "dictionary/map/_card.html",
        dictionary=dictionary,
        row=row,
        typeset=site.typeset(dictionary),
    )
