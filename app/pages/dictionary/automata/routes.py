"""The list of a dictionary's automata, and the page of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.pages.dictionary.automata.view import automata_pages, automaton_page, known_automaton
from app.rendering.addresses import dictionary_address
from app.web.site import TheDictionary, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}/automata")
PER_PAGE = 20


@router.get("")
def automata(
    dictionary: TheDictionary,
    site: TheSite,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    feature: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """The automata, those with one feature, or how they are mined where there are none.

    For example /d/demo/mlp-4096/automata?feature=3026
    """
    mined = site.store.search.automata.of(dictionary)
    chosen = tuple(
        a for a in (mined.automata if mined else ()) if feature is None or feature in a.features
    )
    pages = max(1, -(-len(chosen) // PER_PAGE))
    here = chosen[(min(page, pages) - 1) * PER_PAGE :][:PER_PAGE]
    typeset = site.typeset(dictionary)
    return site.renderer.html(
        "dictionary/automata/automata.html",
        dictionary=dictionary,
        mined=mined,
        feature=feature,
        total=len(chosen),
        page=min(page, pages),
        pages=pages,
        drawn=automata_pages(site.store, typeset, dictionary, here) if here else [],
        address=dictionary_address(dictionary.model, dictionary.name, "automata"),
    )


@router.get("/{name}")
def automaton(dictionary: TheDictionary, name: str, site: TheSite) -> Response:
    """One automaton with all figures of its steps.

    For example /d/demo/mlp-4096/automata/1319-3033-3734
    """
    known = known_automaton(site.store, dictionary, name)
    return site.renderer.html(
        "dictionary/automata/automaton.html",
        dictionary=dictionary,
        page=automaton_page(site.store, site.typeset(dictionary), dictionary, known),
        address=dictionary_address(dictionary.model, dictionary.name, "automata"),
    )
