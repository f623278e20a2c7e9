"""Reading features, their windows and the table of them. Used by `Store` alone."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, func, select

from app.errors import InvalidRequest, NotFound
from app.store.blobs.codec import unpack_body, unpack_summary, unpack_tokens
from app.store.columns import fits
from app.store.schema import StoredFeature, StoredHarvest, StoredLanding, StoredRule, StoredWindow
from app.store.tables import catalogue as store_catalogue
from app.store.tables import effects as store_effects
from app.store.tables import landings as store_landings
from app.store.tables import postings as store_postings
from app.store.tables import rules as store_rules
from app.store.tables.comparisons import recurrences
from app.store.types.catalogue import (
    DictionaryView,
    FeatureRow,
    FeatureScales,
    FeatureTable,
    FeatureView,
)
from app.store.types.queries import FeatureQuery
from app.store.written.label_texts import shown_texts
from sae_core.harvest.records import FeatureRecord, WindowRecord

_KEYS = {
    "index": StoredFeature.index,
    "density": StoredFeature.firings,  # shares of one number of tokens
    "maximum": StoredFeature.maximum,
    "effect": func.coalesce(StoredLanding.effect, -1.0),
    "rule": store_rules.KEY,
    "found": recurrences.KEY,
    "label": StoredFeature.label,
}
_DOWN = {
    "density": StoredFeature.by_density,
    "maximum": StoredFeature.by_maximum,
    "effect": StoredLanding.by_effect,
    "rule": StoredRule.by_rule,
    "found": recurrences.DOWN,
}
_UP = {
    "density": StoredFeature.by_density_up,
    "maximum": StoredFeature.by_maximum_up,
    "effect": StoredLanding.by_effect_up,
    "rule": StoredRule.by_rule_up,
    "found": recurrences.UP,
}
# built once: a hundred numbers in it are slow to make a statement of
_WINDOWS = select(
    StoredWindow.number, StoredWindow.document, StoredWindow.line, StoredWindow.tokens
).where(
    StoredWindow.set_id == bindparam("set_id"),
    StoredWindow.number.in_(bindparam("numbers", expanding=True)),
)
_PUBLISHED = select(StoredHarvest.set_id, StoredHarvest.digest).where(
    StoredHarvest.dictionary_id == bindparam("dictionary_id")
)
_FEATURE = (
    select(
        StoredFeature.firings,
        StoredFeature.maximum,
        StoredFeature.density_low,
        StoredFeature.density_high,
        StoredFeature.label,
        StoredFeature.summary,
        StoredFeature.body,
        *store_landings.COLUMNS,
    )
    .outerjoin(StoredLanding, store_landings.JOINED)
    .where(
        StoredFeature.dictionary_id == bindparam("dictionary_id"),
        StoredFeature.index == bindparam("at"),
    )
)
_ROW = (
    StoredFeature.index,
    StoredFeature.firings,
    StoredFeature.maximum,
    StoredFeature.label,
    StoredFeature.summary,
    *store_landings.COLUMNS,
    *store_rules.COLUMNS,
    *recurrences.COLUMNS,
)
_ROWS = (
    select(*_ROW)
    .outerjoin(StoredLanding, store_landings.JOINED)
    .outerjoin(StoredRule, store_rules.JOINED)
    .outerjoin(*recurrences.JOINED)
    .where(
        StoredFeature.dictionary_id == bindparam("dictionary_id"),
        StoredFeature.index.in_(bindparam("indices", expanding=True)),
    )
)


@dataclass(frozen=True)
class Published:
    """A dictionary as of this transaction, and its windows' set."""

    dictionary: DictionaryView
    set_id: int


def published(connection: Connection, dictionary: DictionaryView) -> Published:
    """The dictionary as it is now: a harvest may have been published since `dictionary` was read.

    Raises:
        NotFound: nothing is published of it.
    """
    row = connection.execute(_PUBLISHED, {"dictionary_id": dictionary.id}).first()
    if row is None:
        raise NotFound(
            f"Nothing is published of {dictionary.title} yet. Run `featurescope harvest` for it."
        )
    if row.digest != dictionary.digest:
        dictionary = store_catalogue.view_by_id(connection, dictionary.id) or dictionary
    return Published(dictionary, row.set_id)


