"""The job behind the chat page and the OpenAI-compatible endpoint: watched answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.errors import InvalidRequest
from app.worker.process.jobs.levels import level_readers
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.chats import (
    PLAIN_TEMPLATE,
    ChatBegan,
    ChatEnd,
    ChatEnded,
    ChatPane,
    ChatRead,
    ChatRequest,
    ChatScope,
    ChatStep,
    LikelyToken,
)
from app.worker.protocol.events import Event, Progress
from app.worker.protocol.monitors import ChatAlarm, ChatJudged
from app.worker.protocol.requests import DictionaryRef, SteerEdit

if TYPE_CHECKING:
    from sae_core.audit.monitors.guard import GuardedStep, GuardPlan
    from sae_core.dictionaries.dictionary import Dictionary
    from sae_core.interventions.answers import AnswerPart, Watched
    from sae_core.interventions.steering import FeatureEdit, Steering
    from sae_core.language_model.model import LanguageModel
    from sae_core.text.chat.conversation import Conversation


def answer_chat(request: ChatRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Answer a conversation; a step is a piece of it, a token of each answer, or loading.

    For example /chat
    with a ChatRequest
    """
    import torch

    from sae_core.audit.monitors.guard import guarded_answers
    from sae_core.interventions.answers import AnswerPlan, answers
    from sae_core.interventions.next_token import TokenSampling
    from sae_core.interventions.steered_run import SteeredRun

    # Load the model and every dictionary that is written or read.
    refs = [edit.dictionary for edit in (*request.edits, *request.gate_edits)]
    refs += [*request.watch, *(monitor.dictionary for monitor in request.monitors)]
    refs += [member.dictionary for trait in request.traits for member in trait.members]
    dictionaries = yield from shelf.dictionaries(request.model, refs)
    model = shelf.model(request.model)
    # Write the conversation, and see what room it leaves.
    heard = _heard(request, model)
    room = model.n_ctx - len(heard.whole)
    if room < 1:
        raise InvalidRequest(
            f"The conversation has {len(heard.whole)} tokens, but {model.name} takes "
            f"{model.n_ctx} with the answer: leave turns out, or shorten them.",
            "turns",
        )
    yield _began(heard, model)
    asked = AnswerPlan(
        n_tokens=min(request.n_tokens, room),
        sampling=TokenSampling(**request.sampling.model_dump()),
        stops=(*heard.stops, *request.stop),
        ends=heard.ends,
        alternatives=request.alternatives,
    )
    # Answer it.
    run = SteeredRun(_steering(request, model, dictionaries, heard.whole))
    panes = (ChatPane.STEERED,) if request.alone else tuple(ChatPane)
    clock = _Clock()
    watched = _watched(request, dictionaries)
    if request.monitors:
        plan = _guard(request, model, dictionaries)
        guarded = guarded_answers(run, heard.whole, asked, watched, plan)
        for watched_step in guarded:
            if not watched_step:
                yield Progress(done=0, total=asked.n_tokens)
            for each in watched_step:
                yield from _guarded_events(each, panes, model, clock, request.refusal)
        return
    for step in answers(run, torch.from_numpy(heard.whole.tokens), asked, watched):
        if not step:
            yield Progress(done=0, total=asked.n_tokens)
        for one in step:
            yield from _events(one, panes, model, clock)


class _Heard(NamedTuple):
    """A conversation and what ends an answer to it.

    Attributes:
        whole: its tokens.
        ends: tokens that end an answer.
        stops: texts that do.
        own_template: whether the template is the model's own.
    """

    whole: Conversation
    ends: frozenset[int]
    stops: tuple[str, ...]
    own_template: bool


def _heard(request: ChatRequest, model: LanguageModel) -> _Heard:
    from sae_core.text.chat.conversation import converse, end_of_turn, plain_text
    from sae_core.text.chat.template import ChatTemplate
    from sae_core.text.chat.turns import Turn

    if (request.prompt is None) == (not request.turns):
        raise InvalidRequest("Give either the turns of a conversation or a prompt.", "turns")
    if request.prompt is not None:
        from sae_core.interventions.prompt import prompt_tokens

        tokens = prompt_tokens(model, request.prompt)
        whole = plain_text(tokens.numpy(), model.vocabulary.special)
        return _Heard(whole, frozenset(), (), own_template=False)
    template = (
        ChatTemplate.plain()
        if request.template == PLAIN_TEMPLATE
        else ChatTemplate.of(Path(model.path), request.template)
    )
    turns = [Turn(turn.role, turn.content) for turn in request.turns]
    whole = converse(template, model.tokenizer, turns, bos=model.vocabulary.bos)
    end = end_of_turn(template, model.tokenizer)
    ends = frozenset() if end is None else frozenset({end})
    return _Heard(whole, ends, template.stops, template.is_own)


def _steering(
    request: ChatRequest,
    model: LanguageModel,
    dictionaries: Mapping[DictionaryRef, Dictionary],
    whole: Conversation,
) -> Steering:
    from sae_core.interventions.steering import Steering

    edits = _edits(request.edits, dictionaries)
    begin = len(whole) - 1 if request.scope is ChatScope.ANSWER else 0
    spared: frozenset[int] = frozenset()
    if request.scope is ChatScope.CONTENTS:
        spared = frozenset((~whole.is_content).nonzero()[0].tolist())
    rows = [edits] if request.alone else [[], edits]
    return Steering(model, rows, begin, spared)


