"""A comment's example, looked up by the names that addresses give it."""

from __future__ import annotations

from app.errors import NotFound
from app.rendering.contexts import unpack
from app.rendering.labels import context_key
from app.rendering.tokens import printable
from app.store.types.annotations import CommentView, ContextKey
from app.store.types.catalogue import DictionaryView
from app.web.site import Site


def comment(
    site: Site,
    dictionary: DictionaryView,
    index: int,
    text: str,
    author: str,
    group: str = "",
    number: int = 0,
) -> CommentView:
    """Keep a comment on a feature, or, with a group, on one of its examples.

    Raises:
        InvalidRequest: the text is empty or too long.
        NotFound: there is no such feature or example.
    """
    key, quote = _example(site, dictionary, index, group, number) if group else (None, "")
    return site.store.comments.add(dictionary, index, text, author, key, quote)


def _example(
    site: Site, dictionary: DictionaryView, index: int, group: str, number: int
) -> tuple[ContextKey | None, str]:
    view = site.store.feature(dictionary, index)
    for own in view.record.groups:
        if own.key == group:
            contexts = unpack(own, view.windows, site.typeset(view.dictionary))
            if 0 <= number < len(contexts):
                context = contexts[number]
                key = context_key(view.dictionary, context.window.number)
                return key, printable(context.source)[:400]
    raise NotFound(f"Feature {index} has no context {number} in a group {group!r:.40}.")
