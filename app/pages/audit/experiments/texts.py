"""Texts of an experiment side by side, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import numpy as np
from fastapi import Depends, Query

from app.errors import InvalidRequest
from app.pages.audit.experiments.sentences import figure
from app.rendering.addresses import experiment_address, model_page_address
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.written.audit.experiments.records import (
    ArmRecord,
    ExperimentView,
    OutcomeRecord,
    PromptTexts,
    Said,
)

PER_PAGE = 20
_LONGEST = 1_200  # characters of a prompt or a text on the page


class Shown(StrEnum):
    """Which prompts are shown."""

    ALL = "all"
    CHANGED = "changed"
    MORE = "more"
    LESS = "less"
    OTHER = "other"


SAID = {
    Shown.ALL: "all prompts",
    Shown.CHANGED: "where the outcome changed",
    Shown.MORE: "where there is more of it",
    Shown.LESS: "where there is less of it",
    Shown.OTHER: "where the text is another",
}


@dataclass(frozen=True)
class TextsQuery:
    """Which texts are asked for.

    Attributes:
        arm: that stands beside the unsteered one; empty: the first.
        outcome: whose values stand with the texts; empty: the first.
        show: which prompts.
        page: from 1.
    """

    arm: str = ""
    outcome: str = ""
    show: Shown = Shown.ALL
    page: int = 1


def texts_query(
    arm: Annotated[str, Query(max_length=500)] = "",
    outcome: Annotated[str, Query(max_length=500)] = "",
    show: Shown = Shown.ALL,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> TextsQuery:
    """From an address."""
    return TextsQuery(arm, outcome, show, page)


AskedTexts = Annotated[TextsQuery, Depends(texts_query)]


@dataclass(frozen=True)
class TextColumn:
    """What one arm made of a prompt.

    Attributes:
        value: of the outcome.
        texts: of its samples: text, and the address that steers the same; empty: none does.
        differs: whether a text or the value is another than the unsteered arm's.
    """

    value: str
    texts: tuple[tuple[str, str], ...]
    differs: bool


@dataclass(frozen=True)
class TextRow:
    """A prompt with the arms that are shown."""

    number: int
    prompt: str
    columns: tuple[TextColumn, ...]


@dataclass(frozen=True)
class TextsPage:
    """A page of texts.

    Attributes:
        query: as it was asked, with the names that it means.
        arms: that are shown, the unsteered one first, then the chosen one and its controls.
        outcome: whose values are shown.
        found: prompts that are shown on all pages.
        pages: how many.
        rows: of this page.
        name: of the experiment.
    """

    query: TextsQuery
    arms: tuple[ArmRecord, ...]
    outcome: OutcomeRecord
    found: int
    pages: int
    rows: tuple[TextRow, ...]
    name: str

    def at(self, page: int) -> str:
        """The address of another page."""
        own = self.query
        return experiment_address(
            self.name,
            arm=own.arm,
            outcome=own.outcome,
            show=own.show.value if own.show is not Shown.ALL else "",
            page=page if page > 1 else "",
        )


@dataclass(frozen=True)
class FoundTexts:
    """The prompts of a page with all of their texts.

    Attributes:
        query: with the names that it means.
        found: prompts on all pages.
        pages: how many.
        texts: of this page.
        values: as in `ExperimentRecord`.
    """

    query: TextsQuery
    found: int
    pages: int
    texts: tuple[PromptTexts, ...]
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def found_texts(view: ExperimentView, store: Store, query: TextsQuery) -> FoundTexts:
    """The prompts that a query shows.

    Raises:
        InvalidRequest: there is no such arm or outcome.
    """
    details = view.details
    arms = [arm.name for arm in details.arms]
    outcomes = [outcome.name for outcome in details.outcomes]
    query = TextsQuery(
        query.arm or arms[min(1, len(arms) - 1)],
        query.outcome or outcomes[0],
        query.show,
        query.page,
    )
    if query.arm not in arms:
        raise InvalidRequest(f"This experiment has no arm {query.arm!r:.80}.", "arm")
    if query.outcome not in outcomes:
        raise InvalidRequest(f"This experiment has no outcome {query.outcome!r:.80}.", "outcome")
    values = store.audit.experiments.values(view)
    arm = arms.index(query.arm)
    own = values[outcomes.index(query.outcome)]
    apart = np.nan_to_num(own[:, arm] - own[:, 0])
    match query.show:
        case Shown.CHANGED:
            numbers = np.flatnonzero(apart)
        case Shown.MORE:
            numbers = np.flatnonzero(apart > 0)
        case Shown.LESS:
            numbers = np.flatnonzero(apart < 0)
        case Shown.OTHER:
            numbers = np.flatnonzero(values[-1][:, arm])
        case _:
            numbers = np.arange(details.prompts)
    if query.show in (Shown.CHANGED, Shown.MORE, Shown.LESS):
        numbers = numbers[np.argsort(-np.abs(apart[numbers]), kind="stable")]
    pages = max(1, -(-len(numbers) // PER_PAGE))
    here = numbers[(query.page - 1) * PER_PAGE : query.page * PER_PAGE].tolist()
    texts = store.audit.experiments.texts(view.name, here)
    return FoundTexts(query, len(numbers), pages, tuple(texts), values)


def texts_page(view: ExperimentView, store: Store, query: TextsQuery) -> TextsPage:
    """A page of texts.

    Raises:
        InvalidRequest: there is no such arm or outcome.
    """
    found = found_texts(view, store, query)
    details = view.details
    names = [arm.name for arm in details.arms]
    chosen = details.arms[names.index(found.query.arm)]
    shown = dict.fromkeys(
        [
            details.arms[0],
            chosen,
            *(arm for arm in details.arms if arm.control_of == chosen.name),
        ]
    )
    place = [outcome.name for outcome in details.outcomes].index(found.query.outcome)
    outcome = details.outcomes[place]
    rows = []
    for texts in found.texts:
        own = found.values[place, texts.number]
        columns = tuple(
            TextColumn(
                value=_value(float(own[names.index(arm.name)]), outcome, details.samples),
                texts=tuple(
                    (_cut(text), _steering(view, arm, texts, sample))
                    for sample, text in enumerate(texts.texts[names.index(arm.name)])
                ),
                differs=texts.texts[names.index(arm.name)] != texts.texts[0],
            )
            for arm in shown
        )
        rows.append(TextRow(texts.number, _cut(_in_words(texts.said)), columns))
    return TextsPage(
        found.query, tuple(shown), outcome, found.found, found.pages, tuple(rows), view.name
    )


def _value(value: float, outcome: OutcomeRecord, samples: int) -> str:
    if samples == 1 and value in (0.0, 1.0) and outcome.kind in ("words", "pattern", "judge"):
        return "yes" if value else "no"
    return figure(value, outcome)


def _steering(view: ExperimentView, arm: ArmRecord, texts: PromptTexts, sample: int) -> str:
    """The steering page with the same question; empty: it cannot ask it."""
    plan = view.details.plan
    edits = arm.edits
    if not isinstance(texts.said, str) or not edits or arm.control_of:
        return ""
    if any(edit.feature < 0 for edit in edits):
        return ""
    query = [("text", texts.said)]
    query += [("f", f"{e.dictionary}:{e.feature}:{e.method}:{e.strength:g}") for e in edits]
    query += [
        ("n", str(plan.get("tokens", 24))),
        ("temperature", f"{plan.get('temperature', 1.0):g}"),
        ("top_p", f"{plan.get('top_p', 1.0):g}"),
        ("top_k", str(plan.get("top_k", 0))),
        ("scope", str(plan.get("scope", "all"))),
        ("seed", str(texts.seeds[sample])),
    ]
    text = urlencode(query, safe=":", errors="replace")
    return f"{model_page_address(view.model, 'steer')}?{text}"


def _in_words(said: Said) -> str:
    if isinstance(said, str):
        return said
    return "\n".join(f"{role}: {content}" for role, content in said)


def _cut(text: str) -> str:
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")
