"""What the worker answered about steering, as HTML for those who read without scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from app.pages.steer import schema as types
from app.rendering.markup import trusted
from app.rendering.numbers import percent
from app.rendering.tokens import NEWLINE, RETURN, TAB, printable
from app.web.live.stream import LiveEvent
from app.worker.protocol.events import Pane

N_GIVEN = 160  # characters
_MARKS = {NEWLINE: f"<i>{NEWLINE}</i>\n"} | {sign: f"<i>{sign}</i>" for sign in (TAB, RETURN)}


@dataclass(frozen=True)
class SteerTexts:
    """Both texts and what else changed.

    Attributes:
        texts: HTML of each pane, a <bdi> for each token.
        perplexities: how surprising each pane's text is under the unsteered model; None: not known.
        effects: the features that changed most; None: not known.
    """

    texts: dict[Pane, Markup]
    perplexities: dict[Pane, float | None]
    effects: types.SideEffectsEvent | None

    @classmethod
    def of(cls, events: Iterable[LiveEvent]) -> SteerTexts:
        """From the events that a client would get."""
        tokens: dict[Pane, list[str]] = {pane: [] for pane in Pane}
        perplexities: dict[Pane, float | None] = dict.fromkeys(Pane)
        effects = None
        for event in events:
            match event:
                case types.TokenEvent():
                    tokens[event.pane].append(_token(event))
                case types.TraitsEvent():
                    perplexities[event.pane] = event.perplexity
                case types.SideEffectsEvent():
                    effects = event
        texts = {pane: trusted("".join(parts)) for pane, parts in tokens.items()}
        return cls(texts, perplexities, effects)


def given(prompt: str) -> Markup:
    """The end of a prompt, as it stands before a text."""
    end = f"…{prompt[-N_GIVEN:]}" if len(prompt) > N_GIVEN else prompt
    return trusted(_running(printable(end)))


def _token(event: types.TokenEvent) -> str:
    shown = event.text if event.shown is None else event.shown
    return f'<bdi title="probability {percent(event.probability)}">{_running(shown)}</bdi>'


def _running(shown: str) -> str:
    """Running text, of which everything is visible already: lines break after their marks."""
    return "".join(_MARKS.get(char, escape(char)) for char in shown)
