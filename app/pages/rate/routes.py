"""The pages of blind ratings, their forms, and their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from app.errors import InvalidRequest, NotFound
from app.pages.rate.export import as_csv
from app.pages.rate.making import study_of_form
from app.pages.rate.page import ItemPage, item_page, rating_of_form, study_page
from app.pages.rate.pictures import pictures
from app.pages.rate.results import KEYS, NAMES, study_results
from app.rendering.addresses import study_address
from app.store.written.rating_draw import MOST_ITEMS
from app.store.written.texts import LONGEST_AUTHOR, LONGEST_LABEL
from app.web.parameters import Author, Form, remember_author
from app.web.routes import PatientRoute
from app.web.site import Site, TheSite

router = APIRouter(prefix="/rate", route_class=PatientRoute)

Rater = Annotated[
    str, Query(description="Who asks, where the browser does not know: a link may go to others.")
]

AGAIN = "You had rated this meanwhile in another tab. Both ratings are kept, and this one counts."


@router.get("")
def studies(site: TheSite, author: Author) -> Response:
    """All studies, and a form that makes one.

    For example /rate
    """
    return _all(site, author)


@router.post("")
def create(site: TheSite, form: Form) -> Response:
    """Make a study.

    For example /rate
    with the form d-0=demo/mlp-4096&d-1=demo/mlp-neurons&features=20&seed=0
    """
    try:
        made = study_of_form(site.store, form)
    except (InvalidRequest, NotFound) as error:
        return _all(site, form.get("author", ""), str(error), form)
    return _signed(
        RedirectResponse(study_address(made.id), HTTPStatus.SEE_OTHER), form.get("author", "")
    )


@router.get("/{study}")
def study(study: str, site: TheSite, author: Author) -> Response:
    """A study: how far its raters are, and the way to its items and results.

    For example /rate/0123
    """
    return site.renderer.html(
        "rate/study.html", page=study_page(site, study, author, everybody=True)
    )


@router.post("/{study}")
def change(study: str, site: TheSite, form: Form) -> Response:
    """Begin or go on rating, see the results, or put the study away.

    For example /rate/0123
    with the form do=begin&rater=Ada
    """
    rater = form.get("rater", "").strip()
    address = study_address(study)
    try:
        deed = form.get("do", "")
        if deed == "begin":
            if not rater:
                raise InvalidRequest("Say your name, so that you can come back to your ratings.")
            page = study_page(site, study, rater[:LONGEST_AUTHOR])
            first = page.next_open()
            address = page.address if first is None else page.item_address(first)
        elif deed == "unblind":
            site.store.ratings.unblind(study, rater)
            address = f"{study_address(study, 'results')}?{urlencode({'rater': rater})}"
        elif deed in ("put-away", "restore"):
            site.store.ratings.put_away(study, deed == "put-away")
        else:
            raise InvalidRequest(f"A study cannot be asked to {deed!r:.40}.", "do")
    except InvalidRequest as error:
        refused = study_page(site, study, rater[:LONGEST_AUTHOR], str(error), everybody=True)
        return site.renderer.html(
            "rate/study.html", int(HTTPStatus.UNPROCESSABLE_ENTITY), page=refused
        )
    return _signed(RedirectResponse(address, HTTPStatus.SEE_OTHER), rater)


@router.get("/{study}/items/{item}")
def item(study: str, item: str, site: TheSite, author: Author) -> Response:
    """A feature, or neuron: nothing tells which.

    For example /rate/0123/items/4567
    """
    return _item(site, item_page(site, study, item, author))


@router.post("/{study}/items/{item}")
def rate(study: str, item: str, site: TheSite, form: Form) -> Response:
    """Keep a rating, and go on to the next item that is open.

    For example /rate/0123/items/4567
    with the form rater=Ada&confidence=3&activations=5&logits=2&specificity=1
    """
    rater = form.get("rater", "").strip()
    try:
        kept = site.store.ratings.keep(study, item, rating_of_form(form), form.get("seen", ""))
    except InvalidRequest as error:
        page = item_page(site, study, item, rater[:LONGEST_AUTHOR])
        return _item(site, replace(page, typed=form, problem=str(error)), error=True)
    if kept.over is not None:
        page = item_page(site, study, item, kept.rating.rater)
        return _signed(_item(site, replace(page, notice=AGAIN)), kept.rating.rater)
    progress = study_page(site, study, kept.rating.rater)
    following = progress.next_open(item)
    address = progress.address if following is None else progress.item_address(following)
    return _signed(RedirectResponse(address, HTTPStatus.SEE_OTHER), kept.rating.rater)


@router.get("/{study}/results")
def results(study: str, site: TheSite, author: Author, rater: Rater = "") -> Response:
    """What all ratings say, for who asked to see it; else the question whether to.

    For example /rate/0123/results
    """
    page = study_page(site, study, author or rater)
    if not page.unblinded:
        return site.renderer.html("rate/blinded.html", page=page)
    shown = study_results(site.store, page.view)
    return site.renderer.html(
        "rate/results.html",
        page=page,
        results=shown,
        keys=KEYS,
        names=NAMES,
        pictures=pictures(shown),
    )


@router.get("/{study}/file/csv")
def file(study: str, site: TheSite, author: Author, rater: Rater = "") -> Response:
    """All ratings as a file, with what each item is, for who has seen the results.

    For example /rate/0123/file/csv
    """
    page = study_page(site, study, author or rater)
    if not page.unblinded:
        return site.renderer.html("rate/blinded.html", page=page)
    text = as_csv(page.view, site.store.ratings.items(study), site.store.ratings.all_of(study))
    headers = {"Content-Disposition": 'attachment; filename="ratings.csv"'}
    return Response(
        text.encode("utf-8", "replace"), headers=headers, media_type="text/csv; charset=utf-8"
    )


def _item(site: Site, page: ItemPage, error: bool = False) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK
    return site.renderer.html("rate/item.html", int(status), page=page)


def _all(
    site: Site, author: str, problem: str = "", typed: Mapping[str, str] | None = None
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    return site.renderer.html(
        "rate/studies.html",
        int(status),
        studies=site.store.ratings.studies(),
        dictionaries=[view for view in site.store.catalogue() if view.harvest is not None],
        author=author[:LONGEST_AUTHOR],
        problem=problem,
        typed=typed or {},
        longest_title=LONGEST_LABEL,
        longest_author=LONGEST_AUTHOR,
        most=MOST_ITEMS,
    )


def _signed(answer: Response, author: str) -> Response:
    """The answer, after which the browser remembers who this is."""
    remember_author(answer, author)
    return answer
