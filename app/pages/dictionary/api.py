"""A dictionary as JSON; each address mirrors that of a page."""

from __future__ import annotations

from fastapi import APIRouter

from app.errors import NotFound
from app.pages.dictionary import schema
from app.pages.dictionary.evaluation_command import evaluation_command
from app.store.types.evaluation import StoredEvaluation, stored_evaluation
from app.web.parameters import TableQuery
from app.web.schema import ERRORS
from app.web.site import TheDictionary, TheSite

router = APIRouter(prefix="/api/v1/d/{model}/{dictionary}", tags=["pages"], responses=ERRORS)


@router.get("")
def table(dictionary: TheDictionary, query: TableQuery, site: TheSite) -> schema.FeatureTableAnswer:
    """One page of a dictionary's features.

    \f
    For example /api/v1/d/demo/mlp-4096?sort=density
    """
    features = site.store.features(dictionary, query)
    return schema.FeatureTableAnswer.model_validate(
        features, context=site.typeset(features.dictionary)
    )


@router.get("/about")
def about(dictionary: TheDictionary) -> schema.DictionaryAnswer:
    """How a dictionary and its harvest were made.

    \f
    For example /api/v1/d/demo/mlp-4096/about
    """
    return schema.DictionaryAnswer.model_validate(dictionary)


@router.get("/evaluation")
def evaluation(dictionary: TheDictionary) -> StoredEvaluation:
    """How good a dictionary is: figures, intervals and distributions.

    \f
    For example /api/v1/d/demo/mlp-4096/evaluation
    """
    stored = stored_evaluation(dictionary.evaluation)
    if stored is None:
        command = evaluation_command(dictionary, None)
        raise NotFound(f"{dictionary.title} has not been evaluated: {command}")
    return stored


@router.get("/{index}/summary")
def summary(dictionary: TheDictionary, index: int, site: TheSite) -> schema.FeatureRowAnswer:
    """One row of the table: what a feature is in a line, and its figures.

    \f
    For example /api/v1/d/demo/mlp-4096/12/summary
    """
    row = site.store.rows(dictionary, [index]).get(index)
    if row is None:
        raise NotFound(
            f"{dictionary.title} has features 0 to {dictionary.d_sae - 1}; there is no feature "
            f"{index}."
        )
    return schema.FeatureRowAnswer.model_validate(row, context=site.typeset(dictionary))


@router.get("/random")
def random(dictionary: TheDictionary, site: TheSite) -> schema.RandomFeature:
    """A feature that fires, another one each time.

    \f
    For example /api/v1/d/demo/mlp-4096/random
    """
    return schema.RandomFeature(index=site.store.random_feature(dictionary))
