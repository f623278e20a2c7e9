"""What all JSON answers and questions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.rendering.tokens import printable


class Answer(BaseModel):
    """Common to all answers.

    `model_validate` makes one of a stored value: each field is read from the attribute of its
    name, or from where its `validation_alias` points.
    """

    model_config = ConfigDict(
        frozen=True, from_attributes=True, validate_by_name=True, ser_json_inf_nan="null"
    )


class Problem(Answer):
    """An error, as RFC 9457 has it."""

    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(
        description="A sentence that says what to do.",
        examples=["demo/mlp-4096 has features 0 to 4095; there is no feature 5000."],
    )
    field: str | None = Field(
        default=None, description="The value that it is about, such as `edits.0.strength`."
    )


def floats(values: NDArray[Any]) -> list[float]:
    """float32 values with the fewest digits that still name them exactly."""
    return [float(str(value)) for value in values]


def _plain(values: ArrayLike) -> object:
    return np.asarray(values).tolist()


Integers = Annotated[list[int], BeforeValidator(_plain)]
"""Made of an array of whole numbers."""

Printable = Annotated[str, BeforeValidator(printable)]
"""Text from outside with everything in it visible, on one line."""


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": Problem,
        "description": "The request cannot be read: its body is not UTF-8, or its host unknown.",
    },
    403: {"model": Problem, "description": "A page of another site asked."},
    404: {"model": Problem, "description": "There is no such thing; the sentence says why."},
    413: {"model": Problem, "description": "The body is too long."},
    422: {"model": Problem, "description": "A value cannot be used; the sentence says why."},
    503: {"model": Problem, "description": "The store or the worker cannot answer now."},
}


LONGEST_PROMPT = 200_000  # characters; what a model takes is counted in tokens by the worker
SENTENCE = "sentence"  # the type of errors whose message is a whole sentence
Name = Annotated[str, Field(min_length=1, max_length=400)]


def whole(text: str) -> str:
    """The text, if it can be written as UTF-8.

    Raises:
        PydanticCustomError: it holds half a character, as broken JSON escapes do.
    """
    half = next((char for char in text if "\ud800" <= char <= "\udfff"), None)
    if half is not None:
        raise PydanticCustomError(
            SENTENCE,
            "The text holds half a character ({half}): send the whole of it.",
            {"half": f"U+{ord(half):04X}"},
        )
    return text


class Question(BaseModel):
    """Immutable, and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """JSON's true and false are no numbers, although Python takes them for 1 and 0."""
        annotation = str(cls.model_fields[info.field_name or ""].annotation)
        # Lists of text refuse them by themselves, each in its own words.
        entries: Sequence[object] = (value,)
        if isinstance(value, list | tuple) and "str" not in annotation:
            entries = value
        if "bool" not in annotation and any(isinstance(entry, bool) for entry in entries):
            raise PydanticCustomError("number", "it should be a number or text, not true or false")
        return value
