"""Conversations as JSON: answers as streams, readings, cues, and files checked."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.pages.steer.chat import requests
from app.pages.steer.chat import schema as types
from app.pages.steer.chat.answers import ChatSpeech, cue_answer_start
from app.pages.steer.chat.conversations import conversation_of, format_of
from app.pages.steer.chat.cue import CueStudy
from app.pages.steer.chat.lines import read_lines, written_lines
from app.pages.steer.chat.reading import read
from app.web.live.stream import LiveStream
from app.web.model import TheModel
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import TheSite
from app.worker.alarms.hearing import AlarmEar
from app.worker.client.chats import chat as asking

router = APIRouter(
    prefix="/api/v1/m/{model}/chat",
    tags=["conversations"],
    responses=ERRORS,
    route_class=PatientRoute,
)

_EXAMPLE = """\
event: began
data: {"event":"began","tokens":[1,9690],"text":["<|im_start|>","user"]}

event: token
data: {"event":"token","pane":"steered","step":0,"token":31,"probability":0.25,"text":"The","shown":null,"end":false}

event: done
data: {"event":"done"}
"""  # noqa: E501


@router.post(
    "",
    status_code=200,
    response_class=LiveStream,
    responses={
        200: {
            "model": types.ChatAnswer,
            "description": "Server-sent events: one `began` with the conversation's tokens, a "
            "`token` for each answer and step, an `alarm` for each monitor that raises one, an "
            "`answer` where one is complete; the last is "
            "`done` or `failed`. Closing the connection ends the work.",
            "content": {LiveStream.media_type: {"example": _EXAMPLE}},
        }
    },
)
def chat(model: TheModel, question: types.ChatQuestion, site: TheSite) -> Response:
    """Answer a conversation twice, unsteered and steered, in one batch and from the same seed.

    \f
    For example /api/v1/m/demo/chat
    with {"turns": [{"role": "user", "content": "Hello"}]}
    """
    asked = requests.chat(site, model, question)
    speech = ChatSpeech(model, asked, AlarmEar(site.alarms, asked.request, "chat"))
    return LiveStream(asking(site.live, asked.request), speech.say)


@router.post("/reading")
def reading(
    model: TheModel, question: types.ReadingQuestion, site: TheSite
) -> types.ConversationReading:
    """A conversation token by token: the template's share, what fires, and traits.

    \f
    For example /api/v1/m/demo/chat/reading
    with {"turns": [{"role": "user", "content": "Hello"}]}
    """
    # As the dictionary reads texts, with BOS before them or without: answers are begun the same.
    view = model.dictionary(question.dictionary) if question.dictionary else model.leading
    vocabulary = site.store.vocabulary(view.model_id)
    template = format_of(view, vocabulary).template
    said = conversation_of(view, vocabulary, question.turns, question.answering)
    whose: types.TemplateName = "model" if template.is_own else "plain"
    return read(model, site.prompts, said, whose, question)


@router.post("/cue")
def cue(model: TheModel, question: types.CueQuestion, site: TheSite) -> types.CueAnswer:
    """Which words make a feature fire, and what rewording silences it.

    \f
    For example /api/v1/m/demo/chat/cue
    with {"turns": [{"role": "user", "content": "Hello"}], "dictionary": "mlp-4096", "feature": 12}
    """
    return CueStudy(site, model, question).answer()


@router.post("/cue/answer")
async def cue_answer(
    model: TheModel, question: types.CueAnswerQuestion, site: TheSite
) -> types.CueAnswerStart:
    """How the unsteered model begins to answer, and how strongly a feature fires meanwhile.

    \f
    For example /api/v1/m/demo/chat/cue/answer
    with {"turns": [{"role": "user", "content": "Hello"}], "dictionary": "mlp-4096", "feature": 12}
    """
    request = await run_in_threadpool(requests.cue_answer, site, model, question)
    return await cue_answer_start(site.live, request)


@router.post("/lines")
def lines(model: TheModel, question: types.LinesQuestion) -> types.Conversed:
    """A conversation in JSON lines, checked; a turn the model's template lacks is refused later.

    \f
    For example /api/v1/m/demo/chat/lines
    with {"lines": "{\\"role\\": \\"user\\", \\"content\\": \\"Hello\\"}"}
    """
    del model  # it is there: an address of another is refused
    turns = read_lines(question.lines)
    return types.Conversed(turns=[*turns], lines=written_lines(turns))
