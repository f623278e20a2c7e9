"""Experiments as they go into the store and come out of it: frozen values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from sae_core.audit.experiments.comparisons import ArmComparisons
from sae_core.audit.experiments.side_effects import ArmSideEffect
from sae_core.errors import ExperimentError

Said = str | tuple[tuple[str, str], ...]
"""A prompt: a plain text, or roles and contents."""


@dataclass(frozen=True)
class EditRecord:
    """One edit of an arm, with all that decides it.

    Attributes:
        dictionary: name of the feature's dictionary, or of the one where a contrast was made.
        feature: its number; -1: a direction.
        contrast: name of the contrast whose direction it is; empty: none.
        random: seed of the random direction of the same length in its place; -1: none.
        method: how it is written.
        strength: in multiples of the maximum.
        maximum: in units of what is written.
    """

    dictionary: str
    feature: int
    contrast: str
    random: int
    method: str
    strength: float
    maximum: float


@dataclass(frozen=True)
class ArmRecord:
    """One arm.

    Attributes:
        name: unique in its experiment.
        group: what arms of one kind at several strengths have in common; empty: the unsteered one.
        strength: of all its edits; 0 for the unsteered one.
        control_of: the arm that it controls; empty: it is no control.
        edits: made together.
    """

    name: str
    group: str
    strength: float
    control_of: str
    edits: tuple[EditRecord, ...]


@dataclass(frozen=True)
class OutcomeRecord:
    """One outcome.

    Attributes:
        name: unique in its experiment.
        kind: `words`, `pattern`, `answer`, `length`, `repetition`, `monitor` or `judge`.
        about: what is looked at, in a line.
        happens: whether it lies between 0 and 1.
        left_out: prompts for which it is not known.
    """

    name: str
    kind: str
    about: str
    happens: bool
    left_out: int


@dataclass(frozen=True)
class ExperimentDetails:
    """All of an experiment but its texts and their values.

    Attributes:
        plan: as it was asked, JSON values.
        provenance: checksums and versions of all that decides it, JSON values.
        arms: the unsteered one first.
        outcomes: in the order of the plan.
        figures: outcomes compared.
        side_effects: of each arm; none where there is no neutral text.
        prompts: how many.
        samples: texts of each prompt and arm.
    """

    plan: dict[str, Any]
    provenance: dict[str, Any]
    arms: tuple[ArmRecord, ...]
    outcomes: tuple[OutcomeRecord, ...]
    figures: ArmComparisons
    side_effects: tuple[ArmSideEffect, ...]
    prompts: int
    samples: int

    def as_json(self) -> dict[str, Any]:
        """Lists, texts and numbers; None for what is NaN."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain


@dataclass(frozen=True)
class PromptTexts:
    """One prompt and what every arm made of it.

    Attributes:
        number: of the prompt, from 0.
        said: what it says.
        fields: what else its line said.
        seeds: of the samples.
        texts: [arms][samples].
    """

    number: int
    said: Said
    fields: dict[str, str]
    seeds: tuple[int, ...]
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ExperimentRecord:
    """An experiment to be kept.

    Attributes:
        model: name of its model.
        dictionary: name of its plan's dictionary.
        checksum: of the dictionary's weights.
        question: SHA-256 of all that decided it.
        title: any text of one line.
        details: all but the texts.
        values: of every outcome, prompt and arm, NaN where it is not known; last, of every prompt
            and arm, the share of samples whose text is another than the unsteered one's, float64
            [outcomes + 1, prompts, arms].
        texts: of every prompt.
    """

    model: str
    dictionary: str
    checksum: str
    question: str
    title: str
    details: ExperimentDetails
    values: NDArray[np.float64]
    texts: Sequence[PromptTexts]


@dataclass(frozen=True)
class ExperimentView:
    """An experiment of the store, without texts and values.

    Attributes:
        name: part of its address.
        title: as in `ExperimentRecord`; so are the others.
        created: seconds since 1970.
    """

    name: str
    title: str
    model: str
    dictionary: str
    checksum: str
    question: str
    details: ExperimentDetails
    created: float


@dataclass(frozen=True)
class ExperimentLine:
    """An experiment in a line.

    Attributes:
        name: part of its address.
        title: as in `ExperimentRecord`; so are model and dictionary.
        created: seconds since 1970.
    """

    name: str
    title: str
    model: str
    dictionary: str
    created: float


_DETAILS = TypeAdapter(ExperimentDetails)
_TEXTS = TypeAdapter(tuple[PromptTexts, ...])


def details_of(value: Any) -> ExperimentDetails:
    """What `as_json` made, checked.

    Raises:
        ExperimentError: it is something else.
    """
    try:
        with_nan = {
            name: _with_nan(part) if name in ("figures", "side_effects") else part
            for name, part in dict(value).items()
        }
        return _DETAILS.validate_python(with_nan)
    except (ValidationError, TypeError, ValueError) as error:
        raise ExperimentError("This is no experiment, or it is damaged.") from error


def texts_of(value: Any) -> tuple[PromptTexts, ...]:
    """Prompts and texts from JSON values, checked.

    Raises:
        ExperimentError: they are something else.
    """
    try:
        return _TEXTS.validate_python(value)
    except ValidationError as error:
        raise ExperimentError("These are no texts of an experiment.") from error


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_nan(part) for key, part in value.items()}
        case list() | tuple():
            return [_without_nan(part) for part in value]
        case float() if math.isnan(value):
            return None
        case _:
            return value


def _with_nan(value: Any) -> Any:
    match value:
        case dict():
            return {key: _with_nan(part) for key, part in value.items()}
        case list() | tuple():
            return [_with_nan(part) for part in value]
        case None:
            return math.nan
        case _:
            return value
