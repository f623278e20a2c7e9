"""A feature as JSON: its figures, its groups of contexts, and what ablation does to a context."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasPath, BeforeValidator, Field, ValidationInfo, model_validator

from app.rendering.tokens import Typeset
from app.rendering.words.summary import summary_of
from app.store.types.catalogue import FeatureView
from app.web.answers import Effect, HistogramAnswer, LandsOn, RankedTokens, TokenShares
from app.web.schema import Answer, Printable, floats
from sae_core.harvest.records import Ranking
from sae_core.rules.predicate import Predicate


class Related(Answer):
    """A neuron or feature with a weight."""

    index: int = Field(examples=[209])
    weight: float
    share: float | None = Field(
        description="Of ||d_f||_1 for neurons, of this feature's firings for those that fire "
        "together; null where it means nothing."
    )
    label: Printable = Field(description="What it means, in words; empty: not said yet.")


def _related(ranking: Ranking, names: Mapping[int, str]) -> list[Related]:
    shares: list[float] | list[None] = floats(ranking.shares) or [None] * len(ranking.ids)
    rows = zip(ranking.ids.tolist(), floats(ranking.weights), shares, strict=True)
    return [
        Related(index=index, weight=weight, share=share, label=names.get(index, ""))
        for index, weight, share in rows
    ]


class ContextAnswer(Answer):
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
    contexts: Annotated[int, BeforeValidator(len)] = Field(
        validation_alias="examples", description="Contexts in the group."
    )


class Group(GroupSummary):
    """A group with its contexts."""

    examples: list[ContextAnswer]


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
    label: Printable
    firings: int
    density: float
    density_low: float | None = Field(
        description="Lower end of the 95 % interval over documents; null: not known, as where the "
        "feature never fired, the text is one document, or an older version harvested it."
    )
    density_high: float | None = Field(description="Its upper end.")
    maximum: float
    activations: HistogramAnswer
    logits: HistogramAnswer
    raised: RankedTokens
    lowered: RankedTokens
    neurons: list[Related] = Field(description="For a neuron: the features that write to it.")
    nearest: list[Related] = Field(description="By cosine of the decoder rows.")
    coactive: list[Related] = Field(description="Weight: Jaccard index.")
    fires_on: TokenShares = Field(
        description="The ten tokens that it fires on most; null: not counted, as in older harvests."
    )
    fires_after: TokenShares = Field(description="The ten tokens directly before those most.")
    effect: float | None = Field(
        description="Mean over `effect_contexts` top contexts of the largest loss change that "
        "ablating it makes there, nats; null: not computed, or dead."
    )
    effect_contexts: int = Field(description="How many contexts that is a mean of; 0: none.")
    lands_on: LandsOn = Field(description="The tokens with those changes; null: not computed.")
    summary: str = Field(
        description="What it fires on and helps, in one line; empty where nothing is known of it."
    )
    groups: list[GroupSummary]

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, view: FeatureView, info: ValidationInfo[Typeset]) -> dict[str, Any]:
        """The fields of a stored feature, with those of the dictionary that it belongs to."""
        dictionary, corpus = view.dictionary, view.dictionary.corpus
        low, high = view.record.density_interval or (None, None)
        return {
            **vars(dictionary),
            **vars(view.record),
            "dictionary": dictionary.name,
            "dictionary_checksum": dictionary.checksum,
            "corpus": corpus.name if corpus else "",
            "corpus_fingerprint": corpus.fingerprint if corpus else "",
            "n_tokens": dictionary.n_tokens,
            "label": view.label,
            "neurons": _related(view.record.neurons, view.neuron_names),
            "nearest": _related(view.record.nearest, view.names),
            "coactive": _related(view.record.coactive, view.names),
            "density": view.density,
            "density_low": low,
            "density_high": high,
            "effect": view.landing.effect if view.landing else None,
            "effect_contexts": view.landing.contexts if view.landing else 0,
            "lands_on": view.landing,
            "summary": summary_of(view, info.context).text,
        }


def _predicate(predicate: Predicate | None) -> Any:
    return json.loads(predicate.to_json()) if predicate else None


class IntervalAnswer(Answer):
    """A figure with its 95 % interval over documents."""

    value: float | None = Field(description="Null: a share of nothing.")
    low: float | None = Field(description="Null: fewer than five documents.")
    high: float | None


class RuleTestAnswer(Answer):
    """How well a rule says where a feature fires, in documents that it was not learnt from."""

    f1: IntervalAnswer
    precision: IntervalAnswer
    recall: IntervalAnswer
    correlation: IntervalAnswer = Field(description="Of the rule with the activation.")
    firings: int = Field(description="Tokens on which the feature fires.")
    covered: int = Field(description="Tokens where the rule holds.")


class RuleNull(Answer):
    """What the same learner reaches for shuffled firings of features about as frequent."""

    median: float = Field(description="Of their F1.")
    threshold: float | None = Field(description="F1 above which a rule is above its null.")
    count: int = Field(description="How many they are.")
    p_value: float
    above: bool


class Rule(Answer):
    """What a feature's firings were learnt to depend on."""

    index: int
    sentence: str = Field(
        description="In words; where there is no rule, why not.",
        examples=["Fires on “␣self” or “cls”, after “(”"],
    )
    predicate: Annotated[list[Any] | None, BeforeValidator(_predicate)] = Field(
        description="An OR of lists of conditions that must all hold: ids of tokens at a place, or "
        "a flag and whether it must hold; null: there is no rule.",
        examples=[[[{"token": [5, 9]}, {"place:string": True}]]],
    )
    test: RuleTestAnswer | None
    token: int | None = Field(description="The single token that describes the firings best.")
    token_f1: IntervalAnswer
    null: RuleNull | None
    documents: int = Field(description="Documents that it was tested on.")
    tokens: int


class ScoreAnswer(Answer):
    """What a judge makes of a label, beside what it has to be held against."""

    scorer: str = Field(examples=["detection"])
    value: float | None = Field(description="null: too little was answered; see `failures`.")
    low: float | None = Field(description="Lower end of its 95 % interval.")
    high: float | None
    n: int = Field(description="Excerpts or trials behind it.")
    chance: float | None = Field(
        validation_alias=AliasPath("details", "chance"), description="What guessing scores."
    )
    shuffled: float | None = Field(description="Another feature's label on the same excerpts.")
    nulls: list[float] = Field(
        validation_alias=AliasPath("details", "nulls"),
        description="The same pipeline's scores on directions without meaning.",
    )
    null_p: float | None = Field(
        description="Share of the nulls that score at least as high, this one counted among them."
    )
    failures: dict[str, int] = Field(
        validation_alias=AliasPath("details", "failures"), description="Failed questions by reason."
    )


class ExplanationAnswer(Answer):
    """What a language model answered when it was asked for a label."""

    explainer: str = Field(examples=["contrast"])
    model: str = Field(description="The endpoint's name of it.")
    text: str = Field(description="The label; empty where there is none.")
    failure: str = Field(description="Why there is none; empty where there is one.")
    settings: dict[str, Any] = Field(description="Endpoint, versions of the prompts, seed.")
    scores: list[ScoreAnswer]
