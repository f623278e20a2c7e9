"""Groups and contexts of a feature, looked up by the names that addresses give them."""

from __future__ import annotations

from app.errors import NotFound
from app.rendering.contexts import Context, unpack
from app.rendering.templates import noun
from app.rendering.tokens import Typeset
from app.store.types.catalogue import FeatureView
from sae_core.harvest.records import ExampleGroup


def group_named(view: FeatureView, key: str) -> ExampleGroup:
    """The group of that name.

    Raises:
        NotFound: there is none; the message names those that there are.
    """
    for group in view.record.groups:
        if group.key == key:
            return group
    names = ", ".join(group.key for group in view.record.groups)
    known = f"it has {names}" if names else "it never fires and has none"
    title = noun(view.dictionary).capitalize()
    raise NotFound(f"{title} {view.record.index} has no group {key!r}; {known}.")


def contexts_of(view: FeatureView, group: ExampleGroup, typeset: Typeset) -> list[Context]:
    """The contexts of a group, with the tokens of their windows."""
    return unpack(group, view.windows, typeset)


def context_numbered(view: FeatureView, key: str, number: int, typeset: Typeset) -> Context:
    """One context of a group; numbers begin with 0.

    Raises:
        NotFound: there is no such group, or no context of that number in it.
    """
    contexts = contexts_of(view, group_named(view, key), typeset)
    if 0 <= number < len(contexts):
        return contexts[number]
    raise NotFound(
        f"Group {key} of {noun(view.dictionary)} {view.record.index} has "
        f"{len(contexts)} contexts, numbered from 0; there is no {number}."
    )
