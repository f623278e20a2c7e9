"""Prompts as JSON: what fires, what is responsible, why it fires."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import Response

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.prompt import answers
from app.pages.prompt import schema as types
from app.pages.prompt.active_features import active_features
from app.pages.prompt.opening import alike
from app.pages.prompt.session import Target, attribute_request, target_at
from app.rendering.tokens import Typeset, printable
from app.store.types.catalogue import DictionaryView
from app.web import answers as web_answers
from app.web.live.stream import LiveEvent, LiveStream
from app.web.model import AddressedModel, TheModel
from app.web.routes import PatientRoute
from app.web.schema import ERRORS, floats
from app.web.search.named_tokens import token_of
from app.web.site import TheSite
from app.worker.client.faults import STRANGE
from app.worker.client.readings import Reading
from app.worker.client.references import check_alike
from app.worker.protocol import events
from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import MOST_DICTIONARIES

_EXAMPLE = """\
event: estimated
data: {"event":"estimated","position":3,"target":{"id":297,"text":" self"},"log_probability":-0.41,"features":[12,1733],"loss_change":[0.02,0.61]}

event: attributed
data: {"event":"attributed","features":[12,1733],"loss_change":[0.018,0.742]}

event: done
data: {"event":"done"}
"""  # noqa: E501


router = APIRouter(
    prefix="/api/v1/m/{model}", tags=["prompts"], responses=ERRORS, route_class=PatientRoute
)


@router.post("/activations")
def activations(
    question: types.ActivationsQuestion, model: TheModel, site: TheSite
) -> types.Activations:
    """All features that fire on a prompt.

    \f
    For example /api/v1/m/demo/activations
    with {"prompt": "def f"}
    """
    if question.dictionaries is None:
        views = list(alike(model.dictionaries, model.facts).values())[:MOST_DICTIONARIES]
    else:
        views = [model.dictionary(name) for name in dict.fromkeys(question.dictionaries)]
        check_alike(views, "dictionaries")
    reader = views[0] if views else model.facts
    reading, store = site.prompts.read(reader, question.prompt, views), model.store
    return types.Activations(
        model=model.name,
        model_checksum=model.facts.model_checksum,
        tokens=answers.prompt_tokens(reading, model.typeset),
        next=answers.expected(reading, model.typeset, len(reading)),
        dictionaries=[
            answers.dictionary(
                store,
                view,
                active_features([view.name], [fired], [store.scales(view)]),
                model.typeset,
            )
            for view, fired in zip(views, reading.firings, strict=True)
        ],
    )


@router.post("/ablation")
def ablation(question: types.AblationQuestion, model: TheModel, site: TheSite) -> types.Ablation:
    """What removing a feature does to the prediction of each token.

    \f
    For example /api/v1/m/demo/ablation
    with {"prompt": "def f", "dictionary": "mlp-4096", "feature": 12}
    """
    view = model.dictionary(question.dictionary, question.feature)
    reading = site.prompts.read(view, question.prompt)
    (effect,) = site.prompts.ablate(view, question.feature, [reading.ids])
    return types.Ablation(
        model=view.model,
        dictionary=view.name,
        feature=question.feature,
        label=_labels(model, view, [question.feature])[0],
        tokens=answers.tokens(reading, model.typeset),
        effect=web_answers.effect(effect, model.typeset),
    )


@router.post(
    "/attribution",
    status_code=200,
    response_class=LiveStream,
    responses={
        200: {
            "model": types.AttributionAnswer,
            "description": "Server-sent events: one `estimated`, then `attributed` after "
            "`attributed` until every feature is exact; the last is `done` or `failed`. Closing "
            "the connection ends the work.",
            "content": {LiveStream.media_type: {"example": _EXAMPLE}},
        }
    },
)
def attribution(question: types.AttributionQuestion, model: TheModel, site: TheSite) -> Response:
    """Which features are responsible for a prediction, each ablated alone.

    \f
    For example /api/v1/m/demo/attribution
    with {"prompt": "def f", "dictionary": "mlp-4096", "position": 1}
    """
    view = model.dictionary(question.dictionary, *(question.features or ()))
    reading = site.prompts.read(view, question.prompt)
    target = _target(question, reading, model.typeset)
    request = attribute_request(view, reading.ids, target, question.features)
    return LiveStream(site.live.ask(request), lambda event: _say(event, target, model.typeset))


@router.post("/together")
def together(
    question: types.TogetherQuestion, model: TheModel, site: TheSite
) -> types.TogetherAnswer:
    """What ablating several features at once does to a prediction, beside each alone.

    \f
    For example /api/v1/m/demo/together
    with {"prompt": "def f", "dictionary": "mlp-4096", "features": [12, 1733]}
    """
    view = model.dictionary(question.dictionary, *question.features)
    reading = site.prompts.read(view, question.prompt)
    target = _target(question, reading, model.typeset)
    features = sorted(set(question.features))
    change = site.prompts.together(view, reading.ids, target.position, target.token, features)
    alone = site.prompts.attribution(attribute_request(view, reading.ids, target, features))
    singles = [alone.of(index)[1] for index in features]
    return types.TogetherAnswer(
        position=target.position,
        target=answers.token(model.typeset, target.token),
        features=features,
        labels=_labels(model, view, features),
        loss_change=change,
        singles=[0.0 if math.isnan(single) else single for single in singles],
    )


@router.post("/occlusion")
def occlusion(
    question: types.OcclusionQuestion, model: TheModel, site: TheSite
) -> types.OcclusionAnswer:
    """How a feature's activation changes when each token is left out or replaced.

    \f
    For example /api/v1/m/demo/occlusion
    with {"prompt": "def f", "dictionary": "mlp-4096", "feature": 12}
    """
    view = model.dictionary(question.dictionary, question.feature)
    reading = site.prompts.read(view, question.prompt)
    if question.position is not None and question.position >= len(reading):
        raise InvalidRequest(
            f"There is no token {question.position}: the prompt has {len(reading)}, from 0."
        )
    put = question.replacement
    replacement = None if put is None else token_of(model.typeset.vocabulary, put)
    occluded = site.prompts.occlude(
        view, question.feature, reading.ids, question.position, replacement
    )
    return types.OcclusionAnswer(
        model=view.model,
        dictionary=view.name,
        feature=question.feature,
        label=_labels(model, view, [question.feature])[0],
        position=occluded.position,
        activation=occluded.activation,
        replacement=None if replacement is None else answers.token(model.typeset, replacement),
        tokens=answers.missing(occluded, reading, model.typeset),
    )


def _labels(model: AddressedModel, view: DictionaryView, indices: Sequence[int]) -> list[str]:
    """What features are called; empty where nobody said."""
    texts = model.store.labels.texts(view, indices)
    return [printable(texts.get(index, "")) for index in indices]


def _target(question: types.PredictionQuestion, reading: Reading, typeset: Typeset) -> Target:
    """The prediction in question."""
    return target_at(reading, typeset.vocabulary, question.position, question.target)


def _say(event: Result | Progress, target: Target, typeset: Typeset) -> LiveEvent | None:
    """What an event of the worker is to a client."""
    try:
        if isinstance(event, events.Estimated):
            return types.EstimatedEvent(
                position=target.position,
                target=answers.token(typeset, target.token),
                log_probability=event.log_probability,
                features=unpack_int32(event.features).tolist(),
                loss_change=floats(unpack_float32(event.loss_change)),
            )
        if isinstance(event, events.Attributed):
            return types.AttributedEvent(
                features=unpack_int32(event.features).tolist(),
                loss_change=floats(unpack_float32(event.loss_change)),
            )
    except ValueError as error:
        raise WorkerUnavailable(STRANGE) from error
    return None
