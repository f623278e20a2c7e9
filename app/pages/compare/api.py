"""Comparisons as JSON; each address mirrors that of a page."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.pages.compare import schema
from app.pages.compare.pair import pair_page
from app.pages.compare.query import ThePair
from app.pages.compare.schema import Measure
from app.pages.compare.tree import TreeNode, tree_page
from app.pages.compare.words import state_of
from app.rendering.words.twins import twin_lines
from app.store.types.comparisons import ComparisonView
from app.web.schema import ERRORS
from app.web.site import TheDictionary, TheSite

router = APIRouter(prefix="/api/v1", tags=["comparisons"], responses=ERRORS)


@router.get("/compare")
def comparisons(site: TheSite) -> schema.ComparisonList:
    """All comparisons.

    \f
    For example /api/v1/compare
    """
    views = site.store.comparisons.all()
    made = [schema.ComparisonSummary.model_validate(_summary(view)) for view in views]
    return schema.ComparisonList(comparisons=made)


@router.get("/compare/{name}")
def comparison(name: str, site: TheSite) -> schema.ComparisonAnswer:
    """A comparison, with the figures of all its pairs.

    \f
    For example /api/v1/compare/seeds
    """
    view = site.store.comparisons.view(name)
    pairs = [asdict(figures) for figures in view.pairs.values()]
    return schema.ComparisonAnswer.model_validate({**_summary(view), "pairs": pairs})


@router.get("/compare/{name}/tree/{place}/{index}")
def tree(
    name: str,
    place: int,
    index: int,
    site: TheSite,
    by: Annotated[Measure, Query(description="What features are matched by.")] = "correlation",
) -> schema.SplitAnswer:
    """How a feature splits in the larger dictionaries of a comparison.

    \f
    For example /api/v1/compare/seeds/tree/0/12
    """
    return _split(tree_page(site, site.store.comparisons.view(name), place, index, by).root)


@router.get("/compare/{name}/{source}/{target}")
def pair(
    name: str, source: int, target: int, query: ThePair, site: TheSite
) -> schema.PairPageAnswer:
    """One page of the features of one dictionary with their matches in another.

    \f
    For example /api/v1/compare/seeds/0/1?show=found
    """
    page = pair_page(site, site.store.comparisons.view(name), source, target, query)
    features = [
        schema.FeatureMatch(
            index=line.here.index,
            label=line.here.label,
            match=line.there.index,
            match_label=line.there.label,
            value=line.value,
            found=line.found,
            mutual=line.mutual,
            paired=line.paired,
        )
        for line in page.lines
    ]
    return schema.PairPageAnswer.model_validate(
        {
            **asdict(page.figures),
            "total": page.total,
            "page": query.page,
            "pages": page.pages,
            "features": features,
        }
    )


@router.get("/d/{model}/{dictionary}/{index}/twins")
def twins(dictionary: TheDictionary, index: int, site: TheSite) -> schema.Twins:
    """The features of other dictionaries that are most like a given one.

    \f
    For example /api/v1/d/demo/mlp-4096/12/twins
    """
    lines = twin_lines(site.store, dictionary, index)
    return schema.Twins(
        twins=[
            schema.TwinAnswer(
                comparison=line.view.comparison,
                model=line.view.now.model,
                dictionary=line.view.now.dictionary,
                index=line.index,
                label=line.label,
                by=line.by,
                value=line.value,
                cosine=line.cosine,
                found=line.found,
                mutual=line.view.mutual,
                state=state_of(line.view.now),
            )
            for line in lines
        ]
    )


def _summary(view: ComparisonView) -> dict[str, Any]:
    dictionaries = [
        {**asdict(compared), "state": state_of(now)}
        for compared, now in zip(view.dictionaries, view.now, strict=True)
    ]
    return {**asdict(view.settings), "name": view.name, "dictionaries": dictionaries}


def _split(node: TreeNode) -> schema.SplitAnswer:
    return schema.SplitAnswer(
        dictionary=node.of.dictionary,
        index=node.cell.index,
        label=node.cell.label,
        value=None if math.isnan(node.value) else node.value,
        children=[_split(child) for child in node.children],
        more=node.more,
    )
