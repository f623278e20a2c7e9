"""The glossary as JSON: terms with what they mean."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer


class TermAnswer(Answer):
    """A term."""

    key: str = Field(examples=["mean-effect"])
    name: str
    short: str = Field(description="What it means, in about two lines.")
    more: str = Field(description="How it is computed, what it does not say; may be empty.")


class GlossaryAnswer(Answer):
    """All terms, in the order in which a reader meets them."""

    terms: list[TermAnswer]
