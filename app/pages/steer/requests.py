"""From what is asked of steering to the worker's request, with what the store knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest
from app.pages.steer.questions import Continuation, DoseQuestion, Edit, SteerQuestion
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.model import AddressedModel, unknown
from app.worker.client.references import check_alike, dictionary_ref, model_ref
from app.worker.protocol.requests import DoseRequest, Sampling, SteerEdit, SteerRequest


@dataclass(frozen=True)
class SteerTask:
    """A request for the worker, and what its answers are about.

    Attributes:
        request: with the edits that are on.
        places: where those edits stand among all that were asked for.
        n_edits: that were asked for.
        traits: the dictionary whose features the answers name; None: of none.
    """

    request: SteerRequest
    places: tuple[int, ...]
    n_edits: int
    traits: DictionaryView | None


@dataclass(frozen=True)
class DoseTask:
    """A request for the worker, and what its answers are about.

    Attributes:
        request: with the tokens whose probabilities are followed.
        dictionary: that the feature belongs to.
        row: the feature.
    """

    request: DoseRequest
    dictionary: DictionaryView
    row: FeatureRow


def steer(model: AddressedModel, question: SteerQuestion) -> SteerTask:
    """The worker's request for two texts.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature, or no room for so many tokens.
    """
    check_room(model, question)
    traits = None
    if question.traits is not None:
        named = question.traits or (question.edits[0].dictionary if question.edits else "")
        traits = model.dictionary(named) if named else model.facts
    rows = rows_of(model, question.edits)
    steered = [model.dictionary(edit.dictionary) for edit in question.edits if edit.on]
    check_alike(steered, "edits")
    places = tuple(place for place, edit in enumerate(question.edits) if edit.on)
    return SteerTask(
        SteerRequest(
            model=model_ref(steered[0] if steered else model.facts),
            edits=tuple(edit_of(question.edits[place], model, rows[place]) for place in places),
            traits=dictionary_ref(traits) if traits else None,
            **_continuation(question),
        ),
        places,
        len(question.edits),
        traits,
    )


def dose(model: AddressedModel, question: DoseQuestion) -> DoseTask:
    """The worker's request for a sweep of strengths.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature, or no room for so many tokens.
    """
    check_room(model, question)
    dictionary = model.dictionary(question.dictionary)
    row = model.row(dictionary, question.feature, "feature")
    return DoseTask(
        DoseRequest(
            model=model_ref(dictionary),
            dictionary=dictionary_ref(dictionary),
            feature=question.feature,
            mode=question.mode,
            maximum=row.maximum,
            strengths=question.strengths,
            watched=tuple(row.raised.ids.tolist()[: question.watched]),
            **_continuation(question),
        ),
        dictionary,
        row,
    )


def edit_of(edit: Edit, model: AddressedModel, row: FeatureRow) -> SteerEdit:
    """An edit as the worker takes it, with what the store knows of its feature."""
    return SteerEdit(
        dictionary=dictionary_ref(model.dictionary(edit.dictionary)),
        maximum=row.maximum,
        **edit.model_dump(exclude={"dictionary", "on"}),
    )


def _continuation(question: Continuation) -> dict[str, Any]:
    """How the prompt is continued, as both requests of the worker take it."""
    return {
        **question.model_dump(include={"prompt", "scope", "n_tokens"}),
        "sampling": Sampling.model_validate(question, from_attributes=True),
    }


def check_room(model: AddressedModel, question: Continuation) -> None:
    """Refuse more tokens than the model has room for.

    Raises:
        InvalidRequest: the model's context is too short, whatever the prompt.
    """
    n_ctx = model.facts.n_ctx
    if question.n_tokens >= n_ctx:
        raise InvalidRequest(
            f"{question.n_tokens:,} tokens do not fit: the context of {model.name} has "
            f"{n_ctx:,} positions, the prompt included.",
            "n_tokens",
        )


def rows_of(model: AddressedModel, edits: tuple[Edit, ...]) -> tuple[FeatureRow, ...]:
    """What the store knows of each edit's feature.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature.
    """
    rows: dict[str, Mapping[int, FeatureRow]] = {}
    for name in dict.fromkeys(edit.dictionary for edit in edits):
        indices = [edit.feature for edit in edits if edit.dictionary == name]
        rows[name] = model.store.rows(model.dictionary(name), indices)
    for place, edit in enumerate(edits):
        if edit.feature not in rows[edit.dictionary]:
            raise unknown(model.dictionary(edit.dictionary), edit.feature, f"edits.{place}")
    return tuple(rows[edit.dictionary][edit.feature] for edit in edits)
