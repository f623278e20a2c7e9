"""A feature as JSON; each address mirrors that of a page."""

from __future__ import annotations

from fastapi import APIRouter

from app.errors import NotFound
from app.pages.feature import answers, schema
from app.pages.feature.groups import context_numbered, contexts_of, group_named
from app.rendering.feature import with_counterpart
from app.store.types.catalogue import FeatureView
from app.store.written.label_rows import check_feature
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import Site, TheDictionary, TheSite
from sae_core.harvest.records import ContextEffect, WindowRecord

router = APIRouter(
    prefix="/api/v1/d/{model}/{dictionary}/{index}",
    tags=["pages"],
    responses=ERRORS,
    route_class=PatientRoute,
)


@router.get("")
def feature(dictionary: TheDictionary, index: int, site: TheSite) -> schema.Feature:
    """All that was harvested of a feature, its contexts aside.

    \f
    For example /api/v1/d/demo/mlp-4096/12
    """
    view, _ = with_counterpart(
        site.store, site.store.feature(dictionary, index), site.store.catalogue()
    )
    return schema.Feature.model_validate(view, context=site.typeset(view.dictionary))


@router.get("/rule")
def rule(dictionary: TheDictionary, index: int, site: TheSite) -> schema.Rule:
    """What a feature's firings were learnt to depend on, and how well that says where it fires.

    \f
    For example /api/v1/d/demo/mlp-4096/12/rule
    """
    record = site.store.rules.of_feature(dictionary, index)
    if record is None:
        raise NotFound(
            f"No rule was learnt for feature {index} of {dictionary.title}: there is no such "
            "feature, or it was harvested without rules."
        )
    return schema.Rule.model_validate(record)


@router.get("/explanations")
def explanations(
    dictionary: TheDictionary, index: int, site: TheSite
) -> list[schema.ExplanationAnswer]:
    """Labels that language models were asked for, with what judges make of them, newest first.

    \f
    For example /api/v1/d/demo/mlp-4096/12/explanations
    """
    check_feature(dictionary, index)
    return [
        schema.ExplanationAnswer.model_validate(made)
        for made in site.store.explanations.of(dictionary, index)
    ]


@router.get("/groups/{group}")
def group(
    dictionary: TheDictionary, index: int, group: str, site: TheSite, ablate: bool = True
) -> schema.Group:
    """A group of contexts with what ablation does to them.

    With `ablate=false` the worker is not asked, and `effect` is null where nothing is cached.

    \f
    For example /api/v1/d/demo/mlp-4096/12/groups/band-10?ablate=false
    """
    view = site.store.feature(dictionary, index)
    typeset = site.typeset(view.dictionary)
    asked = group_named(view, group)
    contexts = contexts_of(view, asked, typeset)
    effects = _effects(site, view, [context.window for context in contexts], ablate)
    return answers.group(asked, contexts, effects, typeset)


@router.get("/contexts/{group}/{number}")
def context(
    dictionary: TheDictionary,
    index: int,
    group: str,
    number: int,
    site: TheSite,
    ablate: bool = True,
) -> schema.ContextAnswer:
    """One context with what ablation does to it.

    \f
    For example /api/v1/d/demo/mlp-4096/12/contexts/top/0
    """
    view = site.store.feature(dictionary, index)
    typeset = site.typeset(view.dictionary)
    asked = context_numbered(view, group, number, typeset)
    effects = _effects(site, view, [asked.window], ablate)
    return answers.context(asked, effects.get(asked.window.number), typeset)


def _effects(
    site: Site, view: FeatureView, windows: list[WindowRecord], ablate: bool
) -> dict[int, ContextEffect]:
    """What ablation does to each window, by its number: cached, or asked of the worker."""
    if not ablate:
        return dict(view.effects)
    return site.ablations.effects(view.dictionary, view.record.index, windows)
