"""Whether BOS opens a prompt: a dictionary reads texts in the one way that it was harvested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.store.types.catalogue import DictionaryView
from app.worker.client.references import opens_with_bos
from sae_core.language_model.vocabulary import Vocabulary


def alike(
    views: Mapping[str, DictionaryView], leading: DictionaryView
) -> dict[str, DictionaryView]:
    """Those of some dictionaries that read texts as the leading one does."""
    opens = opens_with_bos(leading)
    return {name: view for name, view in views.items() if opens_with_bos(view) == opens}


def opening_sentence(
    vocabulary: Vocabulary, read: Sequence[DictionaryView], others: Sequence[str]
) -> str:
    """How a prompt was read; empty where the model has no token that opens a text.

    Args:
        vocabulary: of the model.
        read: the dictionaries that it was read with, all alike.
        others: names of those that would have it read the other way.
    """
    if vocabulary.bos is None:
        return ""
    name = vocabulary.pieces[vocabulary.bos].decode("utf-8", "replace")
    opens = opens_with_bos(read[0])
    texts = "these dictionaries' texts were" if len(read) > 1 else "this dictionary's text was"
    sentence = f"Read {_with(opens)} {name} before it, as {texts}."
    if others:
        verb, them = ("read", "them") if len(others) > 1 else ("reads", "it")
        sentence += (
            f" {', '.join(others)} {verb} texts {_with(not opens)} it: choose {them} alone to read "
            "it so."
        )
    return sentence


def _with(opens: bool) -> str:
    return "with" if opens else "without"
