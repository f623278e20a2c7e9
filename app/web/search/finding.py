"""Finding features by what is typed: a number, words of labels and rules, tokens.

The search of one dictionary, and then of several:

1. A number is the feature of that number; `mlp-4096/12` is that of one dictionary.
2. The index of words gives labels, notes and rules that hold all terms.
3. The vocabulary gives the tokens that fit, short lists by token the features that fire on them, or
   raise them, most: those at the heads of the lists, exact tokens before longer ones.
4. One query gives the rows of all of these.

Each step reads a bounded number of rows, whatever a dictionary's size.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from app.rendering.tokens import Typeset, Typesets
from app.store.search.finder import TextMatch
from app.store.search.words import LONGEST_TYPED, WordQuery
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.search.kinds import SearchKind
from app.web.search.results import (
    Reason,
    SearchGroup,
    SearchHit,
    SearchResults,
    marked,
    of_number,
    of_share,
    of_weight,
)
from app.web.search.token_search import FittingTokens, TokenSearch
from sae_core.harvest.records import Ranking

MOST_DICTIONARIES = 32  # searched at once
MOST_HITS = 50  # of a kind
_CANDIDATES = 2  # rows that are read for each hit of a kind by token
_NUMBER = re.compile(r"#?(?:(?P<of>.{1,800})/)?(?P<index>[0-9]{1,18})", re.DOTALL)
EVERY = tuple(SearchKind)


@dataclass
class _Part:
    """What fits in one dictionary, before its rows are read."""

    dictionary: DictionaryView
    typeset: Typeset
    numbers: list[int] = field(default_factory=list)
    texts: dict[SearchKind, tuple[TextMatch, ...]] = field(default_factory=dict)
    by_token: dict[SearchKind, dict[int, list[int]]] = field(default_factory=dict)
    tokens: FittingTokens = field(default_factory=FittingTokens)
    more: set[SearchKind] = field(default_factory=set)
    unknown: set[SearchKind] = field(default_factory=set)

    @property
    def wanted(self) -> set[int]:
        features = {*self.numbers}
        features.update(match.index for texts in self.texts.values() for match in texts)
        features.update(index for lists in self.by_token.values() for index in lists)
        return features


@dataclass(frozen=True)
class _Found:
    """A hit with its place among those of its kind, the smallest first."""

    place: tuple[float, ...]
    hit: SearchHit


class FeatureSearch:
    """Finds features. Safe to share between threads."""

    def __init__(self) -> None:
        self._tokens = TokenSearch()

    def search(
        self,
        store: Store,
        typesets: Typesets,
        scope: Sequence[DictionaryView],
        typed: str,
        kinds: Collection[SearchKind] = EVERY,
        most: int = 8,
    ) -> SearchResults:
        """Everything that fits, by kind.

        Args:
            store: where the features are.
            typesets: how tokens look.
            scope: the dictionaries that are searched, those that are harvested.
            typed: any text.
            kinds: only these.
            most: hits of a kind.

        Raises:
            InvalidRequest: the text is too long.
        """
        query = WordQuery.of(typed)
        if not typed.strip():
            return SearchResults((), "Type a number, words, or a token such as self or \\n.")
        harvested = [view for view in scope if view.harvest is not None]
        searched = harvested[:MOST_DICTIONARIES]
        most = min(most, MOST_HITS)
        found: dict[SearchKind, list[_Found]] = {kind: [] for kind in SearchKind}
        more: set[SearchKind] = set()
        unknown: dict[SearchKind, list[str]] = {kind: [] for kind in SearchKind}
        for view in searched:
            typeset = typesets.of(view.model_id, store.vocabulary(view.model_id))
            part = self._part(store, view, typeset, typed, query, kinds, most)
            rows = store.rows(view, part.wanted) if part.wanted else {}
            for kind in kinds:
                found[kind] += _hits(part, kind, rows)
            more |= part.more
            for kind in part.unknown:
                unknown[kind].append(view.title)
        groups = []
        for kind in SearchKind:
            ranked = sorted(found[kind], key=attrgetter("place"))
            group = SearchGroup(
                kind,
                tuple(each.hit for each in ranked[:most]),
                kind in more or len(ranked) > most,
                _unknown(unknown[kind]),
            )
            if group.hits or group.note:
                groups.append(group)
        return SearchResults(tuple(groups), _note(groups, harvested))

    def find(
        self, store: Store, typeset: Typeset, dictionary: DictionaryView, typed: str, most: int = 12
    ) -> list[FeatureRow]:
        """The features of a dictionary that fit best: of that number, then by label, by the tokens
        that they raise, by those that they fire on. Empty finds nothing.

        Args:
            store: where the features are read.
            typeset: the tokens of the dictionary's language model.
            dictionary: the dictionary whose features are searched.
            typed: what the user typed; only the beginning of a long text counts.
            most: how many features are returned at the most.
        """
        typed = typed[:LONGEST_TYPED]
        if not typed.strip():
            return []
        kinds = (SearchKind.NUMBER, SearchKind.LABELS, SearchKind.RAISES, SearchKind.ON)
        part = self._part(store, dictionary, typeset, typed, WordQuery.of(typed), kinds, most)
        rows = store.rows(dictionary, part.wanted) if part.wanted else {}
        wanted: dict[int, FeatureRow] = {}
        for kind in kinds:
            for each in sorted(_hits(part, kind, rows), key=attrgetter("place")):
                wanted.setdefault(each.hit.row.index, each.hit.row)
        return list(wanted.values())[:most]

    def _part(
        self,
        store: Store,
        view: DictionaryView,
        typeset: Typeset,
        typed: str,
        query: WordQuery,
        kinds: Collection[SearchKind],
        most: int,
    ) -> _Part:
        part = _Part(view, typeset)
        if SearchKind.NUMBER in kinds and (index := number_in(view, typed)) is not None:
            part.numbers.append(index)
        for kind, of in (
            (SearchKind.LABELS, store.search.labels),
            (SearchKind.RULES, store.search.rules),
        ):
            if kind in kinds and query.terms:
                matches = of(view, query, most + 1)
                part.texts[kind] = matches.best
                part.more |= {kind} if matches.more or len(matches.best) > most else set()
        if {SearchKind.ON, SearchKind.RAISES} & set(kinds):
            part.tokens = self._tokens.find(view.model_id, typeset.vocabulary, typed)
            fitting = (*part.tokens.same, *part.tokens.holding)
            for kind, lists_of in (
                (SearchKind.ON, store.search.firing_on),
                (SearchKind.RAISES, store.search.raising),
            ):
                lists = lists_of(view, fitting) if kind in kinds and fitting else {}
                if lists is None:
                    part.unknown.add(kind)
                else:
                    self._heads(part, kind, lists, _CANDIDATES * most)
        return part

    def _heads(
        self, part: _Part, kind: SearchKind, lists: Mapping[int, list[int]], most: int
    ) -> None:
        """Features at the heads of the lists with the tokens that they are there for: exact tokens
        first, then one of each longer token after the other."""
        heads: dict[int, list[int]] = {}
        for tokens in (part.tokens.same, part.tokens.holding):
            there = [token for token in tokens if token in lists]
            longest = max((len(lists[token]) for token in there), default=0)
            for place in range(longest):
                for token in there:
                    if place < len(lists[token]):
                        index = lists[token][place]
                        if index in heads:
                            heads[index].append(token)
                        elif len(heads) < most:
                            heads[index] = [token]
                        else:
                            part.more.add(kind)
        part.by_token[kind] = heads


def number_in(view: DictionaryView, typed: str) -> int | None:
    """The feature of a dictionary that a text is the number of: `12`, `#12`, `mlp-4096/12` or
    `demo/mlp-4096/12`; None: it is no such number, or there is no such feature."""
    match = _NUMBER.fullmatch(typed.strip())
    if match is None or match["of"] not in (None, view.name, f"{view.model}/{view.name}"):
        return None
    index = int(match["index"])
    return index if index < view.d_sae else None


def _hits(part: _Part, kind: SearchKind, rows: Mapping[int, FeatureRow]) -> list[_Found]:
    def hit(index: int, reason: Reason) -> SearchHit:
        return SearchHit(part.dictionary, rows[index], reason, part.typeset)

    if kind is SearchKind.NUMBER:
        return [_Found((), hit(n, of_number(n))) for n in part.numbers if n in rows]
    if kind in (SearchKind.LABELS, SearchKind.RULES):
        return [
            _Found(match.rank, hit(match.index, marked(match.text, match.spans)))
            for match in part.texts.get(kind, ())
            if match.index in rows
        ]
    found = []
    for index, tokens in part.by_token.get(kind, {}).items():
        row = rows.get(index)
        ranking = None if row is None else row.fires_on if kind is SearchKind.ON else row.raised
        if ranking is not None and (best := _best(ranking, tokens)) is not None:
            token, weight = best
            reason = of_share if kind is SearchKind.ON else of_weight
            far = float(token not in part.tokens.same)
            found.append(
                _Found((far, -weight, index), hit(index, reason(token, weight, part.typeset)))
            )
    return found


def _best(ranking: Ranking, tokens: Collection[int]) -> tuple[int, float] | None:
    """The token of largest weight among some of a ranking's."""
    for token, weight in zip(ranking.ids.tolist(), ranking.weights.tolist(), strict=True):
        if token in tokens:
            return token, weight
    return None


def _unknown(titles: list[str]) -> str:
    if not titles:
        return ""
    names = ", ".join(titles[:3]) + (", …" if len(titles) > 3 else "")
    return (
        f"An older version harvested {names}, without this: give `featurescope harvest` again to "
        "search it."
    )


def _note(groups: Sequence[SearchGroup], harvested: Sequence[DictionaryView]) -> str:
    if not harvested:
        return "There is nothing to search yet: harvest a dictionary first."
    if not any(group.hits for group in groups):
        return "Nothing fits."
    if len(harvested) > MOST_DICTIONARIES:
        return (
            f"The first {MOST_DICTIONARIES} of {len(harvested)} dictionaries were searched: choose "
            "one to search others."
        )
    return ""
