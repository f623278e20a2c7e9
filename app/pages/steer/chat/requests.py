"""From what is asked of a conversation to the worker's request, with what the store knows of it."""

from __future__ import annotations

from dataclasses import dataclass

from app.pages.steer import requests as steering
from app.pages.steer.chat import schema as types
from app.pages.steer.chat.conversations import conversation_of, format_of
from app.pages.steer.chat.reading import Trait, trait_of
from app.pages.steer.guarding import guarded
from app.store.types.catalogue import DictionaryView
from app.web.model import AddressedModel
from app.web.site import Site
from app.worker.client.references import check_alike, dictionary_ref, model_ref
from app.worker.protocol.chats import (
    PLAIN_TEMPLATE,
    ChatRequest,
    ChatTurn,
    TraitMember,
    WatchedTrait,
)
from app.worker.protocol.requests import Sampling
from sae_core.language_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class ChatTask:
    """A request for the worker, and what its answers are about.

    Attributes:
        request: with the edits that are on.
        watched: the dictionary whose features the answers name.
    """

    request: ChatRequest
    watched: DictionaryView


def chat(site: Site, model: AddressedModel, question: types.ChatQuestion) -> ChatTask:
    """The worker's request for two answers.

    Raises:
        NotFound: there is no such dictionary, list or monitor.
        InvalidRequest: there is no such feature, a monitor does not fit, or the template cannot
            take the turns.
    """
    watched = model.dictionary(question.dictionary) if question.dictionary else model.leading
    vocabulary = site.store.vocabulary(watched.model_id)
    conversation_of(watched, vocabulary, question.turns, answering=True)  # or a sentence
    steered = [model.dictionary(edit.dictionary) for edit in question.edits if edit.on]
    guard = guarded(model, question.monitors, question.gate, ())
    check_alike([*steered, watched, *guard.read], "edits")
    rows = steering.rows_of(model, question.edits)
    traits = [trait_of(model, name, watched) for name in dict.fromkeys(question.traits)]
    request = ChatRequest(
        model=model_ref(watched),
        turns=_turns(question),
        template=_template(watched, vocabulary),
        edits=tuple(
            steering.edit_of(edit, model, row)
            for edit, row in zip(question.edits, rows, strict=True)
            if edit.on
        ),
        scope=question.scope,
        n_tokens=question.n_tokens,
        sampling=Sampling.model_validate(question, from_attributes=True),
        watch=(dictionary_ref(watched),),
        traits=tuple(_watched(model, trait) for trait in traits if trait.features),
        monitors=guard.monitors,
        gate=question.gate,
        alone=question.alone,
    )
    return ChatTask(request, watched)


def cue_answer(site: Site, model: AddressedModel, question: types.CueAnswerQuestion) -> ChatRequest:
    """The worker's request for one unsteered answer, and a feature's activations on it.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature, or the template cannot take the turns.
    """
    view = model.dictionary(question.dictionary)
    model.row(view, question.feature, "feature")
    vocabulary = site.store.vocabulary(view.model_id)
    conversation_of(view, vocabulary, question.turns, answering=True)  # or a sentence
    member = TraitMember(dictionary=dictionary_ref(view), feature=question.feature)
    return ChatRequest(
        model=model_ref(view),
        turns=_turns(question),
        template=_template(view, vocabulary),
        n_tokens=question.n_tokens,
        sampling=Sampling(temperature=0.0),
        alone=True,
        traits=(WatchedTrait(name=str(question.feature), members=(member,)),),
    )


def _turns(question: types.Conversing) -> tuple[ChatTurn, ...]:
    return tuple(ChatTurn(role=turn.role, content=turn.content) for turn in question.turns)


def _template(view: DictionaryView, vocabulary: Vocabulary) -> str | None:
    return None if format_of(view, vocabulary).template.is_own else PLAIN_TEMPLATE


def _watched(model: AddressedModel, trait: Trait) -> WatchedTrait:
    """The trait as the worker sums it: the mean over its features of activation by maximum."""
    return WatchedTrait(
        name=trait.view.name,
        members=tuple(
            TraitMember(
                dictionary=dictionary_ref(model.dictionary(dictionary)),
                feature=index,
                weight=1 / (maximum * len(trait.features)),
            )
            for dictionary, index, maximum in trait.features
        ),
    )
