"""From a completion that is asked for to the worker's request, with what the store knows."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.pages.steer.chat.reading import trait_of
from app.pages.steer.guarding import guarded
from app.pages.steer.openai.bodies import ChatBody, CompletionBody, NamedTrait, TextBody
from app.pages.steer.requests import edit_of, rows_of
from app.web.model import AddressedModel
from app.worker.client.references import check_alike, dictionary_ref, model_ref
from app.worker.protocol.chats import (
    MOST_ANSWERED,
    PLAIN_TEMPLATE,
    ChatRequest,
    ChatTurn,
    TraitMember,
    WatchedTrait,
)
from app.worker.protocol.requests import Sampling
from sae_core.errors import ChatError
from sae_core.text.chat.template import templates_in

_ROLES = {"developer": "system"}
_NOT_TAKEN = frozenset({"tool", "function"})


@dataclass(frozen=True)
class CompletionTask:
    """A request for the worker, and how its answer is told.

    Attributes:
        request: for the worker.
        model: its name.
        is_chat: whether it is a chat completion.
        logprobs: whether log-probabilities are told.
        usage: whether a stream ends with the numbers of tokens.
        watched: names of the dictionaries whose features are told.
        traits: names of the traits.
        monitors: names of the monitors.
    """

    request: ChatRequest
    model: str
    is_chat: bool
    logprobs: bool
    usage: bool
    watched: tuple[str, ...]
    traits: tuple[str, ...]
    monitors: tuple[str, ...]


def chat_task(model: AddressedModel, body: ChatBody) -> CompletionTask:
    """The worker's request for a chat completion.

    Raises:
        NotFound: there is no such dictionary or list.
        InvalidRequest: there is no such feature, or something is asked for that cannot be.
    """
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true.", "top_logprobs")
    turns = []
    for number, message in enumerate(body.messages):
        if message.role in _NOT_TAKEN:
            raise InvalidRequest(
                f"Messages of the role {message.role!r} are not supported here.",
                f"messages.{number}.role",
            )
        turns.append(ChatTurn(role=_ROLES.get(message.role, message.role), content=message.content))
    template = body.featurescope.template or _template(model)
    asked = {"turns": tuple(turns), "template": template, "alternatives": body.top_logprobs or 0}
    return _task(model, body, bool(body.logprobs), body.n_tokens, asked)


def text_task(model: AddressedModel, body: TextBody) -> CompletionTask:
    """The worker's request for a text completion.

    Raises:
        NotFound: there is no such dictionary or list.
        InvalidRequest: there is no such feature, or no such token.
    """
    prompt, d_vocab = body.prompt, model.facts.d_vocab
    if not isinstance(prompt, str) and not 0 <= min(prompt) <= max(prompt) < d_vocab:
        raise InvalidRequest(f"Token ids of {model.name} go from 0 to {d_vocab - 1}.", "prompt")
    asked = {"prompt": prompt, "alternatives": body.logprobs or 0}
    return _task(model, body, body.logprobs is not None, body.n_tokens, asked)


def _task(
    model: AddressedModel,
    body: CompletionBody,
    logprobs: bool,
    n_tokens: int,
    asked: dict[str, Any],
) -> CompletionTask:
    own = body.featurescope
    edits = tuple(edit for edit in own.edits if edit.on)
    rows = rows_of(model, edits)
    views = [model.dictionary(edit.dictionary) for edit in edits]
    watched = [model.dictionary(name) for name in own.watch]
    traits = tuple(_trait(model, trait) for trait in own.traits)
    guard = guarded(model, own.monitors, own.gate, own.gate_edits)
    check_alike([*views, *watched, *guard.read], "featurescope")
    request = ChatRequest(
        model=model_ref(next(iter([*views, *watched, *guard.read]), model.facts)),
        edits=tuple(edit_of(edit, model, row) for edit, row in zip(edits, rows, strict=True)),
        scope=own.tokens,
        n_tokens=min(n_tokens, MOST_ANSWERED),
        sampling=Sampling(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=own.top_k,
            # Without a seed each answer is another one.
            seed=secrets.randbits(53) if body.seed is None else body.seed % 2**63,
        ),
        stop=tuple(body.stop),
        alone=True,
        watch=tuple(map(dictionary_ref, watched)),
        traits=traits,
        monitors=guard.monitors,
        gate=own.gate,
        gate_edits=guard.edits,
        refusal=own.refusal,
        **asked,
    )
    return CompletionTask(
        request=request,
        model=model.name,
        is_chat=isinstance(body, ChatBody),
        logprobs=logprobs,
        usage=bool(body.stream_options and body.stream_options.include_usage),
        watched=own.watch,
        traits=tuple(trait.name for trait in traits),
        monitors=tuple(monitor.name for monitor in guard.monitors),
    )


def _template(model: AddressedModel) -> str | None:
    try:
        named = templates_in(Path(model.facts.model_path))
    except ChatError as error:
        raise InvalidRequest(str(error), "model") from error
    return None if named else PLAIN_TEMPLATE


def _trait(model: AddressedModel, trait: NamedTrait) -> WatchedTrait:
    members = [(each.dictionary, each.feature, each.weight) for each in trait.features]
    if not members:
        followed = trait_of(model, trait.name, model.facts).features
        members = [(name, index, 1 / (top * len(followed))) for name, index, top in followed]
    if not members:
        raise InvalidRequest(
            f"The list {trait.name!r} has no feature of {model.name} that fires.", "featurescope"
        )
    return WatchedTrait(
        name=trait.name,
        members=tuple(
            TraitMember(
                dictionary=dictionary_ref(model.dictionary(dictionary, feature)),
                feature=feature,
                weight=weight,
            )
            for dictionary, feature, weight in members
        ),
    )
