"""What the JSON interface answers: frozen types, no functions but their making."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Common to all answers."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


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


class Progress(Answer):
    """A harvest under way."""

    model: str
    dictionary: str
    phase: str = Field(
        description="harvesting (counted in tokens), evaluating (in windows), describing or "
        "ablating (in features)."
    )
    done: int = Field(description="So far, in the phase's unit.")
    total: int
    tokens_per_second: float = Field(description="Rate, in the phase's unit.")
    eta_seconds: float | None
    stalled: bool = Field(description="Nothing was heard of it for a minute.")


class Catalogue(Answer):
    """All dictionaries, and the harvests under way."""

    dictionaries: list[Dictionary]
    progress: list[Progress]


class HistogramAnswer(Answer):
    """Counts over equal-width buckets from `low` to `high`."""

    low: float
    high: float
    counts: list[int]


class TokenWeight(Answer):
    """A token with a weight."""

    id: int = Field(examples=[297])
    text: str = Field(
        description="The token's text; bytes that are not UTF-8 as `\\xe2`.", examples=[" self"]
    )
    weight: float = Field(description="Logits per unit of activation.", examples=[1.25])


class Related(Answer):
    """A neuron or feature with a weight."""

    index: int = Field(examples=[209])
    weight: float
    share: float | None = Field(
        description="Of ||d_f||_1 for neurons, of this feature's firings for those that fire "
        "together; null where it means nothing."
    )


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


class Prediction(Answer):
    """A prediction that ablation moves."""

    id: int
    text: str
    change: float = Field(description="Ablated minus clean logit.")


class Effect(Answer):
    """What ablating the feature does to a context, column by column.

    Positions not listed change by exactly 0. Everything under position t is about the prediction
    of token t, made at t - 1.
    """

    positions: list[int]
    loss_change: list[float] = Field(description="log p_clean - log p_ablated, nats.")
    raised: list[list[Prediction]] = Field(description="Five for each position, most raised first.")
    lowered: list[list[Prediction]] = Field(description="Five for each, most lowered first.")


class Context(Answer):
    """One example in its window."""

    window: int = Field(description="Number of the window in the corpus.")
    document: str = Field(examples=["argparse.py"])
    line: int = Field(description="Line of the peak in the document, from 1.")
    peak: int = Field(description="Position of the firing that the example was drawn for.")
    tokens: list[int] = Field(description="The whole window.")
    text: list[str] = Field(description="Its tokens' texts.")
    positions: list[int] = Field(description="Where the feature fires.")
    values: list[float] = Field(description="The activations there, model units.")
    effect: Effect | None = Field(description="Null: not computed yet.")


class GroupSummary(Answer):
    """A group of contexts, without them."""

    key: str = Field(description="`top`, `band-10` to `band-0`, `weakest`.", examples=["band-10"])
    low: float = Field(description="A band's activations lie in (low, high].")
    high: float
    firings: int = Field(description="The feature's firings in that range.")
    contexts: int = Field(description="Contexts in the group.")


class Group(GroupSummary):
    """A group with its contexts."""

    examples: list[Context]


class Feature(Answer):
    """All that was harvested of one feature. Its contexts are below `groups/{key}`."""

    model: str
    model_checksum: str
    dictionary: str
    dictionary_checksum: str
    corpus: str
    corpus_fingerprint: str
    dtype: str
    n_tokens: int
    index: int
    label: str
    firings: int
    density: float
    density_low: float = Field(description="Lower end of the 95 % Wilson score interval.")
    density_high: float
    maximum: float
    activations: HistogramAnswer
    logits: HistogramAnswer
    raised: list[TokenWeight]
    lowered: list[TokenWeight]
    neurons: list[Related] = Field(description="For a neuron: the features that write to it.")
    nearest: list[Related] = Field(description="By cosine of the decoder rows.")
    coactive: list[Related] = Field(description="Weight: Jaccard index.")
    groups: list[GroupSummary]


class RandomFeature(Answer):
    """A feature that fires, drawn evenly."""

    index: int
