"""A study, made of what a form or a program asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.store.store import Store
from app.store.types.ratings import StudyView
from app.web.parameters import whole_number

SOURCE = "d-"
"""What the names of a form's fields begin with that name a dictionary."""


def make_study(
    store: Store,
    dictionaries: Sequence[str],
    features: int,
    *,
    seed: int = 0,
    title: str = "",
    author: str = "",
    matched: bool = False,
    firings: int = 1,
    every_mark: bool = False,
) -> StudyView:
    """Make a study; the dictionaries as `MODEL/DICTIONARY`, all else as of `Ratings.create`.

    Raises:
        InvalidRequest: it cannot be made of these.
        NotFound: there is no such dictionary.
    """
    views = []
    for named in dictionaries:
        model, _, name = named.partition("/")
        views.append(store.dictionary(model, name))
    return store.ratings.create(
        views,
        features,
        seed=seed,
        title=title,
        author=author,
        matched=matched,
        least=firings,
        every_mark=every_mark,
    )


def study_of_form(store: Store, form: Mapping[str, str]) -> StudyView:
    """Make the study that the page's form describes.

    Raises:
        InvalidRequest: it cannot be made of these.
        NotFound: there is no such dictionary.
    """
    numbers = {
        name: whole_number(form.get(name, "").strip() or empty)
        for name, empty in (("features", "0"), ("seed", "0"), ("firings", "1"))
    }
    return make_study(
        store,
        [value for name, value in form.items() if name.startswith(SOURCE)],
        title=form.get("title", ""),
        author=form.get("author", ""),
        matched=form.get("matched") == "1",
        every_mark=form.get("every_mark") == "1",
        **numbers,
    )
