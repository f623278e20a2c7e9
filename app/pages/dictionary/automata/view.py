"""Automata as pages and the command show them: sentences, rows and a diagram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from app.errors import NotFound
from app.pages.dictionary.automata.diagram import diagram
from app.rendering.addresses import dictionary_address
from app.rendering.numbers import count, number, percent
from app.rendering.tokens import Typeset, printable
from app.rendering.words.summary import summary_of_row
from app.store.store import Store
from app.store.types.automata import TrialArm, TriedStep
from app.store.types.catalogue import DictionaryView, FeatureRow
from sae_core.circuits.automata.mining import Step
from sae_core.circuits.automata.shapes import Automaton
from sae_core.harvest.density import wilson_interval

TOKENS = 3
"""Written tokens that a step is drawn with."""


@dataclass(frozen=True)
class NodeRow:
    """A feature of an automaton.

    Attributes:
        index: its number.
        words: its label, or its rule, or what it is in a line; plain text.
        address: of its page.
    """

    index: int
    words: str
    address: str


@dataclass(frozen=True)
class StepRow:
    """A step.

    Attributes:
        step: with its figures.
        tokens: that come at it, the most frequent first, as written in plain text.
        tried: what steering says; None: it was not checked.
    """

    step: Step
    tokens: tuple[str, ...]
    tried: TriedStep | None

    @property
    def span(self) -> str:
        """The interval of the share; empty: too few documents."""
        low, high = self.step.low, self.step.high
        return "" if low != low else f"{percent(low)} to {percent(high)}"

    @property
    def lift(self) -> str:
        """As written."""
        return number(self.step.lift)

    @property
    def beyond(self) -> str:
        """As written."""
        return number(self.step.beyond)

    @property
    def corrected(self) -> str:
        """As written."""
        return f"{self.step.corrected:.1g}" if self.step.corrected >= 1e-300 else "< 1e-300"

    @property
    def held(self) -> str:
        """The figures on the documents that were not mined, in words; empty: there were none."""
        held = self.step.held
        if held is None:
            return ""
        return (
            f"{count(held.support)} of {count(held.firings)} firings, {percent(held.share)}, lift "
            f"{number(held.lift)}, beyond the tokens {number(held.beyond)}, mechanism "
            f"{percent(held.mechanism)}"
        )

    @property
    def sentence(self) -> str:
        """The row in words."""
        step, within = self.step, f" ({self.span})" if self.span else ""
        return (
            f"{step.source} writes {', '.join(self.tokens)} and {step.target} fires: "
            f"{count(step.support)} of {count(step.firings)} firings in {count(step.documents)} "
            f"documents, {percent(step.share)}{within}, against {percent(step.base)} of all "
            f"tokens: lift {self.lift}, beyond the tokens {self.beyond}, mechanism "
            f"{percent(step.mechanism)}, p {self.corrected}"
        )

    @property
    def checked(self) -> str:
        """What steering says, in words; empty: it was not checked."""
        if self.tried is None:
            return ""
        return f"steering: {'; '.join(map(_arm, self.tried.arms))}: {self.verdict}"

    @property
    def verdict(self) -> str:
        """Whether the model agrees, by the intervals alone; empty: it was not checked."""
        if self.tried is None:
            return ""
        spans = {(arm.arm, arm.strength): _span(arm) for arm in self.tried.arms}
        above = any(
            low > max(spans.get(("random", strength), (0, 1))[1], spans[("unsteered", 0.0)][1])
            for (arm, strength), (low, _) in spans.items()
            if arm == "steered"
        )
        return "confirmed" if above else "not confirmed"


@dataclass(frozen=True)
class AutomatonPage:
    """An automaton.

    Attributes:
        name: part of its address.
        recurrent: whether some step can be come back to.
        nodes: its features, in the order in which they are drawn.
        rows: its steps, the strongest first.
        picture: the diagram.
        address: of its page.
    """

    name: str
    recurrent: bool
    nodes: tuple[NodeRow, ...]
    rows: tuple[StepRow, ...]
    picture: Markup
    address: str

    @property
    def title(self) -> str:
        """Its features' numbers, as the steps go."""
        return " → ".join(str(node.index) for node in self.nodes)


def automaton_page(
    store: Store, typeset: Typeset, dictionary: DictionaryView, automaton: Automaton
) -> AutomatonPage:
    """One automaton, with what is known of its features and checks."""
    rows = store.rows(dictionary, automaton.features)
    trials = store.search.automata.trials(dictionary)
    return _page(typeset, dictionary, automaton, rows, trials)


def automata_pages(
    store: Store, typeset: Typeset, dictionary: DictionaryView, automata: tuple[Automaton, ...]
) -> list[AutomatonPage]:
    """Several, in their order."""
    wanted = {feature for automaton in automata for feature in automaton.features}
    rows = store.rows(dictionary, sorted(wanted))
    trials = store.search.automata.trials(dictionary)
    return [_page(typeset, dictionary, automaton, rows, trials) for automaton in automata]


def known_automaton(store: Store, dictionary: DictionaryView, name: str) -> Automaton:
    """The automaton of an address.

    Raises:
        NotFound: there is none.
    """
    mined = store.search.automata.of(dictionary)
    for automaton in mined.automata if mined else ():
        if automaton.name == name:
            return automaton
    raise NotFound(
        f"{dictionary.title} has no automaton {name!r:.80}. Those that it has are listed at "
        f"{dictionary_address(dictionary.model, dictionary.name, 'automata')}."
    )


def _page(
    typeset: Typeset,
    dictionary: DictionaryView,
    automaton: Automaton,
    rows: Mapping[int, FeatureRow],
    trials: Mapping[tuple[int, int], TriedStep],
) -> AutomatonPage:
    address = dictionary_address(dictionary.model, dictionary.name, "automata", automaton.name)
    nodes = tuple(
        NodeRow(
            feature,
            _words(rows.get(feature), typeset),
            dictionary_address(dictionary.model, dictionary.name, feature),
        )
        for feature in automaton.features
    )
    steps = tuple(
        StepRow(
            step,
            tuple(typeset.copyable(token) for token, _ in step.tokens[:TOKENS]),
            trials.get((step.source, step.target)),
        )
        for step in automaton.steps
    )
    return AutomatonPage(
        name=automaton.name,
        recurrent=automaton.recurrent,
        nodes=nodes,
        rows=steps,
        picture=diagram(
            [(node.index, node.words, node.address) for node in nodes],
            [(row.step.source, row.step.target, row.step.share, row.tokens) for row in steps],
        ),
        address=address,
    )


def _words(row: FeatureRow | None, typeset: Typeset) -> str:
    if row is None:
        return ""
    if row.label:
        return printable(row.label)
    if row.rule is not None and row.rule.sentence:
        return printable(row.rule.sentence)
    return summary_of_row(row, typeset).text


def _span(arm: TrialArm) -> tuple[float, float]:
    return wilson_interval(arm.fired, arm.contexts)


def _arm(arm: TrialArm) -> str:
    name = {"unsteered": "unsteered", "steered": "steered", "random": "random features"}[arm.arm]
    strength = "" if arm.arm == "unsteered" else f" × {arm.strength:g}"
    low, high = _span(arm)
    return f"{name}{strength} {arm.fired} of {arm.contexts} ({percent(low)} to {percent(high)})"
