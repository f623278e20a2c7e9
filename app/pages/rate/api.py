"""Blind ratings as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.errors import InvalidRequest
from app.pages.rate import answers, schema
from app.pages.rate.export import as_csv
from app.pages.rate.making import make_study
from app.pages.rate.page import find_item, study_page
from app.pages.rate.results import study_results
from app.store.types.ratings import NewRating, RubricScores
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import Site, TheSite
from sae_core.harvest.blinding import blind_sheet

router = APIRouter(
    prefix="/api/v1/rate", tags=["ratings"], responses=ERRORS, route_class=PatientRoute
)

Rater = Annotated[str, Query(description="Who asks: a name that the rater chose.")]


@router.get("")
def studies(site: TheSite) -> schema.Studies:
    """All studies of blind ratings.

    \f
    For example /api/v1/rate
    """
    return schema.Studies(
        studies=[schema.StudySummary.model_validate(view) for view in site.store.ratings.studies()]
    )


@router.post("")
def create(question: schema.StudyQuestion, site: TheSite) -> schema.StudySummary:
    """Draw features of some dictionaries, to be rated blind.

    \f
    For example /api/v1/rate
    with {"dictionaries": ["demo/mlp-4096", "demo/mlp-neurons"], "features": 20}
    """
    return schema.StudySummary.model_validate(make_study(site.store, **question.model_dump()))


@router.get("/{study}")
def study(study: str, site: TheSite, rater: Rater = "") -> schema.StudyAnswer:
    """A study with its items in a rater's order, and how far everybody is.

    \f
    For example /api/v1/rate/0123?rater=Ada
    """
    page = study_page(site, study, rater, everybody=True)
    return schema.StudyAnswer.model_validate(
        {
            **answers.fields_of(page.view, schema.StudySummary),
            "rater": rater,
            "items": [
                schema.ItemState(id=item.id, rating=answers.rating(page.own.get(item.id)))
                for item in page.order
            ],
            "raters": [schema.RaterAnswer.model_validate(one) for one in page.raters],
        }
    )


@router.delete("/{study}", status_code=204)
def put_away(study: str, site: TheSite) -> Response:
    """Put a study away; nothing in it is lost.

    \f
    For example /api/v1/rate/0123
    """
    site.store.ratings.put_away(study)
    return Response(status_code=204)


@router.post("/{study}/restore")
def restore(study: str, site: TheSite) -> schema.StudySummary:
    """Take a study up again.

    \f
    For example /api/v1/rate/0123/restore
    """
    return schema.StudySummary.model_validate(site.store.ratings.put_away(study, withdrawn=False))


@router.get("/{study}/items/{item}")
def item(study: str, item: str, site: TheSite, rater: Rater = "") -> schema.ItemAnswer:
    """What a rater sees of a feature; nothing tells whose it is.

    \f
    For example /api/v1/rate/0123/items/4567?rater=Ada
    """
    page = study_page(site, study, rater)
    own = find_item(page, item)
    shown = site.store.ratings.feature(page.view, own)
    sheet = text = None
    if shown is not None and shown.record.groups:
        sheet = blind_sheet(shown.record, shown.windows, page.view.every_mark)
        text = site.typeset(shown.dictionary).real
    return answers.blind_item(own, sheet, text, page.own.get(item))


@router.post("/{study}/items/{item}")
def rate(
    study: str, item: str, question: schema.RatingQuestion, site: TheSite
) -> schema.KeptRatingAnswer:
    """Rate an item, or skip it. The newest rating counts, all are kept.

    \f
    For example /api/v1/rate/0123/items/4567
    with {"rater": "Ada", "scores": {"confidence": 3, "activations": 5, "logits": 2,
    "specificity": 1}}
    """
    given = question.scores
    scores = None if given is None else RubricScores(**given.model_dump())
    new = NewRating(question.rater, scores, question.interpretation, question.kind)
    kept = site.store.ratings.keep(study, item, new, question.seen)
    return schema.KeptRatingAnswer.model_validate(
        {"rating": answers.rating(kept.rating), "over": answers.rating(kept.over)}
    )


@router.post("/{study}/unblind")
def unblind(study: str, question: schema.RaterQuestion, site: TheSite) -> schema.Unblinded:
    """Say that a rater is to see the results: what the rater says from then on is not blind.

    \f
    For example /api/v1/rate/0123/unblind
    with {"rater": "Ada"}
    """
    since = site.store.ratings.unblind(study, question.rater)
    return schema.Unblinded(rater=question.rater, since=since)


@router.get("/{study}/results")
def results(study: str, site: TheSite, rater: Rater = "") -> schema.StudyResultsAnswer:
    """What the blind ratings say, for who asked for it with `unblind`.

    \f
    For example /api/v1/rate/0123/results?rater=Ada
    """
    _check_unblinded(site, study, rater)
    return answers.results(study_results(site.store, site.store.ratings.study(study)))


@router.get("/{study}/ratings.csv", response_class=Response)
def ratings(study: str, site: TheSite, rater: Rater = "") -> Any:
    """Every rating that was ever given, as a CSV file, for who asked for it with `unblind`.

    \f
    For example /api/v1/rate/0123/ratings.csv?rater=Ada
    """
    _check_unblinded(site, study, rater)
    store = site.store.ratings
    text = as_csv(store.study(study), store.items(study), store.all_of(study))
    return Response(text.encode("utf-8", "replace"), media_type="text/csv; charset=utf-8")


def _check_unblinded(site: Site, study: str, rater: str) -> None:
    site.store.ratings.study(study)
    if not rater or site.store.ratings.unblinded(study, rater) is None:
        raise InvalidRequest(
            "Results tell which item is which, so that ratings given afterwards are not blind: "
            f"POST your name to /api/v1/rate/{study}/unblind first, then name it with `rater`.",
            "rater",
        )
