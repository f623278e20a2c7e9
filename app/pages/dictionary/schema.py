"""A dictionary as JSON: what is known of it, and its table of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasPath, BeforeValidator, Field, ValidationInfo, model_validator

from app.rendering.tokens import Typeset
from app.rendering.words.summary import summary_of_row
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.types.evaluation import without_details
from app.web.answers import HistogramAnswer, LandsOn, RankedTokens, TokenShares
from app.web.schema import Answer, Printable


def _figures(evaluation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if evaluation is None else without_details(evaluation)


class Corpus(Answer):
    """The text that was harvested."""

    name: str = Field(examples=["python-stdlib"])
    source: str
    fingerprint: str
    n_documents: int
    n_tokens: int
    details: dict[str, Any]


class Harvest(Answer):
    """One pass of a dictionary over a corpus."""

    seed: int
    n_ctx: int = Field(description="Positions in a window, BOS included.")
    n_tokens: int = Field(description="Non-special tokens read; densities are shares of it.")
    n_windows: int
    settings: dict[str, Any]
    digest: str


class Model(Answer):
    """The language model of a dictionary."""

    name: str = Field(validation_alias="model", examples=["demo"])
    architecture: str = Field(validation_alias="model_architecture")
    n_layers: int
    d_model: int
    n_ctx: int
    d_vocab: int
    dtype: str = Field(validation_alias="model_dtype")
    checksum: str = Field(validation_alias="model_checksum")
    details: dict[str, Any] = Field(validation_alias="model_details")


class DictionaryAnswer(Answer):
    """A dictionary, its model, and what was harvested with it."""

    name: str = Field(examples=["mlp-4096"])
    model: Model
    hook_point: str = Field(
        description="Where it reads the model.", examples=["blocks.0.mlp.hook_post"]
    )
    output_hook_point: str = Field(
        description="Whose activation it reconstructs: the same, but for a transcoder.",
        examples=["blocks.0.mlp.hook_post"],
    )
    architecture: str = Field(examples=["topk"])
    d_in: int
    d_sae: int
    is_neurons: bool = Field(description="Whether this is the neuron basis itself.")
    alive: int = Field(description="Features that fired at all in the harvest.")
    dtype: str
    checksum: str
    evaluation: Annotated[dict[str, Any] | None, BeforeValidator(_figures)] = Field(
        description="l0, fvu, l_clean, l_recon, l_zero, l_mean (nats per token), "
        "extra_loss_fraction, …; the distributions are below `evaluation`; null: not evaluated."
    )
    details: dict[str, Any]
    corpus: Corpus | None
    harvest: Harvest | None

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, view: DictionaryView) -> dict[str, Any]:
        """The fields of a stored dictionary, where those of its model lie beside its own."""
        harvest = {**vars(view.harvest), "digest": view.digest} if view.harvest else None
        derived = {"is_neurons": view.is_neurons, "output_hook_point": view.output_hook_point}
        return {**vars(view), **derived, "model": view, "harvest": harvest}


class RuleRow(Answer):
    """A feature's rule, in a row."""

    sentence: str = Field(examples=["Fires on “␣self” or “cls”, after “(”"])
    f1: float = Field(description="On documents that it was not learnt from.")
    above: bool = Field(description="Whether it is above its null.")


class RecurrenceRow(Answer):
    """In how many other dictionaries of its hook point a feature was found again."""

    found: int
    trainings: int = Field(description="Of so many that its dictionary was compared with.")


class FeatureRowAnswer(Answer):
    """A feature in the table."""

    index: int = Field(examples=[1733])
    label: Printable
    firings: int
    density: float = Field(description="Share of the harvest's tokens.", examples=[0.0031])
    maximum: float = Field(examples=[7.42])
    activations: HistogramAnswer = Field(validation_alias="histogram")
    raised: RankedTokens
    fires_on: TokenShares = Field(
        description="The ten tokens that it fires on most; null: not counted, as in older harvests."
    )
    fires_after: TokenShares = Field(description="The ten tokens directly before those most.")
    effect: float | None = Field(
        description="Mean over its top contexts of the largest loss change that ablating it makes, "
        "nats; null: not computed, or dead.",
        examples=[0.86],
    )
    lands_on: LandsOn = Field(description="The tokens with those changes; null: not computed.")
    rule: RuleRow | None = Field(description="What its firings were learnt to depend on.")
    recurrence: RecurrenceRow | None = Field(
        description="In how many other trainings it was found; null: it was compared with none."
    )
    summary: str = Field(
        description="All this in one line; empty where nothing is known of it.",
        examples=["fires on newline after `):`; helps `␣self` by 0.86 nats"],
    )

    @model_validator(mode="before")
    @classmethod
    def _summarised(cls, row: FeatureRow, info: ValidationInfo[Typeset]) -> dict[str, Any]:
        """The fields of a row, with what is said of them in words."""
        return {
            **vars(row),
            "effect": row.landing.effect if row.landing else None,
            "lands_on": row.landing,
            "summary": summary_of_row(row, info.context).text,
        }


class FeatureTableAnswer(Answer):
    """One page of a dictionary's features."""

    model: str = Field(validation_alias=AliasPath("dictionary", "model"))
    dictionary: str = Field(validation_alias=AliasPath("dictionary", "name"))
    total: int
    page: int
    pages: int
    features: list[FeatureRowAnswer] = Field(validation_alias="rows")


class RandomFeature(Answer):
    """A feature that fires, drawn evenly."""

    index: int
