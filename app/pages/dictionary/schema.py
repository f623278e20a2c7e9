"""A dictionary as JSON: what is known of it, and its table of features."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.web.answers import HistogramAnswer, TokenWeight
from app.web.schema import Answer


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

    name: str = Field(examples=["demo"])
    architecture: str
    n_layers: int
    d_model: int
    n_ctx: int
    d_vocab: int
    dtype: str
    checksum: str
    details: dict[str, Any]


class Dictionary(Answer):
    """A dictionary, its model, and what was harvested with it."""

    name: str = Field(examples=["mlp-4096"])
    model: Model
    hook_point: str = Field(examples=["blocks.0.mlp.hook_post"])
    architecture: str = Field(examples=["topk"])
    d_in: int
    d_sae: int
    is_neurons: bool = Field(description="Whether this is the neuron basis itself.")
    alive: int = Field(description="Features that fired at all in the harvest.")
    dtype: str
    checksum: str
    evaluation: dict[str, Any] | None = Field(
        description="l0, fvu, l_clean, l_recon, l_zero, l_mean (nats per token), "
        "extra_loss_fraction, …; the distributions are below `evaluation`; null: not evaluated."
    )
    details: dict[str, Any]
    corpus: Corpus | None
    harvest: Harvest | None


class FeatureRow(Answer):
    """A feature in the table."""

    index: int = Field(examples=[1733])
    label: str
    firings: int
    density: float = Field(description="Share of the harvest's tokens.", examples=[0.0031])
    maximum: float = Field(examples=[7.42])
    activations: HistogramAnswer
    raised: list[TokenWeight]


class FeatureTable(Answer):
    """One page of a dictionary's features."""

    model: str
    dictionary: str
    total: int
    page: int
    pages: int
    features: list[FeatureRow]


class RandomFeature(Answer):
    """A feature that fires, drawn evenly."""

    index: int
