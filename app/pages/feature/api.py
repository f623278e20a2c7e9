"""The JSON interface: each address mirrors that of a page."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.errors import NotFound
from app.pages.dictionary.evaluation import EvaluationPage
from app.pages.feature import answers
from app.pages.feature import schema as types
from app.pages.feature.page import FeaturePage
from app.rendering.contexts import ContextStyle
from app.store.types.catalogue import FeatureView
from app.store.types.evaluation import StoredEvaluation
from app.web.parameters import TableQuery
from app.web.site import Site, TheDictionary, TheSite
from sae_core.harvest.records import ContextEffect, WindowRecord

ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": types.Problem, "description": "There is no such thing; the sentence says why."},
    422: {"model": types.Problem, "description": "A value cannot be used; the sentence says why."},
    503: {"model": types.Problem, "description": "The store or the worker cannot answer now."},
}

router = APIRouter(prefix="/api/v1", tags=["pages"], responses=ERRORS)


@router.get("")
def home(site: TheSite) -> types.Catalogue:
    """All dictionaries, and the harvests under way."""
    return types.Catalogue(
        dictionaries=[answers.dictionary(view) for view in site.store.catalogue()],
        progress=[answers.progress(view) for view in site.store.progress()],
    )


@router.get("/d/{model}/{dictionary}")
def table(dictionary: TheDictionary, query: TableQuery, site: TheSite) -> types.FeatureTable:
    """One page of a dictionary's features."""
    found = site.store.features(dictionary, query)
    return answers.table(found, site.typeset(found.dictionary))


@router.get("/d/{model}/{dictionary}/about")
def about(dictionary: TheDictionary) -> types.Dictionary:
    """How a dictionary and its harvest were made."""
    return answers.dictionary(dictionary)


@router.get("/d/{model}/{dictionary}/evaluation")
def evaluation(dictionary: TheDictionary) -> StoredEvaluation:
    """How good a dictionary is: figures, intervals and distributions."""
    page = EvaluationPage(dictionary)
    if page.evaluation is None:
        raise NotFound(f"{dictionary.title} has not been evaluated: {page.command}")
    return page.evaluation


@router.get("/d/{model}/{dictionary}/random")
def random(dictionary: TheDictionary, site: TheSite) -> types.RandomFeature:
    """A feature that fires, another one each time."""
    return types.RandomFeature(index=site.store.random_feature(dictionary))


@router.get("/d/{model}/{dictionary}/{index}")
def feature(dictionary: TheDictionary, index: int, site: TheSite) -> types.Feature:
    """All that was harvested of a feature, its contexts aside."""
    view = site.store.feature(dictionary, index)
    return answers.feature(view, site.typeset(view.dictionary))


@router.get("/d/{model}/{dictionary}/{index}/groups/{group}")
def group(
    dictionary: TheDictionary, index: int, group: str, site: TheSite, ablate: bool = True
) -> types.Group:
    """A group of contexts with what ablation does to them.

    With `ablate=false` the worker is not asked, and `effect` is null where nothing is cached.
    """
    view = site.store.feature(dictionary, index)
    page = FeaturePage(view, site.typeset(view.dictionary), ContextStyle())
    found = page.group(group)
    contexts = page.contexts(found)
    effects = _effects(site, view, [context.window for context in contexts], ablate)
    return answers.group(found, contexts, effects, site.typeset(view.dictionary))


@router.get("/d/{model}/{dictionary}/{index}/contexts/{group}/{number}")
def context(
    dictionary: TheDictionary,
    index: int,
    group: str,
    number: int,
    site: TheSite,
    ablate: bool = True,
) -> types.Context:
    """One context with what ablation does to it."""
    view = site.store.feature(dictionary, index)
    typeset = site.typeset(view.dictionary)
    found = FeaturePage(view, typeset, ContextStyle()).context(group, number)
    effects = _effects(site, view, [found.window], ablate)
    return answers.context(found, effects.get(found.window.number), typeset)


def _effects(
    site: Site, view: FeatureView, windows: list[WindowRecord], ablate: bool
) -> dict[int, ContextEffect]:
    if not ablate:
        return dict(view.effects)
    return site.ablations.effects(view.dictionary, view.record.index, windows)
