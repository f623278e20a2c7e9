"""What is explained, how, and with how many nulls beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest
from app.jobs.explain import explainers, judges
from app.jobs.explain.explainers import ExplainerKind
from app.jobs.explain.verdicts import SHOWN, ScorerKind

DEFAULT_SCORERS = (ScorerKind.DETECTION, ScorerKind.FUZZING)


@dataclass(frozen=True)
class ExplainPlan:
    """One run of `featurescope explain`.

    Attributes:
        features: indices in the dictionary.
        explainers: ways of asking for a label.
        scorers: ways of judging it.
        nulls: directions without meaning that go through the same pipeline.
        tokens: of text that is read for excerpts.
        seed: of all draws.
        strength: of steered texts, in multiples of a feature's maximum.
        embedding_model: the endpoint's model for vectors; empty: none.
        shown: excerpts that a judge is shown at once.
    """

    features: tuple[int, ...]
    explainers: tuple[ExplainerKind, ...] = (ExplainerKind.MAXIMA,)
    scorers: tuple[ScorerKind, ...] = DEFAULT_SCORERS
    nulls: int = 20
    tokens: int = 300_000
    seed: int = 0
    strength: float = 0.5
    embedding_model: str = ""
    shown: int = SHOWN

    def __post_init__(self) -> None:
        if not self.features:
            raise InvalidRequest("Say which features are to be explained.")
        if ScorerKind.EMBEDDING in self.scorers and not self.embedding_model:
            raise InvalidRequest(
                "The scorer `embedding` needs the endpoint's model for vectors: name it with "
                "--embedding-model, or leave that scorer out."
            )

    def settings(self, url: str) -> dict[str, Any]:
        """All that an answer depends on but the feature and the model, JSON values."""
        return {
            "endpoint": url,
            "explainer prompts": explainers.VERSION,
            "judge prompts": judges.VERSION,
            "tokens": self.tokens,
            "seed": self.seed,
            "strength": self.strength,
            "nulls": self.nulls,
            "shown": self.shown,
            "features": list(self.features),
        }
