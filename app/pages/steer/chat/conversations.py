"""The conversations of pages as the tokens that their models read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from app.errors import InvalidRequest
from app.pages.steer.chat.schema import PartName, SaidTurn
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import opens_with_bos, without_model
from sae_core.errors import FeaturescopeError as CoreError
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.text.chat.conversation import Conversation, converse
from sae_core.text.chat.template import ChatTemplate, templates_in
from sae_core.text.chat.turns import TokenPart, Turn

PARTS: dict[int, PartName] = {
    TokenPart.CONTENT: "content",
    TokenPart.TEMPLATE: "template",
    TokenPart.SPECIAL: "special",
}
_KEPT = 4


class ChatFormat(NamedTuple):
    """How a model has conversations: its template and its tokenizer."""

    template: ChatTemplate
    tokenizer: Tokenizer


def conversation_of(
    view: DictionaryView,
    vocabulary: Vocabulary,
    turns: Sequence[SaidTurn],
    answering: bool,
) -> Conversation:
    """The tokens of a conversation.

    Args:
        view: any dictionary of the model.
        vocabulary: the model's.
        turns: who says what.
        answering: whether the head of the next answer stands at the end.

    Raises:
        InvalidRequest: the model's template cannot be used, or refuses these turns.
    """
    format_ = format_of(view, vocabulary)
    try:
        return converse(
            format_.template,
            format_.tokenizer,
            [Turn(turn.role, turn.content) for turn in turns],
            bos=vocabulary.bos if opens_with_bos(view) else None,
            answering=answering,
        )
    except CoreError as error:
        raise InvalidRequest(str(error), "turns") from error


def format_of(view: DictionaryView, vocabulary: Vocabulary) -> ChatFormat:
    """The template and the tokenizer of a dictionary's model; where it has no template, our own.

    Raises:
        InvalidRequest: it was imported without its model, or its files cannot be used.
    """
    if view.is_imported:
        raise InvalidRequest(without_model(view.title))
    try:
        return _format(view.model_path, view.model_checksum, len(vocabulary.pieces))
    except CoreError as error:
        raise InvalidRequest(str(error), "turns") from error


@lru_cache(_KEPT)
def _format(path: str, _checksum: str, d_vocab: int) -> ChatFormat:
    from sae_core.language_model.folder import ModelFolder  # what reads weights, only when asked

    folder = Path(path)
    own = bool(templates_in(folder))
    return ChatFormat(
        ChatTemplate.of(folder) if own else ChatTemplate.plain(),
        ModelFolder(folder, folder.name).tokenizer(d_vocab),
    )
