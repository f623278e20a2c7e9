"""A dictionary: its feature table, how it was made, and ways into it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from app.pages.dictionary.evaluation import EvaluationPage
from app.pages.dictionary.table_links import TableLinks
from app.rendering.addresses import dictionary_address
from app.web.parameters import TableQuery
from app.web.site import Fragment, TheDictionary, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}")


@router.get("")
def table(
    dictionary: TheDictionary, query: TableQuery, site: TheSite, fragment: Fragment
) -> Response:
    """The feature table, or only its rows and controls.

    For example /d/demo/mlp-4096?sort=density
    """
    features = site.store.features(dictionary, query)
    return site.renderer.html(
        "dictionary/_features.html" if fragment else "dictionary/dictionary.html",
        dictionary=features.dictionary,
        query=query,
        table=features,
        links=TableLinks(query, features),
        typeset=site.typeset(dictionary),
    )


@router.get("/about")
def about(dictionary: TheDictionary, site: TheSite) -> Response:
    """How the dictionary and its harvest were made.

    For example /d/demo/mlp-4096/about
    """
    page = EvaluationPage(dictionary)
    template = "dictionary/imported.html" if dictionary.is_imported else "dictionary/about.html"
    kept = site.store.search.kept.size(dictionary)
    return site.renderer.html(template, dictionary=dictionary, page=page, kept=kept)


@router.get("/random")
def random(dictionary: TheDictionary, site: TheSite) -> Response:
    """To a feature that fires, another one each time.

    For example /d/demo/mlp-4096/random
    """
    index = site.store.random_feature(dictionary)
    return RedirectResponse(
        dictionary_address(dictionary.model, dictionary.name, index),
        303,
        {"Cache-Control": "no-store"},
    )


@router.get("/jump")
def jump(dictionary: TheDictionary, index: Annotated[int, Query()]) -> Response:
    """To the feature whose number was typed.

    For example /d/demo/mlp-4096/jump?index=12
    """
    return RedirectResponse(dictionary_address(dictionary.model, dictionary.name, index), 303)


@router.get("/evaluation")
def evaluation(dictionary: TheDictionary, site: TheSite) -> Response:
    """The page, also of a dictionary that was not evaluated: it says how to.

    For example /d/demo/mlp-4096/evaluation
    """
    page = EvaluationPage(dictionary)
    return site.renderer.html("dictionary/evaluation.html", dictionary=dictionary, page=page)
