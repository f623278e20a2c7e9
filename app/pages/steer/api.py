"""Steering as JSON: streams of server-sent events, and presets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app.pages.steer import requests as steering
from app.pages.steer import schema as types
from app.pages.steer.answers import DoseSpeech, SteerSpeech
from app.pages.steer.questions import DoseQuestion, SteerQuestion
from app.pages.steer.state import SteerState
from app.store.types.catalogue import PresetView
from app.web.live.stream import LiveStream
from app.web.model import TheModel, addressed
from app.web.routes import PatientRoute
from app.web.schema import ERRORS, Problem
from app.web.site import TheSite

router = APIRouter(
    prefix="/api/v1/m/{model}", tags=["steering"], responses=ERRORS, route_class=PatientRoute
)

_STEER_EXAMPLE = """\
event: began
data: {"event":"began","tokens":[0,297],"text":["<|endoftext|>","def"]}

event: token
data: {"event":"token","pane":"steered","step":0,"token":31,"probability":0.25,"text":" f","shown":null,"end":false}

event: done
data: {"event":"done"}
"""  # noqa: E501
_DOSE_EXAMPLE = """\
event: dose
data: {"event":"dose","strength":4.0,"kl":0.31,"perplexity":17.5,"activation":29.7,"probabilities":[0.2],"distinct":0.97,"text":" self","shown":" self"}

event: done
data: {"event":"done"}
"""  # noqa: E501


def _stream(model: Any, description: str, example: str) -> dict[int | str, dict[str, Any]]:
    content = {LiveStream.media_type: {"example": example}}
    return {200: {"model": model, "description": description, "content": content}}


@router.post(
    "/steer",
    status_code=200,
    response_class=LiveStream,
    responses=_stream(
        types.SteerAnswer,
        "Server-sent events: one `began`, a `token` for each text and step, then `traits` for each "
        "text and `side_effects`; the last is `done` or `failed`. Closing the connection ends the "
        "work.",
        _STEER_EXAMPLE,
    ),
)
def steer(model: TheModel, question: SteerQuestion, site: TheSite) -> Response:
    """Continue a prompt twice, unsteered and steered, in one batch and from the same seed.

    \f
    For example /api/v1/m/demo/steer
    with {"prompt": "def f", "edits":
    [{"dictionary": "mlp-4096", "feature": 12, "strength": 4}]}
    """
    asked = steering.steer(model, question)
    return LiveStream(site.live.ask(asked.request), SteerSpeech(model, asked).say)


@router.post(
    "/dose",
    status_code=200,
    response_class=LiveStream,
    responses=_stream(
        types.DoseAnswer,
        "Server-sent events: one `dose_base`, then a `dose` for each strength; the last is `done` "
        "or `failed`.",
        _DOSE_EXAMPLE,
    ),
)
def dose(model: TheModel, question: DoseQuestion, site: TheSite) -> Response:
    """How hard to push: what each strength of one feature does to the text.

    \f
    For example /api/v1/m/demo/dose
    with {"prompt": "def f",
    "dictionary": "mlp-4096", "feature": 12}
    """
    asked = steering.dose(model, question)
    return LiveStream(site.live.ask(asked.request), DoseSpeech(model.typeset, asked).say)


@router.get("/presets")
def presets(model: TheModel) -> types.Presets:
    """The named settings of a model's steering page.

    \f
    For example /api/v1/m/demo/presets
    """
    views = model.store.presets(model.name)
    return types.Presets(presets=[_preset(model.name, view) for view in views])


@router.post(
    "/presets",
    responses={409: {"model": Problem, "description": "Another preset has that name."}},
)
def save(model: TheModel, question: types.PresetQuestion) -> types.Preset:
    """Keep a setting under a name. Another preset of that name gives way only with `replace`.

    \f
    For example /api/v1/m/demo/presets
    with {"name": "more docstrings",
    "settings": {"prompt": "def f"}}
    """
    steering.steer(model, question.settings)
    settings = question.settings.model_dump(mode="json")
    name = question.name.strip()
    model.store.save_preset(model.name, name, settings, question.replace)
    return _preset(model.name, PresetView(name, settings))


@router.delete(
    "/presets/{name:anything}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(addressed)],
)
def remove(model: str, name: str, site: TheSite) -> None:
    """Forget a preset.

    \f
    For example /api/v1/m/demo/presets/more%20docstrings
    """
    site.store.delete_preset(model, name)


def _preset(model: str, view: PresetView) -> types.Preset:
    settings = SteerQuestion.model_validate(view.settings)
    return types.Preset(
        name=view.name, settings=settings, address=SteerState.of(settings).address(model)
    )
