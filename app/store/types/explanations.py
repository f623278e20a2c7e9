"""Labels that language models were asked for, and what judges make of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ScoredLabel:
    """What one judge makes of an explanation.

    Attributes:
        scorer: which judge, such as `detection`.
        value: the score; None where there was too little to compute it from.
        low: lower end of its 95 % interval; None where there is none.
        high: upper end.
        n: excerpts or trials behind it.
        shuffled: what the label of another feature of like density scores on the same excerpts.
        null_p: share of features without meaning whose own labels score at least as high, this one
            counted among them.
        details: failures by reason, the nulls' scores, and what was said of each excerpt: JSON
            values.
    """

    scorer: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    shuffled: float | None
    null_p: float | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """What a language model answered when it was asked for a label.

    Attributes:
        id: the same for the same question.
        index: of the feature.
        explainer: how it was asked, such as `contrast`.
        model: the endpoint's name of the model.
        text: the label; empty where it failed.
        failure: why there is none; empty where there is one.
        settings: endpoint, versions of the prompts, seed: JSON values.
        scores: by judge.
    """

    id: str
    index: int
    explainer: str
    model: str
    text: str
    failure: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[ScoredLabel, ...] = ()


def explanation_id(
    subject: str, index: int, explainer: str, model: str, settings: Mapping[str, Any]
) -> str:
    """The same for the same question about the same feature.

    Args:
        subject: what labels know the dictionary by.
        index: of the feature.
        explainer: how it was asked.
        model: who was asked.
        settings: all else that the answer depends on, JSON values.
    """
    # Which other features were explained beside it changes no label.
    own = {key: value for key, value in settings.items() if key != "features"}
    facts = json.dumps([subject, index, explainer, model, own], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
