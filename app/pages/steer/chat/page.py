"""The page of conversations, worked out: everything its templates only have to place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from app.errors import FeaturescopeError
from app.pages.steer.chat.conversations import format_of
from app.pages.steer.chat.schema import MOST_TRAITS
from app.pages.steer.page import SteerPage
from app.pages.steer.state import DEFAULTS, SteerState
from app.store.types.annotations import ListView
from app.store.written.audit.monitors.records import MonitorLine
from app.worker.protocol.chats import ChatScope
from app.worker.protocol.monitors import MOST_MONITORS

SCOPES = (
    (ChatScope.EVERYTHING, "everything"),
    (ChatScope.CONTENTS, "what is said"),
    (ChatScope.ANSWER, "the answer alone"),
)
USUAL_TOKENS = 96  # of an answer, where the context has twice as much room


@dataclass(frozen=True)
class ChatPage:
    """What the templates of the page show.

    Attributes:
        steer: its sliders and settings.
        lists: the lists that can be followed as traits, each with whether it is.
        monitors: those of the model, each with whether it watches.
        gone: names of monitors that the address asks for, and that the model does not have.
        gate: what an alarm does, as the address says.
        missing: names of lists that the address follows, and that are not there.
        is_plain: whether the model has no template of its own.
        problem: why its template cannot be used; empty where it can.
        scope: which tokens are steered.
        defaults: the settings that addresses leave out.
        most_traits: that are followed at once.
        most_monitors: that watch at once.
    """

    steer: SteerPage
    lists: Sequence[tuple[ListView, bool]]
    monitors: Sequence[tuple[MonitorLine, bool]]
    gone: Sequence[str]
    gate: str
    missing: Sequence[str]
    is_plain: bool
    problem: str
    scope: str
    defaults: Mapping[str, str]
    most_traits: int = MOST_TRAITS
    most_monitors: int = MOST_MONITORS
    scopes: tuple[tuple[ChatScope, str], ...] = SCOPES

    @classmethod
    def of(
        cls,
        steer: SteerPage,
        lists: Sequence[ListView],
        monitors: Sequence[MonitorLine],
        query: Sequence[tuple[str, str]],
    ) -> ChatPage:
        """The page around the sliders of the steering page.

        Args:
            steer: that page, worked out.
            lists: that may be followed as traits.
            monitors: of the model.
            query: names and values of the address.
        """
        followed, watching = (
            tuple(dict.fromkeys(value for name, value in query if name == key))
            for key in ("trait", "monitor")
        )
        is_plain, problem = False, ""
        try:
            facts = steer.of.facts
            template = format_of(facts, steer.of.store.vocabulary(facts.model_id)).template
            is_plain = not template.is_own
        except FeaturescopeError as error:
            problem = str(error)
        shown = [(view, view.name in followed[:MOST_TRAITS]) for view in lists]
        there = {view.name for view in lists}
        missing = [name for name in followed if name not in there]
        own = {line.name for line in monitors}
        watched = [(line, line.name in watching[:MOST_MONITORS]) for line in monitors]
        gone = [name for name in watching if name not in own]
        scope, gate = (dict(query).get(name, "") for name in ("tokens", "gate"))
        usual = usual_settings(steer.of.facts.n_ctx)
        return cls(*(steer, shown, watched, gone, gate, missing, is_plain, problem, scope, usual))

    @property
    def base(self) -> str:
        """The address of the page without its state."""
        return f"/m/{quote(self.steer.model, safe='')}/chat"


def usual_settings(n_ctx: int) -> dict[str, str]:
    """What addresses leave out. Answers are longer than continuations, and two of them are easier
    to compare without chance."""
    return DEFAULTS | {"n": str(max(1, min(USUAL_TOKENS, n_ctx // 2))), "temperature": "0"}


def chat_state(query: Iterable[tuple[str, str]], n_ctx: int) -> SteerState:
    """What the address says of sliders and settings.

    Args:
        query: names and values.
        n_ctx: positions of the model's context; an answer takes half of them, unless it is said.
    """
    pairs = list(query)
    given = {name for name, _ in pairs}
    state = SteerState.read(pairs)
    usual = {name: value for name, value in usual_settings(n_ctx).items() if name not in given}
    return replace(state, settings={**state.settings, **usual})
