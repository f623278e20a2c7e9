"""A feature as it is drawn, on its page and in exported files: templates only place it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup

from app.rendering.addresses import dictionary_address
from app.rendering.charts.histograms import chart
from app.rendering.contexts import Context, ContextStyle, ContextWriter, unpack
from app.rendering.markup import trusted
from app.rendering.numbers import activation, count, percent
from app.rendering.templates import noun
from app.rendering.token_rows import TokenRow, token_rows
from app.rendering.tokens import Typeset
from app.rendering.underlines import Underlines
from app.rendering.words.summary import Sentence, summary_of
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureView
from sae_core.harvest.records import ContextEffect, ExampleGroup, GroupKind, Ranking

_HEADINGS = {GroupKind.TOP: "Top activations", GroupKind.WEAKEST: "Weakest"}


@dataclass(frozen=True)
class RankedToken:
    """A row of the tokens that a feature raises or lowers.

    Attributes:
        html: the token with everything in it visible.
        copyable: its own text as a JSON string.
        weight: logits that one unit of activation adds to the token's, or its share of the
            feature's firings, or nats that the feature helps it by.
        share: of the contexts in which the effect lands on it; None elsewhere.
    """

    html: Markup
    copyable: str
    weight: float
    share: float | None


@dataclass(frozen=True)
class RelatedRow:
    """A row of neurons or features related to this one.

    Attributes:
        index: number of the neuron or feature.
        address: address of its page; empty where it has none.
        weight: entry of d_f, cosine, or Jaccard index.
        share: of ||d_f||_1 or of this feature's firings; None where it means nothing.
        label: what it means, in words; empty: not said yet.
    """

    index: int
    address: str
    weight: float
    share: float | None
    label: str


@dataclass(frozen=True)
class GroupPart:
    """One group of contexts on the page.

    Attributes:
        key: its name in addresses and ids.
        heading: what it is called.
        facts: its range and its share of the firings, in words.
        items: the contexts; empty where the range has no firing.
        waiting: whether underlines are still to come.
        address: address of the group by itself, with its underlines.
    """

    key: str
    heading: str
    facts: str
    items: Markup
    waiting: bool
    address: str


def other_dictionaries(dictionary: DictionaryView, all_of: Iterable[DictionaryView]) -> str | None:
    """The dictionary whose numbers stand in `FeatureRecord.neurons`: the neuron basis where it
    writes, or, for the neuron basis itself, the writers that its harvest names."""
    there = [
        other.name
        for other in all_of
        if other.model == dictionary.model
        and other.output_hook_point == dictionary.output_hook_point
        and other.is_neurons != dictionary.is_neurons
        and other.harvest is not None
    ]
    if dictionary.is_neurons:
        writers = dictionary.details.get("writers")
        return writers if writers in there else None
    return there[0] if there else None


def with_counterpart(
    store: Store, view: FeatureView, all_of: Iterable[DictionaryView]
) -> tuple[FeatureView, str | None]:
    """A feature with the labels of what `record.neurons` names, and whose features these are."""
    views = list(all_of)
    name = other_dictionaries(view.dictionary, views)
    of_model = (other for other in views if other.model == view.dictionary.model)
    other = next((other for other in of_model if other.name == name), None)
    if other is None:
        return view, None
    texts = store.labels.texts(other, view.record.neurons.ids.tolist())
    return replace(view, neuron_names=texts), name


class FeaturePage:
    """What the templates of a feature show.

    Args:
        view: the feature as stored, with its dictionary.
        typeset: the tokens of its language model.
        style: how its contexts are shown.
        counterpart: name of the dictionary that its aligned neurons link to, if there is one.
        embedded: for a frame in somebody's page: nothing to type into, links open elsewhere.
        text: the reader's own, on which the feature is tested; empty: none.
    """

    def __init__(
        self,
        view: FeatureView,
        typeset: Typeset,
        style: ContextStyle,
        counterpart: str | None = None,
        embedded: bool = False,
        text: str = "",
    ) -> None:
        self.text = text
        self.embedded = embedded
        dictionary = view.dictionary
        self.dictionary = dictionary
        self.view = view
        self.record = view.record
        self.style = style
        self.counterpart = counterpart
        self.noun = noun(dictionary)
        self._typeset = typeset
        self.address = dictionary_address(dictionary.model, dictionary.name, view.record.index)
        self._writer = ContextWriter(
            typeset,
            view.record.maximum,
            self.address,
            style,
            Underlines.of(dictionary),
            steers=not dictionary.is_imported,
        )

    @property
    def dead(self) -> bool:
        """Whether it never fires."""
        return self.record.firings == 0

    @property
    def density(self) -> float:
        """Share of the harvest's tokens on which it fires."""
        return self.view.density

    @property
    def summary(self) -> Sentence:
        """What it fires on and helps, in one line; nothing where that is not known."""
        return summary_of(self.view, self._typeset)

    @property
    def query(self) -> str:
        """The query that keeps the style, with its question mark; empty for the default."""
        return self.styled(self.style).removeprefix(self.address)

    def styled(self, style: ContextStyle, text: str = "") -> str:
        """The address of this page in another style, tested on a text."""
        return dictionary_address(
            self.dictionary.model,
            self.dictionary.name,
            self.record.index,
            width="full" if style.full else "",
            newlines="1" if style.newlines else "",
            text=text,
        )

    @property
    def toggled_width(self) -> str:
        """This page with the other width."""
        return self.styled(ContextStyle(not self.style.full, self.style.newlines), self.text)

    @property
    def toggled_newlines(self) -> str:
        """This page with lines breaking, or no longer."""
        return self.styled(ContextStyle(self.style.full, not self.style.newlines), self.text)

    def neighbour(self, step: int) -> str:
        """The page of the feature `step` further in the same style; empty beyond the ends."""
        index = self.record.index + step
        if not 0 <= index < self.dictionary.d_sae:
            return ""
        return dictionary_address(self.dictionary.model, self.dictionary.name, index) + self.query

    @property
    def activations_chart(self) -> Markup:
        """Histogram of the activations, counts on a log scale."""
        return trusted(
            chart(
                self.record.activations,
                "Activations",
                "activation (model units)",
                "tokens, log",
                log=True,
            )
        )

    @property
    def logits_chart(self) -> Markup:
        """Histogram of the logit weights over the vocabulary."""
        return trusted(
            chart(
                self.record.logits,
                "Logit weights over the vocabulary",
                "logit weight (logits per unit)",
                "vocabulary",
                log=False,
            )
        )

    def tokens(self, ranking: Ranking) -> list[RankedToken]:
        """The tokens of a ranking, ready to be shown."""
        typeset = self._typeset
        shares = ranking.shares.tolist() or [None] * len(ranking.ids)
        rows = zip(ranking.ids.tolist(), ranking.weights.tolist(), shares, strict=True)
        return [
            RankedToken(trusted(typeset.label[token]), typeset.copyable(token), weight, share)
            for token, weight, share in rows
        ]

    def related(self, ranking: Ranking, dictionary: str | None) -> list[RelatedRow]:
        """The rows of a ranking, linked to pages of the named dictionary of the same model."""
        shares = ranking.shares.tolist() or [None] * len(ranking.ids)
        rows = zip(ranking.ids.tolist(), ranking.weights.tolist(), shares, strict=True)
        of_neurons = ranking is self.record.neurons
        names = self.view.neuron_names if of_neurons else self.view.names
        return [
            RelatedRow(
                index,
                dictionary_address(self.dictionary.model, dictionary, index) if dictionary else "",
                weight,
                share,
                names.get(index, ""),
            )
            for index, weight, share in rows
        ]

    def contexts(self, group: ExampleGroup) -> list[Context]:
        """The contexts of a group."""
        return unpack(group, self.view.windows, self._typeset)

    def item(self, key: str, context: Context, effect: ContextEffect | None) -> Markup:
        """One context as a list item."""
        return trusted(self._writer.context(key, context, effect))

    def rows(self, context: Context, effect: ContextEffect | None) -> list[TokenRow]:
        """One context in numbers."""
        return token_rows(context, effect, self._typeset, self.record.maximum)

    def part(
        self, group: ExampleGroup, effects: Mapping[int, ContextEffect] | None = None
    ) -> GroupPart:
        """A group with the effects given, or those that the store has."""
        key, contexts = group.key, self.contexts(group)
        known = self.view.effects if effects is None else effects
        return GroupPart(
            key=key,
            heading=_HEADINGS.get(group.kind, f"Band {group.number}"),
            facts=self._facts(group),
            items=trusted(self._writer.group(key, contexts, known)),
            waiting=not self.view.dictionary.is_imported
            and any(context.window.number not in known for context in contexts),
            address=f"{self.address}/groups/{key}{self.query}",
        )

    @property
    def parts(self) -> list[GroupPart]:
        """All groups, with whatever effects the store has."""
        return [self.part(group) for group in self.record.groups]

    def _facts(self, group: ExampleGroup) -> str:
        """Range and share of a group."""
        low = activation(group.low, self.record.maximum)
        high = activation(group.high, self.record.maximum)
        if self.view.dictionary.is_imported and group.kind is GroupKind.TOP:
            return f"{low} – {high} · {len(group.examples)} contexts, as the source chose them"
        if group.kind is GroupKind.BAND:
            share = group.firings / self.record.firings if self.record.firings else 0.0
            if group.firings == 0:
                return f"{low} – {high} · no firing in this range"
            return (
                f"{low} – {high} · {percent(share)} of firings ({count(group.firings)}) · "
                f"{len(group.examples)} drawn"
            )
        return f"{low} – {high} · {len(group.examples)} contexts, no document twice"
