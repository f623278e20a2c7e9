"""Prompts as JSON: what fires, what is responsible, why it fires."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.prompt import answers
from app.pages.prompt import schema as types
from app.pages.prompt.active_features import active_features
from app.pages.prompt.session import Target, attribute_request, target_at
from app.pages.prompt.tokens import token_of
from app.rendering.tokens import Typeset
from app.store.types.catalogue import DictionaryView
from app.web import answers as web_answers
from app.web.live.stream import LiveEvent, LiveStream
from app.web.model import dictionaries_of, dictionary_of, unknown
from app.web.schema import ERRORS, floats
from app.web.site import Site, TheSite
from app.worker.client.faults import STRANGE
from app.worker.client.readings import Reading, column
from app.worker.protocol import events
from app.worker.protocol.events import Progress, Result

_EXAMPLE = """\
event: estimated
data: {"event":"estimated","position":3,"target":{"id":297,"text":" self"},"log_probability":-0.41,"features":[12,1733],"loss_change":[0.02,0.61]}

event: attributed
data: {"event":"attributed","features":[12,1733],"loss_change":[0.018,0.742]}

event: done
data: {"event":"done"}
"""  # noqa: E501


class Model:
    """The dictionaries of a model, and its tokens."""

    def __init__(self, model: str, site: TheSite) -> None:
        self.site: Site = site
        self.dictionaries = dictionaries_of(site.store, model)
        self.view = next(iter(self.dictionaries.values()))
        self.typeset: Typeset = site.typeset(self.view)

    def feature(self, dictionary: str, *indices: int) -> DictionaryView:
        """The dictionary of features that exist.

        Raises:
            NotFound: there is no such dictionary.
            InvalidRequest: it has no such feature.
        """
        view = dictionary_of(self.dictionaries, dictionary)
        for index in indices:
            if index >= view.d_sae:
                raise unknown(view, index)
        return view

    def read(self, prompt: str | tuple[int, ...], *views: DictionaryView) -> Reading:
        """A prompt, with some of the dictionaries."""
        return self.site.prompts.read(self.view, prompt, views)

    def target(self, reading: Reading, question: types.PredictionQuestion) -> Target:
        """The prediction in question."""
        vocabulary = self.typeset.vocabulary
        return target_at(reading, vocabulary, question.position, question.target)


TheModel = Annotated[Model, Depends()]
router = APIRouter(prefix="/api/v1/m/{model}", tags=["prompts"], responses=ERRORS)


@router.post("/activations")
def activations(question: types.ActivationsQuestion, of: TheModel) -> types.Activations:
    """All features that fire on a prompt."""
    names = list(of.dictionaries) if question.dictionaries is None else question.dictionaries
    views = [dictionary_of(of.dictionaries, name) for name in dict.fromkeys(names)]
    views = views[: types.MOST_DICTIONARIES]
    reading, store = of.read(question.prompt, *views), of.site.store
    return types.Activations(
        model=of.view.model,
        model_checksum=of.view.model_checksum,
        tokens=answers.prompt_tokens(reading, of.typeset),
        next=answers.expected(reading, of.typeset, len(reading)),
        dictionaries=[
            answers.dictionary(
                store, view, active_features([view.name], [fired], [store.scales(view)]), of.typeset
            )
            for view, fired in zip(views, reading.firings, strict=True)
        ],
    )


@router.post("/ablation")
def ablation(question: types.AblationQuestion, of: TheModel) -> types.Ablation:
    """What removing a feature does to the prediction of each token."""
    view = of.feature(question.dictionary, question.feature)
    reading = of.read(question.prompt)
    (effect,) = of.site.prompts.ablate(view, question.feature, [reading.ids])
    return types.Ablation(
        model=view.model,
        dictionary=view.name,
        feature=question.feature,
        tokens=answers.tokens(reading, of.typeset),
        effect=web_answers.effect(effect, of.typeset),
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
def attribution(question: types.AttributionQuestion, of: TheModel) -> Response:
    """Which features are responsible for a prediction, each ablated alone."""
    view = of.feature(question.dictionary, *(question.features or ()))
    reading = of.read(question.prompt)
    target = of.target(reading, question)
    request = attribute_request(view, reading.ids, target, question.features)
    return LiveStream(of.site.live.ask(request), lambda event: _say(event, target, of.typeset))


@router.post("/together")
def together(question: types.TogetherQuestion, of: TheModel) -> types.Together:
    """What ablating several features at once does to a prediction, beside each alone."""
    view = of.feature(question.dictionary, *question.features)
    reading = of.read(question.prompt)
    target = of.target(reading, question)
    features = sorted(set(question.features))
    change = of.site.prompts.together(view, reading.ids, target.position, target.token, features)
    alone = of.site.prompts.attribution(attribute_request(view, reading.ids, target, features))
    singles = [alone.of(index)[1] for index in features]
    return types.Together(
        position=target.position,
        target=answers.token(of.typeset, target.token),
        features=features,
        loss_change=change,
        singles=[0.0 if one != one else one for one in singles],
    )


@router.post("/occlusion")
def occlusion(question: types.OcclusionQuestion, of: TheModel) -> types.Occlusion:
    """How a feature's activation changes when each token is left out or replaced."""
    view = of.feature(question.dictionary, question.feature)
    reading = of.read(question.prompt)
    if question.position is not None and question.position >= len(reading):
        raise InvalidRequest(
            f"There is no token {question.position}: the prompt has {len(reading)}, from 0."
        )
    put = question.replacement
    replacement = None if put is None else token_of(of.typeset.vocabulary, put)
    found = of.site.prompts.occlude(
        view, question.feature, reading.ids, question.position, replacement
    )
    return types.Occlusion(
        model=view.model,
        dictionary=view.name,
        feature=question.feature,
        position=found.position,
        activation=found.activation,
        replacement=None if replacement is None else answers.token(of.typeset, replacement),
        tokens=answers.missing(found, reading, of.typeset),
    )


def _say(event: Result | Progress, target: Target, typeset: Typeset) -> LiveEvent | None:
    """What an event of the worker is to a client."""
    try:
        if isinstance(event, events.Estimated):
            return types.Estimated(
                position=target.position,
                target=answers.token(typeset, target.token),
                log_probability=event.log_probability,
                features=column(event.features, "<i4").tolist(),
                loss_change=floats(column(event.loss_change, "<f4")),
            )
        if isinstance(event, events.Attributed):
            return types.Attributed(
                features=column(event.features, "<i4").tolist(),
                loss_change=floats(column(event.loss_change, "<f4")),
            )
    except ValueError as error:
        raise WorkerUnavailable(STRANGE) from error
    return None
