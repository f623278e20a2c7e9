"""Lists of features as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.lists import schema
from app.pages.lists.page import list_page
from app.pages.lists.tested import list_test
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import Site, TheSite

router = APIRouter(
    prefix="/api/v1/lists", tags=["lists"], responses=ERRORS, route_class=PatientRoute
)


@router.get("")
def lists(site: TheSite) -> schema.Lists:
    """All lists.

    \f
    For example /api/v1/lists
    """
    return schema.Lists(lists=[_summary(view) for view in site.store.lists.all()])


@router.post("")
def create(question: schema.NewListQuestion, site: TheSite) -> schema.ListSummary:
    """Make a list, empty or of some features of a dictionary; its name follows from its title.

    \f
    For example /api/v1/lists
    with {"title": "Quotes", "model": "demo", "dictionary": "mlp-4096", "features": [12, 40]}
    """
    dictionary = None
    if question.model or question.dictionary or question.features:
        dictionary = site.store.dictionary(question.model, question.dictionary)
    made = site.store.lists.create(question.title, question.note, dictionary, question.features)
    return _summary(made)


@router.get("/{name}")
def feature_list(name: str, site: TheSite, text: str | None = None) -> schema.FeatureListAnswer:
    """A list with its features, those of removed dictionaries included, and where they fire on a
    text, if one is given.

    \f
    For example /api/v1/lists/starred?text=def%20f
    """
    answer = _answer(site, name)
    if text is None:
        return answer
    return answer.model_copy(update={"tested": _firings(site, name, text)})


@router.post("/{name}/firings")
def firings(name: str, question: schema.TestQuestion, site: TheSite) -> schema.ListFirings:
    """Where the features of a list fire on a text.

    \f
    For example /api/v1/lists/starred/firings
    with {"text": "def f(self):"}
    """
    return _firings(site, name, question.text)


@router.put("/{name}")
def describe(name: str, question: schema.ListQuestion, site: TheSite) -> schema.ListSummary:
    """Give a list another title and note. Its address stays.

    \f
    For example /api/v1/lists/quotes
    with {"title": "Quotes", "note": "single and double"}
    """
    return _summary(site.store.lists.describe(name, question.title, question.note))


@router.delete("/{name}", status_code=204, response_class=Response)
def put_away(name: str, site: TheSite) -> None:
    """Put a list away. Nothing in it is lost.

    \f
    For example /api/v1/lists/quotes
    """
    site.store.lists.put_away(name)


@router.post("/{name}/restore")
def restore(name: str, site: TheSite) -> schema.ListSummary:
    """Take a list up again that was put away.

    \f
    For example /api/v1/lists/quotes/restore
    """
    return _summary(site.store.lists.put_away(name, withdrawn=False))


@router.post("/{name}/items")
def put(name: str, question: schema.ItemQuestion, site: TheSite) -> schema.FeatureListAnswer:
    """Put a feature at the end of a list, or give it another note.

    \f
    For example /api/v1/lists/starred/items
    with {"model": "demo", "dictionary": "mlp-4096", "feature": 12}
    """
    dictionary = site.store.dictionary(question.model, question.dictionary)
    site.store.lists.put(name, dictionary, question.feature, question.note)
    return _answer(site, name)


@router.delete("/{name}/items/{subject}/{index}")
def take_out(name: str, subject: str, index: int, site: TheSite) -> schema.FeatureListAnswer:
    """Take a feature out of a list.

    \f
    For example /api/v1/lists/starred/items/0123/12
    """
    site.store.lists.take_out(name, subject, index)
    return _answer(site, name)


@router.put("/{name}/items/{subject}/{index}/place")
def move(
    name: str, subject: str, index: int, question: schema.PlaceQuestion, site: TheSite
) -> schema.FeatureListAnswer:
    """Put a feature at another place of its list.

    \f
    For example /api/v1/lists/starred/items/0123/12/place
    with {"place": 0}
    """
    site.store.lists.move(name, subject, index, question.place)
    return _answer(site, name)


def _summary(view: Any) -> schema.ListSummary:
    return schema.ListSummary.model_validate(view)


def _firings(site: Site, name: str, text: str) -> schema.ListFirings:
    page = list_page(site, name)
    test = list_test(site, page.lines, text).whole()
    return schema.ListFirings(
        problem=test.problem,
        features=[
            schema.ListedFirings(
                model=line.item.model,
                dictionary=line.item.dictionary,
                index=line.item.index,
                label=line.item.label,
                tokens=list(firings.tokens),
                positions=firings.positions.tolist(),
                activations=firings.values.tolist(),
                maximum=firings.maximum,
            )
            for line in page.lines
            if (firings := test.at(line.place)) is not None
        ],
    )


def _answer(site: Site, name: str) -> schema.FeatureListAnswer:
    page = list_page(site, name)
    items = [
        schema.ListedFeature.model_validate({**vars(line.item), "address": line.address})
        for line in page.lines
    ]
    return schema.FeatureListAnswer.model_validate({**vars(page.view), "items": items})
