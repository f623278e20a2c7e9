"""The forms of a feature's labels and comments: what they send, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from app.errors import InvalidRequest
from app.pages.labels import said
from app.rendering.labels import LabelSheet, label_sheet
from app.store.types.catalogue import DictionaryView
from app.store.written.label_rows import check_feature
from app.store.written.texts import LONGEST_AUTHOR
from app.web.parameters import Author, Form, remember_author, whole_number
from app.web.routes import PatientRoute
from app.web.site import Fragment, Site, TheDictionary, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}/{index}", route_class=PatientRoute)


@router.get("/labels")
def labels(
    dictionary: TheDictionary,
    index: int,
    site: TheSite,
    author: Author,
    fragment: Fragment,
    history: Annotated[str, Query(description="Of which label the history is shown.")] = "",
) -> Response:
    """What people say of a feature, by itself.

    For example /d/demo/mlp-4096/12/labels
    """
    check_feature(dictionary, index)
    sheet = label_sheet(site.store, dictionary, index, author, history)
    return _sheet(site, sheet, fragment)


@router.post("/labels")
def create(
    dictionary: TheDictionary, index: int, site: TheSite, form: Form, fragment: Fragment
) -> Response:
    """Keep a label.

    For example /d/demo/mlp-4096/12/labels
    with the form text=self&author=Ada
    """
    return _answer(site, dictionary, index, form, fragment, "create")


@router.post("/labels/{label}")
def change(
    dictionary: TheDictionary,
    index: int,
    label: str,
    site: TheSite,
    form: Form,
    fragment: Fragment,
) -> Response:
    """Edit a label, vote, take it back or restore it: the form's button says which.

    For example /d/demo/mlp-4096/12/labels/0123
    with the form do=up&author=Ada
    """
    return _answer(site, dictionary, index, form, fragment, form.get("do", ""), label)


@router.post("/comments")
def comment(
    dictionary: TheDictionary, index: int, site: TheSite, form: Form, fragment: Fragment
) -> Response:
    """Keep a comment, or take one back.

    For example /d/demo/mlp-4096/12/comments
    with the form text=rare&author=Ada
    """
    return _answer(site, dictionary, index, form, fragment, form.get("do", "comment"))


def _answer(
    site: Site,
    dictionary: DictionaryView,
    index: int,
    form: Mapping[str, str],
    fragment: bool,
    deed: str,
    label: str = "",
) -> Response:
    """Do it, and show what the feature's labels are then; what was refused stays in its field."""
    check_feature(dictionary, index)
    author = form.get("author", "").strip()
    notice, problem = "", None
    try:
        notice = _do(site, dictionary, index, form, deed, label)
    except InvalidRequest as error:
        problem = error
    sheet = label_sheet(site.store, dictionary, index, author[:LONGEST_AUTHOR])
    if problem is not None:
        refused = replace(sheet, problem=str(problem), typed=form)
        answer = _sheet(site, refused, fragment, int(HTTPStatus.UNPROCESSABLE_ENTITY))
    elif fragment or notice:
        answer = _sheet(site, replace(sheet, notice=notice), fragment)
    else:
        answer = RedirectResponse(_back(sheet, form), HTTPStatus.SEE_OTHER)
    if problem is None:
        remember_author(answer, author)
    return answer


def _do(
    site: Site,
    dictionary: DictionaryView,
    index: int,
    form: Mapping[str, str],
    deed: str,
    label: str,
) -> str:
    """What a form asks for; a sentence where its sender has to know more than the page shows."""
    store, author = site.store.labels, form.get("author", "")
    text, note = form.get("text", ""), form.get("note", "")
    if deed == "create":
        store.add(dictionary, index, text, note, author)
    elif deed == "edit":
        version = whole_number(form.get("version", ""))
        kept = store.edit(dictionary, index, label, version, text, note, author)
        if kept.beside is not None:
            return (
                "Somebody else changed this label while you wrote, so yours stands beside it as a "
                "label of its own."
            )
    elif deed in _VOTES:
        store.vote(dictionary, index, label, author, _VOTES[deed])
    elif deed == "withdraw":
        store.withdraw(dictionary, index, label, author)
    elif deed == "restore":
        store.restore(dictionary, index, label, form.get("restored", ""), author)
    elif deed == "comment":
        number = whole_number(form.get("number", "0"))
        said.comment(site, dictionary, index, text, author, form.get("group", ""), number)
    elif deed in ("withdraw-comment", "restore-comment"):
        withdrawn = deed == "withdraw-comment"
        site.store.comments.withdraw(dictionary, index, form.get("comment", ""), withdrawn)
    else:
        raise InvalidRequest(f"A label cannot be asked to {deed!r:.40}.", "do")
    return ""


_VOTES = {"up": 1, "down": -1, "unvote": 0}


def _back(sheet: LabelSheet, form: Mapping[str, str]) -> str:
    """The page that a form without a script came from."""
    if form.get("group") and form.get("number", "").isdecimal():
        return f"{sheet.address}/contexts/{quote(form['group'], safe='')}/{form['number']}#comments"
    return f"{sheet.address}#labels"


def _sheet(site: Site, sheet: LabelSheet, fragment: bool, status: int = 200) -> Response:
    template = "labels/_answer.html" if fragment else "labels/labels.html"
    return site.renderer.html(template, status, dictionary=sheet.dictionary, sheet=sheet)
