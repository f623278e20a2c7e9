"""A task's circuit, in sentences, tables and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from app.rendering.addresses import circuit_address, dictionary_address, graph_address
from app.rendering.charts.plots import Axis, Line, plot, swatch
from app.rendering.markup import trusted
from app.rendering.numbers import percent, signed
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.circuits import CircuitPrompt, CircuitView
from sae_core.circuits.tasks.result import Ability, ResponsibleFeature, TriedSet, interval

_CURVES = ("without these", "without random ones", "whole model")


@dataclass(frozen=True)
class SetRow:
    """The strongest features taken out together.

    Attributes:
        tried: what was tried.
        whole: the model as it is, on the same prompts.
    """

    tried: TriedSet
    whole: Ability

    @property
    def gap(self) -> str:
        """Without them, with its interval."""
        return _mean(self.tried.without.gap)

    @property
    def random_gap(self) -> str:
        """Without random ones, mean over draws, with its interval."""
        return _mean(tuple(self.tried.random_gap.tolist()))

    @property
    def more(self) -> str:
        """How much more is lost without them than without random ones, with its interval."""
        return _mean(tuple((self.tried.random_gap - np.array(self.tried.without.gap)).tolist()))

    @property
    def sentence(self) -> str:
        """The row in words."""
        return (
            f"without the {self.tried.size} strongest: {self.gap}, right on "
            f"{percent(self.tried.without.right)}; without as many random ones: {self.random_gap}, "
            f"right on {percent(self.tried.random_right)}"
        )


@dataclass(frozen=True)
class FeatureRowOfCircuit:
    """A responsible feature.

    Attributes:
        feature: its figures.
        name: what it is called.
        label: what people say it means; empty: nothing.
        rule: when it fires, where a rule says that better than chance; empty: none does.
        address: of its page; empty: there is none.
    """

    feature: ResponsibleFeature
    name: str
    label: str
    rule: str
    address: str

    @property
    def sentence(self) -> str:
        """Claim and measurement in words."""
        own = self.feature
        return (
            f"owed {signed(own.effect, 2)} ± {own.error:.2f}, without it alone "
            f"{signed(-own.alone, 2)}; fires on {percent(own.prompts)} of the prompts"
        )


@dataclass(frozen=True)
class CircuitPage:
    """A circuit with what the store knows of its features.

    Attributes:
        view: as it was kept.
        features: responsible ones, the strongest first.
        graphs: of its prompts: title and address.
        known: whether the store has the model.
    """

    view: CircuitView
    features: tuple[FeatureRowOfCircuit, ...]
    graphs: tuple[tuple[str, str], ...] = ()
    known: bool = False

    @property
    def address(self) -> str:
        """Of the page."""
        return circuit_address(self.view.record.model, self.view.name)

    @property
    def sets(self) -> tuple[SetRow, ...]:
        """Rows by size."""
        circuit = self.view.record.circuit
        return tuple(SetRow(tried, circuit.tried) for tried in circuit.sets)

    @property
    def ability(self) -> str:
        """What the whole model can do."""
        whole = self.view.record.circuit.whole
        return (
            f"The model is right on {percent(whole.right)} of {len(whole.gap)} prompts; right "
            f"answers are {_mean(whole.gap)} logits above wrong ones, and have "
            f"{percent(float(np.mean(whole.probability)))} of the probability."
        )

    @property
    def whole_gap(self) -> str:
        """Of the whole model on the prompts that sets are tried on, with its interval."""
        return _mean(self.view.record.circuit.tried.gap)

    @cached_property
    def correlation(self) -> float | None:
        """Of what features are owed and what is lost without each alone; None: too few."""
        rows = [own.feature for own in self.features]
        claimed, measured = ([getattr(own, n) for own in rows] for n in ("effect", "alone"))
        if len(rows) < 3 or np.std(claimed) == 0 or np.std(measured) == 0:
            return None
        return float(np.corrcoef(claimed, measured)[0, 1])

    @property
    def agreement(self) -> str:
        """How far claims hold when features are taken out one by one."""
        if not self.features:
            return "No feature fires on the prompts."
        same = [own.feature.effect * own.feature.alone > 0 for own in self.features]
        text = (
            f"Taken out one by one, {percent(float(np.mean(same)))} of the {len(same)} features "
            "change the answer the way that is claimed"
        )
        if self.correlation is None:
            return f"{text}."
        return f"{text}; claim and measurement correlate by {signed(self.correlation, 2)}."

    @property
    def prompts(self) -> list[tuple[CircuitPrompt, float, float, bool, str]]:
        """Each prompt: its gap, the probability of right answers, whether features were found on
        it, and the address of a graph of it; empty: the store has no such model."""
        record = self.view.record
        whole = record.circuit.whole
        return [
            (prompt, gap, probability, n % 2 == 0, self._graph_of(prompt))
            for n, (prompt, gap, probability) in enumerate(
                zip(record.prompts, whole.gap, whole.probability, strict=True)
            )
        ]

    def _graph_of(self, prompt: CircuitPrompt) -> str:
        if not self.known:
            return ""
        targets = [("target", text) for text in (*prompt.right, *prompt.wrong)]
        return graph_address(self.view.record.model, text=prompt.text) + "".join(
            f"&{name}={_quoted(text)}" for name, text in targets
        )

    @property
    def key(self) -> list[tuple[Markup, str]]:
        """What the curves are."""
        return [(trusted(swatch(n, mark=False)), name) for n, name in enumerate(_CURVES)]

    @property
    def picture(self) -> Markup:
        """The gap by the number of features that are taken out."""
        rows = self.sets
        sizes = [0, *(row.tried.size for row in rows)]
        whole = float(np.mean(self.view.record.circuit.tried.gap))
        curves = (
            [whole, *(float(np.mean(row.tried.without.gap)) for row in rows)],
            [whole, *(float(np.mean(row.tried.random_gap)) for row in rows)],
            [whole] * len(sizes),
        )
        lines = [
            Line(name, style, list(zip(sizes, curve, strict=True)), faint=style == 2)
            for style, (name, curve) in enumerate(zip(_CURVES, curves, strict=True))
        ]
        return trusted(
            plot(
                "The gap by the number of features taken out",
                Axis("features taken out"),
                Axis("right less wrong (logits)", zero=False),
                lines,
            )
        )


def circuit_page(view: CircuitView, store: Store | None = None) -> CircuitPage:
    """A circuit; with a store beside what is known of its features."""
    record = view.record
    views = {} if store is None else _dictionaries(store, record.model)
    there: list[DictionaryView | None] = []
    for own in record.dictionaries:
        known = views.get(own.name)
        same = known is not None and own.checksum in ("", known.checksum)
        there.append(known if same else None)
    rows = []
    labels = _labels(store, view, there)
    for feature in record.circuit.features:
        known = there[feature.place] if feature.place < len(there) else None
        name = f"{printable(record.dictionaries[feature.place].name)} {feature.feature}"
        address = (
            "" if known is None else dictionary_address(known.model, known.name, feature.feature)
        )
        label = labels.get((feature.place, feature.feature), "")
        rule = _rule(store, known, feature.feature)
        rows.append(FeatureRowOfCircuit(feature, name, label, rule, address))
    graphs: tuple[tuple[str, str], ...] = ()
    if store is not None:
        texts = {prompt.text for prompt in record.prompts}
        graphs = tuple(
            (own.title, graph_address(own.model, own.name))
            for own in store.graphs.all(record.model)
            if own.prompt in texts and not own.withdrawn
        )
    return CircuitPage(view, tuple(rows), graphs, bool(views))


def _address(known: DictionaryView | None, feature: int) -> str:
    return "" if known is None else dictionary_address(known.model, known.name, feature)


def _rule(store: Store | None, known: DictionaryView | None, feature: int) -> str:
    """When a feature fires, in words; empty: no rule is above its null."""
    if store is None or known is None:
        return ""
    rule = store.rules.of_feature(known, feature)
    return printable(rule.sentence) if rule is not None and rule.above else ""


def _dictionaries(store: Store, model: str) -> Mapping[str, DictionaryView]:
    return {
        view.name: view
        for view in store.catalogue()
        if view.model == model and view.harvest is not None
    }


def _labels(
    store: Store | None, view: CircuitView, there: list[DictionaryView | None]
) -> dict[tuple[int, int], str]:
    labels: dict[tuple[int, int], str] = {}
    for place, known in enumerate(there):
        numbers = [own.feature for own in view.record.circuit.features if own.place == place]
        if store is None or known is None or not numbers:
            continue
        texts = store.labels.texts(known, numbers)
        labels.update({(place, n): printable(text) for n, text in texts.items() if text})
    return labels


def _mean(values: tuple[float, ...]) -> str:
    low, high = interval(values)
    return f"{signed(float(np.mean(values)), 2)} ({signed(low, 2)} to {signed(high, 2)})"


def _quoted(text: str) -> str:
    return quote(text, safe="")