def _edits(
    asked: Sequence[SteerEdit], dictionaries: Mapping[DictionaryRef, Dictionary]
) -> list[FeatureEdit]:
    from sae_core.interventions.steering import FeatureEdit, Mode

    return [
        FeatureEdit(
            dictionaries[edit.dictionary],
            edit.feature,
            Mode(edit.mode),
            edit.strength,
            edit.maximum,
        )
        for edit in asked
    ]


def _guard(
    request: ChatRequest,
    model: LanguageModel,
    dictionaries: Mapping[DictionaryRef, Dictionary],
) -> GuardPlan:
    from sae_core.audit.monitors.guard import AlarmGate, GuardPlan

    return GuardPlan(
        readers=level_readers(model, dictionaries, request.monitors),
        thresholds=tuple(monitor.threshold for monitor in request.monitors),
        gate=AlarmGate(request.gate),
        edits=tuple(_edits(request.gate_edits, dictionaries)),
    )


def _watched(request: ChatRequest, dictionaries: Mapping[DictionaryRef, Dictionary]) -> Watched:
    from sae_core.interventions.answers import TraitLevel, Watched
    from sae_core.interventions.prompt import check_feature

    traits = []
    for trait in request.traits:
        members = [(dictionaries[m.dictionary], m.feature, m.weight) for m in trait.members]
        for dictionary, feature, _ in members:
            check_feature(dictionary, feature)
        traits.append(TraitLevel(tuple(members)))
    return Watched(tuple(dictionaries[ref] for ref in request.watch), tuple(traits))


class _Clock:
    """Counts the tokens of all answers, and the time since the first."""

    def __init__(self) -> None:
        self._began = 0.0
        self._n = 0

    def count(self) -> None:
        """One more token."""
        self._began = self._began or time.monotonic()
        self._n += 1

    @property
    def rate(self) -> float:
        """Tokens a second; 0 before there are two."""
        seconds = time.monotonic() - self._began
        return (self._n - 1) / seconds if self._n > 1 and seconds > 0 else 0.0


def _began(heard: _Heard, model: LanguageModel) -> ChatBegan:
    whole = heard.whole
    return ChatBegan(
        tokens=pack_int32(whole.tokens),
        turn=pack_int32(whole.turn),
        part=whole.part.tobytes(),
        strings=tuple(_string(model, token) for token in whole.tokens.tolist()),
        bos_added=whole.bos_added,
        n_marks=whole.n_marks,
        own_template=heard.own_template,
    )


def _guarded_events(
    each: GuardedStep,
    panes: tuple[ChatPane, ...],
    model: LanguageModel,
    clock: _Clock,
    refusal: str,
) -> Iterator[Event]:
    from sae_core.audit.monitors.guard import JudgedTurn, RaisedAlarm, RefusedAnswer

    pane = panes[each.row]
    if isinstance(each, RaisedAlarm):
        yield ChatAlarm(
            pane=pane.value,
            monitor=each.monitor,
            turn=each.turn,
            position=each.position,
            string=_string(model, each.token),
            level=each.level,
        )
    elif isinstance(each, JudgedTurn):
        yield ChatJudged(
            pane=pane.value,
            turn=each.turn,
            levels=each.levels,
            positions=pack_int32(np.array(each.positions)),
            tokens=pack_float32(each.tokens),
        )
    elif isinstance(each, RefusedAnswer):
        yield ChatEnded(
            pane=pane,
            why=ChatEnd.REFUSED,
            text=refusal,
            n_tokens=each.n_tokens,
            tokens_per_second=clock.rate,
        )
    else:
        yield from _events(each, panes, model, clock)


def _events(
    each: AnswerPart,
    panes: tuple[ChatPane, ...],
    model: LanguageModel,
    clock: _Clock,
) -> Iterator[Event]:
    from sae_core.interventions.answers import TokensMonitored, TokensWatched

    if isinstance(each, TokensMonitored):  # the guard has heard it
        return
    pane = panes[each.row]
    if isinstance(each, TokensWatched):
        yield ChatRead(
            pane=pane,
            position=each.position,
            n=each.levels.shape[1],
            levels=pack_float32(each.levels),
            features=tuple(map(pack_int32, each.features)),
            activations=tuple(map(pack_float32, each.activations)),
        )
        return
    clock.count()
    ended = each.end is not None and each.end.value == ChatEnd.TOKEN
    yield ChatStep(
        pane=pane,
        step=each.step,
        token=each.token,
        string="" if ended else _string(model, each.token),
        log_probability=each.log_probability,
        alternatives=tuple(
            LikelyToken(token=token, string=_string(model, token), log_probability=log_p)
            for token, log_p in each.alternatives
        ),
        text=each.text,
    )
    if each.end is not None:
        yield ChatEnded(
            pane=pane,
            why=ChatEnd(each.end.value),
            text=each.text,
            n_tokens=each.step + 1,
            tokens_per_second=clock.rate,
        )


def _string(model: LanguageModel, token: int) -> str:
    return model.vocabulary.pieces[token].decode("utf-8", "replace")
