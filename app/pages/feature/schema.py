"""What the JSON interface answers: frozen types, no functions but their making."""

from __future__ import annotations

from pydantic import Field

from app.web.answers import Effect, HistogramAnswer, TokenWeight
from app.web.schema import Answer


class Related(Answer):
    """A neuron or feature with a weight."""

    index: int = Field(examples=[209])
    weight: float
    share: float | None = Field(
        description="Of ||d_f||_1 for neurons, of this feature's firings for those that fire "
        "together; null where it means nothing."
    )


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
