"""The address of the steering page, which alone restores it, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from app.pages.steer.questions import SteerQuestion
from app.web.errors import sentence_of
from app.worker.protocol.requests import SteerMode

DEFAULT_STRENGTH = "0.25"
"""Of a slider that comes without one. In sweeps of the demo's features the text stays coherent for
70 % of them at a quarter of the maximum, and for 30 % at the maximum."""
_OFF = "off"
_MODES = frozenset(mode.value for mode in SteerMode)
_DEFAULTS = SteerQuestion()
FIELDS = {
    "scope": "scope",
    "n": "n_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
}
"""Name in addresses -> name in questions."""


_NUMBER = re.compile(r"-?\d*\.?\d+([eE][-+]?\d+)?", re.ASCII)


def is_number(text: str) -> bool:
    """Whether a number field of a browser shows a text: it empties itself of anything else."""
    return _NUMBER.fullmatch(text) is not None


def written(value: Any) -> str:
    """A setting as it stands in addresses and fields: the shortest that reads back the same."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


DEFAULTS = {name: written(getattr(_DEFAULTS, key)) for name, key in FIELDS.items()}


@dataclass(frozen=True)
class Slider:
    """One feature as it was asked for, whether or not that makes sense.

    Attributes:
        dictionary: its name.
        feature: its index.
        mode: add, clamp or scale.
        strength: in multiples of its maximum.
        on: whether it is applied.
    """

    dictionary: str
    feature: str
    mode: str = SteerMode.ADD.value
    strength: str = DEFAULT_STRENGTH
    on: bool = True

    @classmethod
    def read(cls, text: str) -> Slider | None:
        """From `dictionary:index[:mode:strength[:off]]`; None where it is nothing like that."""
        on = not text.endswith(f":{_OFF}")
        text = text.removesuffix(f":{_OFF}")
        parts = text.rsplit(":", 3)
        if len(parts) == 4 and parts[2] in _MODES:
            return cls(parts[0], parts[1], parts[2], parts[3], on)
        dictionary, _, feature = text.rpartition(":")
        return cls(dictionary, feature, on=on) if dictionary and feature else None

    @property
    def is_number(self) -> bool:
        """Whether the strength is a number as fields of browsers show it."""
        return is_number(self.strength)

    @property
    def text(self) -> str:
        """As `read` takes it."""
        parts = [self.dictionary, self.feature, self.mode, self.strength]
        return ":".join(parts if self.on else [*parts, _OFF])


@dataclass(frozen=True)
class SteerState:
    """All that the steering page shows before anything is computed.

    Attributes:
        text: the prompt.
        sliders: one for each feature.
        settings: the other values as they were given, by their names in addresses.
        malformed: what was given for a feature and names none.
    """

    text: str = ""
    sliders: tuple[Slider, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    malformed: tuple[str, ...] = ()

    @classmethod
    def read(cls, query: Iterable[tuple[str, str]]) -> SteerState:
        """From the names and values of an address."""
        pairs = list(query)
        given = dict(pairs)
        features = [value for name, value in pairs if name == "f"]
        sliders = [Slider.read(value) for value in features]
        return cls(
            text=given.get("text", "").replace("\r\n", "\n"),  # forms send line breaks so
            sliders=tuple(slider for slider in sliders if slider),
            settings={name: given.get(name, default) for name, default in DEFAULTS.items()},
            malformed=tuple(
                value for value, slider in zip(features, sliders, strict=True) if not slider
            ),
        )

    @classmethod
    def submitted(cls, query: Iterable[tuple[str, str]]) -> SteerState:
        """From the page's own form, sent without scripts: each `f` has its `m` and `s` beside it.

        `on` names by their places the features that are on, `drop` one that goes.
        """
        pairs = list(query)
        state = cls.read(pairs)
        several = {key: [v for name, v in pairs if name == key] for key in ("m", "s", "on", "drop")}
        sliders = [
            replace(slider, mode=mode, strength=strength, on=str(place) in several["on"])
            for place, (slider, mode, strength) in enumerate(
                zip(state.sliders, several["m"], several["s"], strict=False)
            )
            if str(place) not in several["drop"]
        ]
        return replace(state, sliders=tuple(sliders))

    @classmethod
    def of(cls, question: SteerQuestion) -> SteerState:
        """The page of a question."""
        return cls(
            text=question.prompt,
            sliders=tuple(
                Slider(
                    edit.dictionary,
                    written(edit.feature),
                    edit.mode.value,
                    written(edit.strength),
                    edit.on,
                )
                for edit in question.edits
            ),
            settings={name: written(getattr(question, key)) for name, key in FIELDS.items()},
        )

    def question(self) -> tuple[SteerQuestion | None, dict[str, str]]:
        """What is asked, or what cannot be used.

        Sentences are by the name of the field: `text`, `n`, …, `f` for the features as a whole,
        `f0`, `f1`, … for each.
        """
        given: dict[str, Any] = {key: self.settings[name] for name, key in FIELDS.items()}
        given["prompt"] = self.text
        given["edits"] = [asdict(slider) for slider in self.sliders]
        problems = {}
        if self.malformed:
            problems["f"] = (
                f"{self.malformed[0][:80]!r} names no feature: write "
                "dictionary:index:mode:strength, such as mlp-4096:17:add:4."
            )
        try:
            question = SteerQuestion.model_validate(given)
        except ValidationError as error:
            names = {key: name for name, key in FIELDS.items()} | {"prompt": "text", "edits": "f"}
            for problem in error.errors():
                name = names[str(problem["loc"][0])] + "".join(map(str, problem["loc"][1:2]))
                problems.setdefault(name, sentence_of(problem).replace("n_tokens", "tokens", 1))
            return None, problems
        return (None if problems else question), problems

    def query(self, **more: str) -> str:
        """The part of the address after the question mark; defaults are left out."""
        pairs = [("text", self.text)] if self.text else []
        pairs += [("f", slider.text) for slider in self.sliders]
        pairs += [("f", text) for text in self.malformed]
        pairs += [(n, v) for n, v in self.settings.items() if v != DEFAULTS[n]]
        return urlencode([*pairs, *more.items()], safe=":", quote_via=quote, errors="replace")

    def address(self, model: str, **more: str) -> str:
        """Of the page that this state restores."""
        query = self.query(**more)
        return f"/m/{quote(model, safe='')}/steer" + (f"?{query}" if query else "")

    def adding(self, dictionary: str, feature: int) -> SteerState:
        """With one more feature."""
        return replace(self, sliders=(*self.sliders, Slider(dictionary, str(feature))))
