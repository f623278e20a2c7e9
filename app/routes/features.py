"""The page of a feature."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.rendering_feature import FeaturePage, other_dictionaries
from app.routes.parameters import Style
from app.site import Fragment, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}")


@router.get("/{index}")
def feature(
    model: str, dictionary: str, index: int, style: Style, site: TheSite, fragment: Fragment
) -> Response:
    """The page, or its contexts in another style. Underlines that are not stored come later."""
    # The page links to other dictionaries, too: one read gives all of them and this one.
    catalogue = site.store.catalogue()
    names = (model, dictionary)
    chosen = next((view for view in catalogue if (view.model, view.name) == names), None)
    view = site.store.feature(chosen or site.store.dictionary(*names), index)
    counterpart = other_dictionaries(view.dictionary, catalogue)
    page = FeaturePage(view, site.typeset(view.dictionary), style, counterpart)
    template = "feature/_contexts.html" if fragment else "feature/feature.html"
    return site.renderer.html(template, dictionary=view.dictionary, page=page)
