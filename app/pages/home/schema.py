"""Home as JSON: all dictionaries, and the harvests that are running."""

from __future__ import annotations

from pydantic import Field

from app.pages.dictionary.schema import DictionaryAnswer
from app.web.schema import Answer


class ProgressAnswer(Answer):
    """A harvest under way."""

    model: str
    dictionary: str
    phase: str = Field(
        description="harvesting (counted in tokens), evaluating (in windows), describing, "
        "shuffling, labelling or ablating (in features)."
    )
    done: int = Field(description="So far, in the phase's unit.")
    total: int
    tokens_per_second: float = Field(description="Rate, in the phase's unit.")
    eta_seconds: float | None
    stalled: bool = Field(description="Nothing was heard of it for a minute.")


class Catalogue(Answer):
    """All dictionaries, and the harvests under way."""

    dictionaries: list[DictionaryAnswer]
    progress: list[ProgressAnswer]