def table(
    connection: Connection,
    dictionary: DictionaryView,
    query: FeatureQuery,
    tokens: Collection[int] | None = None,
) -> FeatureTable:
    """One page of the table: an index finds its features, then only their rows are read.

    `tokens` are those that fit the query's pattern of what features fire on.
    """
    query.check()
    there = published(connection, dictionary)
    now = there.dictionary
    knows_tokens = store_postings.knows(connection, now.id, store_postings.FIRES_ON)
    knows_effects = store_landings.known(connection, now)
    if tokens is not None and not knows_tokens:
        raise InvalidRequest(
            f"What the features of {now.title} fire on is not known: an older version harvested "
            "it, or it was imported. Harvest it again with this version."
        )
    knows_rules = store_rules.known(connection, now)
    trainings = recurrences.known(connection, now)
    query.check_known(now.title, knows_effects, knows_rules, trainings > 0)
    conditions = _conditions(connection, now, query, tokens)
    total = _total(connection, now, query, conditions)
    pages = max(1, -(-total // query.per_page))
    if query.page > pages:
        raise NotFound(f"There is no page {query.page} of this table; the last one is {pages}.")
    start = (query.page - 1) * query.per_page
    count = min(query.per_page, total - start)
    if _is_narrowed(query) or query.sort == "label":
        indices = _walk(connection, conditions, query, start, count, total)
        chosen: ColumnElement[bool] = StoredFeature.index.in_(indices)
    else:
        chosen = _places(now, query, start, count, total)
    statement = select(*_ROW, _KEYS[query.sort].label("key"))
    statement = statement.outerjoin(StoredLanding, store_landings.JOINED)
    statement = statement.outerjoin(StoredRule, store_rules.JOINED)
    statement = statement.outerjoin(*recurrences.JOINED)
    statement = statement.where(StoredFeature.dictionary_id == now.id, chosen)
    rows = list(connection.execute(statement).mappings()) if count else []
    rows.sort(key=lambda row: row["index"])
    rows.sort(key=lambda row: row["key"], reverse=query.descending)
    return FeatureTable(
        dictionary=now,
        rows=_with_windows(connection, there.set_id, [_row(row, now) for row in rows]),
        total=total,
        page=query.page,
        pages=pages,
        matching=None if tokens is None else len(tokens),
        knows_tokens=knows_tokens,
        knows_effects=knows_effects,
        knows_rules=knows_rules,
        trainings=trainings,
    )


def feature(connection: Connection, dictionary: DictionaryView, index: int) -> FeatureView:
    """One feature, its windows, its cached effects, its relations' labels: five statements."""
    there = published(connection, dictionary)
    now = there.dictionary
    here = {"dictionary_id": now.id, "at": index}
    row = connection.execute(_FEATURE, here).mappings().first() if fits(index) else None
    if row is None:
        raise NotFound(
            f"{now.title} has features 0 to {now.d_sae - 1}; there is no feature {index}."
        )
    what = f"Feature {index} of {now.title}"
    summary, body = unpack_summary(row["summary"], what), unpack_body(row["body"], what)
    record = FeatureRecord(
        index=index,
        firings=row["firings"],
        maximum=row["maximum"],
        activations=summary.activations,
        logits=body.logits,
        raised=summary.raised,
        lowered=body.lowered,
        neurons=body.neurons,
        nearest=body.nearest,
        coactive=body.coactive,
        groups=body.groups,
        density_interval=_interval(row["density_low"], row["density_high"]),
        fires_on=summary.fires_on,
        fires_after=summary.fires_after,
    )
    numbers = {n for group in body.groups for n in group.examples.windows.tolist()}
    return FeatureView(
        dictionary=now,
        record=record,
        label=row["label"],
        windows=_windows(connection, there.set_id, sorted(numbers)),
        effects=store_effects.of_feature(connection, now, index),
        landing=store_landings.of_row(row, what),
        names=shown_texts(
            connection, now.id, [*body.nearest.ids.tolist(), *body.coactive.ids.tolist()]
        ),
    )


def rows(
    connection: Connection, dictionary: DictionaryView, indices: Collection[int], contexts: bool
) -> dict[int, FeatureRow]:
    """The table's rows of some features, by index; those that do not exist are left out."""
    there = published(connection, dictionary)
    here = {"dictionary_id": dictionary.id, "indices": sorted(filter(fits, set(indices)))}
    stored = connection.execute(_ROWS, here).mappings()
    read = [_row(row, there.dictionary) for row in stored]
    shown = _with_windows(connection, there.set_id, read) if contexts else read
    return {row.index: row for row in shown}


def scales(connection: Connection, dictionary: DictionaryView) -> tuple[str, FeatureScales]:
    """Density and maximum of every feature, and the digest of the harvest that they are from."""
    now = published(connection, dictionary).dictionary
    maxima, firings = np.zeros(now.d_sae), np.zeros(now.d_sae, dtype=np.int64)
    columns = select(StoredFeature.index, StoredFeature.maximum, StoredFeature.firings)
    for index, maximum, count in connection.execute(
        columns.where(StoredFeature.dictionary_id == now.id)
    ):
        maxima[index], firings[index] = maximum, count
    return now.digest, FeatureScales(maxima, firings, now.n_tokens)


def window(connection: Connection, dictionary: DictionaryView, number: int) -> WindowRecord:
    """One window of the set that the dictionary's harvest refers to."""
    there = published(connection, dictionary)
    windows = _windows(connection, there.set_id, [number]) if fits(number) else {}
    if number not in windows:
        raise NotFound(f"No example of {dictionary.title} lies in a window {number}.")
    return windows[number]


def random_feature(connection: Connection, dictionary: DictionaryView) -> int:
    """A feature that fires, where one does."""
    now = published(connection, dictionary).dictionary
    if now.alive == 0:
        return random.randrange(now.d_sae)  # noqa: S311
    place = random.randrange(now.alive)  # noqa: S311
    here = (StoredFeature.dictionary_id == now.id, StoredFeature.by_index == place)
    return connection.scalars(select(StoredFeature.index).where(*here)).one()


def _conditions(
    connection: Connection,
    now: DictionaryView,
    query: FeatureQuery,
    tokens: Collection[int] | None,
) -> list[ColumnElement[bool]]:
    conditions = [StoredFeature.dictionary_id == now.id]
    if query.alive is not None:
        conditions.append(StoredFeature.firings > 0 if query.alive else StoredFeature.firings == 0)
    if query.search:
        conditions.append(StoredFeature.label.icontains(query.search, autoescape=True))
    if tokens is not None:
        fit = store_postings.features(connection, now.id, store_postings.FIRES_ON, tokens)
        conditions.append(store_postings.among(connection, fit))
    if query.above_null:
        conditions.append(StoredFeature.index.in_(store_rules.above_null(now)))
    if query.found:
        conditions.append(StoredFeature.index.in_(recurrences.found_in(now, query.found)))
    return conditions


def _is_narrowed(query: FeatureQuery) -> bool:
    return bool(query.search or query.fires_on or query.above_null or query.found)


def _total(
    connection: Connection,
    now: DictionaryView,
    query: FeatureQuery,
    conditions: list[ColumnElement[bool]],
) -> int:
    if _is_narrowed(query):
        counted = select(func.count()).select_from(StoredFeature).where(*conditions)
        return connection.scalars(counted).one()
    if query.alive is None:
        return now.d_sae
    return now.alive if query.alive else now.d_sae - now.alive


def _places(
    now: DictionaryView, query: FeatureQuery, start: int, count: int, total: int
) -> ColumnElement[bool]:
    """The page as a range of places in an order that the harvest was stored with."""
    dead = now.d_sae - now.alive
    if query.sort == "index":
        column = StoredFeature.index if query.alive is None else StoredFeature.by_index
        first = now.alive if query.alive is False else 0
        start = total - start - count if query.descending else start
    elif query.descending:
        column = _DOWN[query.sort]
        first = now.alive if query.alive is False else 0
    else:
        column = _UP[query.sort]
        first = dead if query.alive else 0
    return column.between(first + start, first + start + count - 1)


def _walk(
    connection: Connection,
    conditions: list[ColumnElement[bool]],
    query: FeatureQuery,
    start: int,
    count: int,
    total: int,
) -> list[int]:
    """The page's features by walking from the nearer end of an order."""
    from_end = start > total // 2
    key = _KEYS[query.sort]
    index = StoredFeature.index.desc() if from_end else StoredFeature.index.asc()
    chosen = (
        select(StoredFeature.index)
        .outerjoin(StoredLanding, store_landings.JOINED)
        .outerjoin(StoredRule, store_rules.JOINED)
        .outerjoin(*recurrences.JOINED)
        .where(*conditions)
        .order_by(key.desc() if query.descending != from_end else key.asc(), index)
        .offset(total - start - count if from_end else start)
        .limit(count)
    )
    return list(connection.scalars(chosen))


def _interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _row(row: RowMapping, now: DictionaryView) -> FeatureRow:
    what = f"Feature {row['index']} of {now.title}"
    summary = unpack_summary(row["summary"], what)
    return FeatureRow(
        index=row["index"],
        firings=row["firings"],
        density=row["firings"] / max(1, now.n_tokens),
        maximum=row["maximum"],
        histogram=summary.activations,
        label=row["label"],
        raised=summary.raised,
        n_tokens=now.n_tokens,
        fires_on=summary.fires_on,
        fires_after=summary.fires_after,
        landing=store_landings.of_row(row, what),
        rule=store_rules.of_row(row),
        recurrence=recurrences.of_row(row),
        best=summary.best,
    )


def _with_windows(
    connection: Connection, set_id: int, rows: list[FeatureRow]
) -> tuple[FeatureRow, ...]:
    """The rows with the windows of their best contexts."""
    numbers = {int(row.best.windows[0]) for row in rows if row.best is not None}
    windows = _windows(connection, set_id, sorted(numbers))
    return tuple(
        row if row.best is None else replace(row, window=windows[int(row.best.windows[0])])
        for row in rows
    )


def _windows(connection: Connection, set_id: int, numbers: list[int]) -> dict[int, WindowRecord]:
    stored = connection.execute(_WINDOWS, {"set_id": set_id, "numbers": numbers})
    return {
        number: WindowRecord(number, document, line, unpack_tokens(tokens, f"Window {number}"))
        for number, document, line, tokens in stored
    }
