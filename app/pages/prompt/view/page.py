"""The prompt page, worked out from its address: everything its templates only have to place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from markupsafe import Markup

from app.errors import FeaturescopeError
from app.pages.prompt.differences import Kind
from app.pages.prompt.query import FeatureName, PromptQuery, Sort
from app.pages.prompt.session import PromptSession
from app.pages.prompt.view.difference_rows import DifferenceLine
from app.pages.prompt.view.effect_rows import EffectsTable, Joint
from app.pages.prompt.view.panels import (
    FeaturePanel,
    TokenNumbers,
    TokenPanel,
    WhyPanel,
)
from app.pages.prompt.view.rows import Described, FeatureLine
from app.rendering.addresses import graph_address, model_page_address
from app.rendering.numbers import number
from app.store.types.catalogue import DictionaryView
from app.worker.client.readings import Reading
from app.worker.protocol.requests import MOST_EDITS


class Problems:
    """Sentences, each beside the control that it belongs to.

    Attributes:
        sentences: by control; the first of each.
        error: the first of all as it was raised; None: all is well.
    """

    def __init__(self) -> None:
        self.sentences: dict[str, str] = {}
        self.error: FeaturescopeError | None = None

    def add(self, place: str, error: FeaturescopeError) -> None:
        """Say at `place` what is wrong."""
        self.sentences.setdefault(place, str(error))
        self.error = self.error or error

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """What is raised inside is said at `place`."""
        try:
            yield
        except FeaturescopeError as error:
            self.add(place, error)


@dataclass(frozen=True)
class Prediction:
    """The prediction in question: `html` is its token; the rest as in `Target`."""

    position: int
    token: int
    html: Markup
    actual: bool
    likeliest: bool


@dataclass
class PromptPage:
    """What the templates of the prompt page show. What is None or empty was not asked for.

    Attributes:
        session: what is asked, of which model and dictionaries.
        problems: what of it cannot be answered.
        reading: the prompt.
        strips: the prompt, and the one it is compared with, as tokens.
        summary: the prompt in numbers.
        token: the chosen token.
        feature: the chosen feature.
        why: why it fires.
        prediction: the one in question.
        effects: the features responsible for it, as far as they are known.
        joints: what sets of features do together.
        lines: the table of active features, its first rows or all.
        active: how many features fire, on the chosen token where there is one.
        changes: effect on the prediction of the features in the table, where they are known.
        differences: features that differ from the second prompt, by kind, the first or all.
        counts: how many there are of each kind.
        numbers: the prompt's tokens in numbers, the first or all.
        neutral: what replaces tokens where nothing was typed, visibly.
    """

    session: PromptSession
    problems: Problems = field(default_factory=Problems)
    reading: Reading | None = None
    strips: list[Markup] = field(default_factory=list)
    summary: list[tuple[str, str]] = field(default_factory=list)
    token: TokenPanel | None = None
    feature: FeaturePanel | None = None
    why: WhyPanel | None = None
    prediction: Prediction | None = None
    effects: EffectsTable | None = None
    joints: list[Joint] = field(default_factory=list)
    lines: list[FeatureLine] = field(default_factory=list)
    active: int = 0
    changes: dict[FeatureName, str] = field(default_factory=dict)
    differences: dict[Kind, list[DifferenceLine]] = field(default_factory=dict)
    counts: dict[Kind, int] = field(default_factory=dict)
    numbers: list[TokenNumbers] = field(default_factory=list)
    neutral: str = ""

    @property
    def query(self) -> PromptQuery:
        """What is asked."""
        return self.session.query

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.session.model.name

    @property
    def dictionaries(self) -> list[DictionaryView]:
        """All that can be read."""
        return list(self.session.model.dictionaries.values())

    @property
    def opening(self) -> str:
        """Whether BOS opens the prompt."""
        return self.session.opening

    @property
    def chosen(self) -> list[str]:
        """Names of those that are read."""
        return list(self.session.chosen)

    @property
    def sort(self) -> Sort:
        """What features are ordered by."""
        return self.session.sort

    @property
    def uniform(self) -> str:
        """What a guess among all tokens of the vocabulary loses, nats."""
        return number(math.log(self.session.model.facts.d_vocab), 1)

    @property
    def most_steered(self) -> int:
        """Features that can be steered at once."""
        return MOST_EDITS

    @property
    def cited(self) -> list[tuple[DictionaryView, None]]:
        """What a citation of the page has to name: the dictionaries that are read."""
        return [(view, None) for view in self.session.chosen.values()]

    @property
    def action(self) -> str:
        """Where the page's forms go."""
        return model_page_address(self.model)

    @property
    def steer(self) -> str:
        """The steering page of the model."""
        return model_page_address(self.model, "steer")

    def steering(self, feature: Described) -> str:
        """The steering page with this prompt and a slider of a feature."""
        text = self.query.text or ""
        return model_page_address(self.model, "steer", text=text, f=str(feature.name))

    @property
    def graph(self) -> str:
        """The form of a graph of this prompt."""
        return graph_address(self.model, text=self.query.text or "")

    @property
    def prediction_graph(self) -> str:
        """The form of a graph of the prediction in question: what stands before it, and its token;
        of the whole prompt where that cannot be written as text."""
        if self.prediction is None or self.reading is None:
            return self.graph
        vocabulary = self.session.vocabulary
        before = self.reading.ids[: self.prediction.position]
        pieces = [vocabulary.pieces[token] for token in before if token != vocabulary.bos]
        try:
            text = b"".join(pieces).decode()
        except UnicodeDecodeError:
            return self.graph
        return graph_address(self.model, text=text, target=f"id:{self.prediction.token}")

    @property
    def feature_graph(self) -> str:
        """The form of a graph of the chosen feature, where it fires most; empty: nowhere."""
        feature = self.session.query.feature
        if feature is None or self.reading is None:
            return ""
        where, values = self.session.firings(self.reading, feature)
        if not len(where):
            return ""
        position = int(where[values.argmax()])
        target = f"{feature}@{position}"
        return graph_address(
            self.model, text=self.query.text or "", feature=target, d=feature.dictionary
        )

    @property
    def stream(self) -> str:
        """Where the effects come from as they are computed."""
        return f"{self.action}/effects"
