"""The page of a feature."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.pages.feature.page import FeaturePage, other_dictionaries
from app.web.headers import EMBEDDABLE
from app.web.parameters import Style
from app.web.site import Fragment, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}")


@router.get("/{index}")
def feature(
    model: str,
    dictionary: str,
    index: int,
    style: Style,
    site: TheSite,
    fragment: Fragment,
    embed: Annotated[Literal["", "0", "1"], Query(description="For a frame.")] = "",
) -> Response:
    """The page, or its contexts in another style. Underlines that are not stored come later.

    With `embed=1` it may be framed by any page.
    """
    # The page links to other dictionaries, too: one read gives all of them and this one.
    catalogue = site.store.catalogue()
    names = (model, dictionary)
    chosen = next((view for view in catalogue if (view.model, view.name) == names), None)
    view = site.store.feature(chosen or site.store.dictionary(*names), index)
    counterpart = other_dictionaries(view.dictionary, catalogue)
    embedded = embed == "1" and not fragment
    page = FeaturePage(view, site.typeset(view.dictionary), style, counterpart, embedded)
    if embedded:
        return site.renderer.html(
            "feature/embed.html",
            headers=dict(EMBEDDABLE),
            dictionary=view.dictionary,
            page=page,
        )
    template = "feature/_contexts.html" if fragment else "feature/feature.html"
    return site.renderer.html(template, dictionary=view.dictionary, page=page)
