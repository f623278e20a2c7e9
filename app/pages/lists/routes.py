"""The pages of lists, their forms, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from app.errors import InvalidRequest
from app.pages.lists.export import as_csv, as_html
from app.pages.lists.page import ListPage, list_page
from app.pages.lists.tested import ListTest, list_test
from app.rendering.addresses import dictionary_address, list_address
from app.rendering.labels import label_sheet
from app.web.parameters import Form, whole_number
from app.web.routes import PatientRoute
from app.web.site import Fragment, Site, TheSite

router = APIRouter(prefix="/lists", route_class=PatientRoute)


@router.get("")
def lists(site: TheSite) -> Response:
    """All lists.

    For example /lists
    """
    return _all(site)


@router.post("")
def create(site: TheSite, form: Form) -> Response:
    """Make a list, empty or of some features of a dictionary.

    For example /lists
    with the form title=Quotes&model=demo&dictionary=mlp-4096&features=12,40
    """
    try:
        dictionary, features = None, []
        if form.get("model") or form.get("dictionary"):
            dictionary = site.store.dictionary(form.get("model", ""), form.get("dictionary", ""))
            written = form.get("features", "")
            features = [whole_number(part.strip()) for part in written.split(",") if part.strip()]
        made = site.store.lists.create(
            form.get("title", ""), form.get("note", ""), dictionary, features
        )
    except InvalidRequest as error:
        return _all(site, str(error))
    return RedirectResponse(list_address(made.name), HTTPStatus.SEE_OTHER)


@router.get("/{name}")
def feature_list(name: str, site: TheSite, text: str | None = None) -> Response:
    """A list: its features in order, with what each means, and where they fire on a text.

    For example /lists/starred?text=def%20f
    """
    page = list_page(site, name)
    test = list_test(site, page.lines, text)
    return _page(site, page, test.status, test)


@router.post("/{name}")
def change(name: str, site: TheSite, form: Form) -> Response:
    """Describe a list, put it away, or move, annotate and take out what is in it.

    For example /lists/starred
    with the form do=move&subject=0123&index=12&place=0
    """
    try:
        _do(site, name, form)
    except InvalidRequest as error:
        return _page(site, list_page(site, name, str(error)), int(HTTPStatus.UNPROCESSABLE_ENTITY))
    return RedirectResponse(list_address(name), HTTPStatus.SEE_OTHER)


@router.post("/{name}/items")
def item(name: str, site: TheSite, form: Form, fragment: Fragment) -> Response:
    """Put a feature into a list, or take it out: the star of a feature's page.

    For example /lists/starred/items
    with the form model=demo&dictionary=mlp-4096&index=12
    """
    dictionary = site.store.dictionary(form.get("model", ""), form.get("dictionary", ""))
    index = whole_number(form.get("index", ""))
    sheet = label_sheet(site.store, dictionary, index)
    if form.get("do") == "take-out":
        site.store.lists.take_out(name, sheet.subject, index)
    else:
        site.store.lists.put(name, dictionary, index)
    if not fragment:
        back = dictionary_address(dictionary.model, dictionary.name, index)
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)
    sheet = label_sheet(site.store, dictionary, index)
    return site.renderer.html("lists/_star.html", sheet=sheet)


@router.get("/{name}/file/{kind}")
def file(name: str, kind: Literal["csv", "html"], site: TheSite) -> Response:
    """A list as a file.

    For example /lists/starred/file/csv
    """
    page = list_page(site, name)
    text = as_csv(page) if kind == "csv" else as_html(page, site.renderer)
    headers = {"Content-Disposition": f'attachment; filename="list.{kind}"'}
    return Response(
        text.encode("utf-8", "replace"), headers=headers, media_type=f"text/{kind}; charset=utf-8"
    )


def _do(site: Site, name: str, form: Mapping[str, str]) -> None:
    store, deed = site.store.lists, form.get("do", "")
    if deed == "describe":
        store.describe(name, form.get("title", ""), form.get("note", ""))
    elif deed in ("put-away", "restore"):
        store.put_away(name, deed == "put-away")
    else:
        subject, index = form.get("subject", ""), whole_number(form.get("index", ""))
        if deed == "move":
            store.move(name, subject, index, whole_number(form.get("place", "")))
        elif deed == "annotate":
            store.annotate(name, subject, index, form.get("note", ""))
        elif deed == "take-out":
            store.take_out(name, subject, index)
        else:
            raise InvalidRequest(f"A list cannot be asked to {deed!r:.40}.", "do")


def _all(site: Site, problem: str = "") -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    views = site.store.lists.all()
    return site.renderer.html("lists/lists.html", int(status), lists=views, problem=problem)


def _page(site: Site, page: ListPage, status: int = 200, test: ListTest | None = None) -> Response:
    return site.renderer.html("lists/list.html", status, page=page, test=test or ListTest())
