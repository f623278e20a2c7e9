"""The rows of the prompt page's tables: what the store and the worker say of each feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.pages.prompt.active_features import ActiveFeatures
from app.pages.prompt.query import FeatureName
from app.rendering.addresses import dictionary_address
from app.rendering.charts.bars import fires, share_bar
from app.rendering.contexts import activation_levels
from app.rendering.markup import trusted
from app.rendering.numbers import activation, number, percent
from app.rendering.templates import noun
from app.rendering.tokens import Typeset
from app.rendering.underlines import Underlines
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow

MOST_ROWS = 100


@dataclass(frozen=True)
class Described:
    """A feature as every table of the page names it.

    Attributes:
        name: as addresses have it.
        address: the address of the feature's page.
        noun: feature or neuron.
        label: what it means in words; empty: not said yet.
        tokens: those whose logits it raises most.
    """

    name: FeatureName
    address: str
    noun: str
    label: str
    tokens: tuple[Markup, ...]


@dataclass(frozen=True)
class FeatureLine:
    """One row of the table of active features.

    Attributes:
        described: the feature.
        key: unique in the page, for its element's id.
        maximum: largest activation on the prompt, or on the chosen token.
        total: sum of its activations there.
        count: tokens of the prompt on which it fires.
        density: share of the tokens of the harvest on which it fires.
        share: the maximum as a share of that in the harvest.
        rarity: see `prompt_features.RARITY`.
        bar: the share, drawn.
        where: where it fires on the prompt, drawn.
        chosen: whether it is the chosen one.
    """

    described: Described
    key: str
    maximum: str
    total: str
    count: int
    density: str
    share: str
    rarity: str
    bar: Markup
    where: Markup
    chosen: bool


class FeatureLines:
    """Writes rows: one read of the store for each dictionary, however many rows.

    Args:
        store: what features mean.
        dictionaries: by name, those that were read.
        typeset: the tokens of the dictionaries' model.
        n_tokens: how many tokens the prompt has.
    """

    def __init__(
        self,
        store: Store,
        dictionaries: Mapping[str, DictionaryView],
        typeset: Typeset,
        n_tokens: int,
    ) -> None:
        self._store = store
        self._dictionaries = dictionaries
        self._typeset = typeset
        self._n_tokens = n_tokens

    def underlines(self, name: FeatureName) -> Underlines:
        """Which changes of the loss are drawn for a feature, and which are rounding."""
        return Underlines.of(self._dictionaries[name.dictionary])

    def described(self, names: Iterable[FeatureName]) -> dict[FeatureName, Described]:
        """The features of these names, as far as the store has them."""
        wanted: dict[str, list[int]] = {}
        for name in dict.fromkeys(names):
            wanted.setdefault(name.dictionary, []).append(name.index)
        described = {}
        for dictionary, indices in wanted.items():
            view = self._dictionaries[dictionary]
            base = dictionary_address(view.model, view.name)
            for index, row in self._store.rows(view, indices).items():
                described[FeatureName(dictionary, index)] = self._described(view, base, row)
        return described

    def lines(
        self,
        features: ActiveFeatures,
        rows: Sequence[int],
        chosen: FeatureName | None,
    ) -> list[FeatureLine]:
        """The active features at these rows, in this order."""
        names = [features.name(row) for row in rows]
        known = self.described(names)
        return [
            self._line(features, row, known[name], name == chosen)
            for row, name in zip(rows, names, strict=True)
            if name in known
        ]

    def _described(self, view: DictionaryView, base: str, row: FeatureRow) -> Described:
        return Described(
            FeatureName(view.name, row.index),
            f"{base}/{row.index}",
            noun(view),
            row.label,
            tuple(trusted(self._typeset.label[token]) for token in row.strongest),
        )

    def _line(
        self, features: ActiveFeatures, row: int, described: Described, chosen: bool
    ) -> FeatureLine:
        positions, values = features.where(row)
        share = float(features.share[row])
        ever = float(features.maximum[row]) / share if share > 0 else 0.0
        return FeatureLine(
            described=described,
            key=f"{features.dictionary[row]}-{described.name.index}",
            maximum=activation(float(features.maximum[row]), ever),
            total=activation(float(features.total[row]), ever),
            count=len(positions),
            density=percent(float(features.density[row])),
            share=f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %",
            rarity=number(float(features.rarity[row]), 2),
            bar=share_bar(share),
            where=fires(positions, activation_levels(values, ever), self._n_tokens),
            chosen=chosen,
        )
