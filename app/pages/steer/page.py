"""The steering page, worked out: everything its templates only have to place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from markupsafe import Markup

from app.errors import FeaturescopeError, InvalidRequest
from app.pages.steer import requests as steering
from app.pages.steer.questions import SteerQuestion
from app.pages.steer.state import DEFAULTS, Slider, SteerState, is_number
from app.pages.steer.texts import SteerTexts, given
from app.rendering.addresses import dictionary_address
from app.rendering.markup import trusted
from app.rendering.numbers import activation
from app.rendering.tokens import Typeset
from app.store.types.catalogue import DictionaryView, FeatureRow, PresetView
from app.web.model import AddressedModel
from app.web.site import Site
from app.worker.protocol.requests import MOST_EDITS, SWEPT, SteerMode

MODES = (
    (SteerMode.ADD, "add", "x + s·m·d: adds the feature's direction everywhere; 0 changes nothing"),
    (SteerMode.CLAMP, "clamp", "the feature reads s·m everywhere; 0 takes it away"),
    (SteerMode.SCALE, "scale", "what fires anyway becomes s times as strong; 1 changes nothing"),
    (SteerMode.CAP, "cap", "along the feature's direction x reads at most s·m"),
    (SteerMode.REMOVE, "remove", "s of what x has along the feature's direction is taken out"),
)
NEUTRAL = {SteerMode.ADD: "0", SteerMode.CLAMP: "0", SteerMode.SCALE: "1", SteerMode.REMOVE: "0"}


@dataclass(frozen=True)
class FeatureSummary:
    """A feature in one line.

    Attributes:
        dictionary: its name.
        row: what the table knows of it.
        address: the address of the feature's page.
        tokens: HTML of the tokens that it raises most.
        maximum: its largest activation, with the digits that mean something.
    """

    dictionary: str
    row: FeatureRow
    address: str
    tokens: tuple[Markup, ...]
    maximum: str

    @classmethod
    def of(cls, view: DictionaryView, row: FeatureRow, typeset: Typeset) -> FeatureSummary:
        """The line of a feature."""
        return cls(
            dictionary=view.name,
            row=row,
            address=dictionary_address(view.model, view.name, row.index),
            tokens=tuple(trusted(typeset.label[t]) for t in row.strongest),
            maximum=activation(row.maximum, row.maximum),
        )


@dataclass(frozen=True)
class SliderCard:
    """A slider with its feature.

    Attributes:
        slider: the slider as it was asked for.
        line: the feature; None where there is none such.
        problem: why it cannot be used; empty where it can.
    """

    slider: Slider
    line: FeatureSummary | None
    problem: str


@dataclass(frozen=True)
class SteerPage:
    """What the templates of the steering page show.

    Attributes:
        of: the model that is steered.
        state: what the address says.
        cards: one for each slider.
        problems: sentences by the field that they stand beside.
        question: what to ask the worker; None where there are problems.
        presets: the model's named settings.
        chosen: name of the dictionary in which features are looked for.
        typed: what was looked for.
        matches: the features that fit it.
        texts: what the worker answered; None: it was not asked.
        failure: why it did not answer; empty where it did.
    """

    of: AddressedModel
    state: SteerState
    cards: tuple[SliderCard, ...]
    problems: Mapping[str, str]
    question: SteerQuestion | None
    presets: Sequence[PresetView] = ()
    chosen: str = ""
    typed: str = ""
    matches: Sequence[FeatureSummary] = ()
    texts: SteerTexts | None = None
    failure: str = ""
    modes: tuple[tuple[SteerMode, str, str], ...] = field(default=MODES, init=False)
    most: int = field(default=MOST_EDITS, init=False)
    swept: tuple[float, ...] = field(default=SWEPT, init=False)
    defaults: Mapping[str, str] = field(default_factory=lambda: DEFAULTS, init=False)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.of.name

    @property
    def cited(self) -> list[tuple[DictionaryView, int | None]]:
        """What a citation of the page has to name: the features of the sliders, else a dictionary
        for its model."""
        lines = [card.line for card in self.cards if card.line is not None]
        features = [(self.of.dictionaries[line.dictionary], line.row.index) for line in lines]
        return [*features] or [(self.of.facts, None)]

    @property
    def base(self) -> str:
        """The address of the page without its state."""
        return SteerState().address(self.model)

    @property
    def chat(self) -> str:
        """The page of conversations, with the same sliders."""
        sliders = replace(SteerState(), sliders=self.state.sliders).query()
        return f"/m/{quote(self.model, safe='')}/chat" + (f"?{sliders}" if sliders else "")

    @property
    def interface(self) -> str:
        """The address of the model in the JSON interface."""
        return f"/api/v1/m/{quote(self.model, safe='')}"

    @property
    def prompt_page(self) -> str:
        """The prompt page with the same text."""
        text = f"?text={quote(self.state.text, safe='')}" if self.state.text else ""
        return f"/m/{quote(self.model, safe='')}/prompt{text}"

    @property
    def address(self) -> str:
        """The address that restores it."""
        return self.state.address(self.model)

    @staticmethod
    def is_number(text: str) -> bool:
        """See `state.is_number`."""
        return is_number(text)

    @property
    def refused(self) -> bool:
        """Whether something in the address cannot be used."""
        return bool(self.problems) or any(card.problem for card in self.cards)

    @property
    def without_malformed(self) -> str:
        """The address without what names no feature."""
        return replace(self.state, malformed=()).address(self.model)

    @property
    def python(self) -> str:
        """The address of the page as a program."""
        return f"{self.base}/python?{self.state.query()}"

    @property
    def given(self) -> Markup:
        """The end of the prompt, as it stands before the texts."""
        return given(self.state.text)

    def adding(self, line: FeatureSummary) -> str:
        """The address with one more feature."""
        return self.state.adding(line.dictionary, line.row.index).address(self.model)

    def preset_address(self, preset: PresetView) -> str:
        """The page that a preset restores."""
        return SteerState.of(SteerQuestion.model_validate(preset.settings)).address(self.model)


def steer_page(
    site: Site, model: AddressedModel, state: SteerState, dictionary: str, typed: str
) -> SteerPage:
    """The page of a state, before any text.

    Args:
        site: finds features.
        model: that is steered.
        state: what the address says.
        dictionary: in which features are looked for; empty: that of the last slider.
        typed: what is looked for.

    Raises:
        NotFound: there is no such dictionary.
    """
    question, problems = state.question()
    if question is not None:
        try:
            steering.check_room(model, question)
        except InvalidRequest as error:
            problems["n"] = str(error)
        state = SteerState.of(question)  # as pages write it: fields hold no other forms of numbers
    steered = [s.dictionary for s in state.sliders if s.dictionary in model.dictionaries]
    view = model.dictionary(dictionary or steered[-1]) if dictionary or steered else model.facts
    rows = site.search.find(model.store, model.typeset, view, typed[:200])
    return SteerPage(
        of=model,
        state=state,
        cards=cards_of(model, state, problems),
        problems=problems,
        question=question,
        presets=model.store.presets(model.name),
        chosen=view.name,
        typed=typed,
        matches=[FeatureSummary.of(view, row, model.typeset) for row in rows],
    )


def cards_of(
    model: AddressedModel, state: SteerState, problems: Mapping[str, str]
) -> tuple[SliderCard, ...]:
    """A card for each slider; what does not exist has a sentence in the place of its feature."""
    cards = []
    for place, slider in enumerate(state.sliders):
        line, problem = None, problems.get(f"f{place}", "")
        try:
            line = line_of(model, slider)
        except FeaturescopeError as error:
            problem = problem or str(error)
        cards.append(SliderCard(slider, line, problem))
    return tuple(cards)


def line_of(model: AddressedModel, slider: Slider) -> FeatureSummary | None:
    """The feature of a slider; None where its number is none.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature.
    """
    view = model.dictionary(slider.dictionary)
    if not (slider.feature.isascii() and slider.feature.isdecimal() and len(slider.feature) < 19):
        return None
    return FeatureSummary.of(view, model.row(view, int(slider.feature)), model.typeset)
