"""The twins of a feature as they are drawn: its best matches in compared dictionaries."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import NotFound
from app.rendering.addresses import comparison_address, dictionary_address
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.comparisons import TwinView


@dataclass(frozen=True)
class TwinLine:
    """The feature of another dictionary that is most like a given one.

    Attributes:
        view: as stored.
        index: of the best match by correlation, or by cosine where there is none; None: none.
        value: how alike they are by that measure.
        by: that measure.
        cosine: of their decoder rows, where the best match by cosine is the same; None: it is not.
        found: whether that counts as found again.
        address: of its page; empty: the store has none any more.
        label: what it means, in words; empty: not said yet.
        pair_address: of the page of the two dictionaries.
    """

    view: TwinView
    index: int | None
    value: float
    by: str
    cosine: float | None
    found: bool
    address: str
    label: str
    pair_address: str


def twin_lines(store: Store, dictionary: DictionaryView, index: int) -> list[TwinLine]:
    """The twins of a feature, those found again first.

    Raises:
        NotFound: the dictionary has no such feature.
    """
    if not 0 <= index < dictionary.d_sae:
        raise NotFound(
            f"{dictionary.title} has features 0 to {dictionary.d_sae - 1}; there is no feature "
            f"{index}."
        )
    twins = store.comparisons.twins(dictionary, index)
    lines = [_line(store, twin) for twin in twins]
    return sorted(lines, key=lambda line: (line.index is None, not line.found))


def _line(store: Store, twin: TwinView) -> TwinLine:
    by = "correlation" if twin.by_correlation else "cosine"
    match = twin.by_correlation or twin.by_cosine
    figures = twin.figures.by_correlation if twin.by_correlation else twin.figures.by_cosine
    index = None if match is None else match[0]
    agree = twin.by_cosine is not None and twin.by_cosine[0] == index
    now = twin.now
    return TwinLine(
        view=twin,
        index=index,
        value=match[1] if match else 0.0,
        by=by,
        cosine=twin.by_cosine[1] if agree and twin.by_cosine else None,
        found=match is not None and figures is not None and match[1] >= figures.bar,
        address=dictionary_address(now.model, now.dictionary, index)
        if now.harvested and index is not None
        else "",
        label=_label(store, twin, index),
        pair_address=comparison_address(twin.comparison, twin.source, twin.target),
    )


def _label(store: Store, twin: TwinView, index: int | None) -> str:
    if index is None or not twin.now.harvested:
        return ""
    try:
        view = store.dictionary(twin.now.model, twin.now.dictionary)
        row = store.rows(view, [index]).get(index)
    except NotFound:  # it was removed this instant
        return ""
    if row is None:
        return ""
    return row.label or (row.rule.sentence if row.rule and row.rule.above else "")
