"""What a report says of a feature."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from app.exchange.report.schema import ReportPart


class FeatureAsked(ReportPart):
    """Which feature."""

    dictionary: str
    feature: int


class WrittenToken(ReportPart):
    """A token that a feature raises or lowers; `weight` is its logit weight."""

    token: int
    text: str
    weight: float


class FiringContext(ReportPart):
    """A window in which the feature fires.

    Attributes:
        group: of contexts: `top`, `band-10` to `band-0`, `weakest`.
        window: its number in the text.
        document: that it lies in.
        line: of its first token there; 0: not known.
        tokens: ids.
        texts: of each token what a reader sees.
        peak: position of the firing that it was drawn for.
        activations: by position, model units; it does not fire elsewhere.
    """

    group: str
    window: int
    document: str
    line: int
    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    peak: int
    activations: dict[str, float]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        places = range(len(self.tokens))
        known = {str(place) for place in places}
        if len(self.texts) != len(self.tokens) or self.peak not in places:
            raise ValueError("a context lacks a text, or its peak")
        if self.activations.keys() - known:
            raise ValueError("a context has an activation where it has no token")
        return self

    @property
    def at(self) -> dict[int, float]:
        """Activations by position, as numbers."""
        return {int(place): value for place, value in self.activations.items()}


class FeatureFound(ReportPart):
    """Figures of a feature.

    Attributes:
        firings: tokens on which it fires.
        density: share of the harvest's tokens on which it fires.
        interval: 95 % interval of that share over documents; None: not known.
        maximum: largest activation, model units.
        raised: tokens whose logits it raises most.
        lowered: it lowers most.
        contexts: the strongest, and some of each band.
    """

    firings: int
    density: float
    interval: tuple[float, float] | None
    maximum: float
    raised: tuple[WrittenToken, ...]
    lowered: tuple[WrittenToken, ...]
    contexts: tuple[FiringContext, ...]


class FeatureStated(ReportPart):
    """Its label; empty: none."""

    label: str
