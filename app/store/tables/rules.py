"""The rules of a dictionary's features, written with a harvest. Used by `Store` alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Select, bindparam, case, func, select
from sqlalchemy.engine import RowMapping

from app.errors import StoreError
from app.store.columns import escape, fits
from app.store.database import reading
from app.store.schema import StoredFeature, StoredRule
from app.store.tables import catalogue as store_catalogue
from app.store.tables.bulk import bulk_insert, read_numbers
from app.store.types.catalogue import DictionaryView
from app.store.types.rules import RuleBrief
from sae_core.errors import RuleError
from sae_core.rules.predicate import predicate_of_json
from sae_core.rules.record import NullTest, RuleFigure, RuleRecord, RuleTest

KEPT_SCORES = 16  # of dictionaries: 4 bytes a feature

COLUMNS = (
    StoredRule.f1.label("rule_f1"),
    StoredRule.above.label("rule_above"),
    StoredRule.sentence.label("rule_sentence"),
    StoredRule.predicate.label("rule_predicate"),
)
JOINED = (StoredRule.dictionary_id == StoredFeature.dictionary_id) & (
    StoredRule.index == StoredFeature.index
)
# Without a rule F1 counts as 0, and a dead feature for less.
KEY = case((StoredFeature.firings > 0, func.coalesce(StoredRule.f1, 0.0)), else_=-1.0)
_RULE = select(StoredRule.sentence, StoredRule.predicate, StoredRule.figures).where(
    StoredRule.dictionary_id == bindparam("dictionary_id"), StoredRule.index == bindparam("at")
)
_FIGURES = ("f1", "precision", "recall", "correlation")


class FeatureRules:
    """The rules that harvests learnt.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._scores: LRUCache[tuple[int, str], NDArray[np.float32]] = LRUCache(KEPT_SCORES)
        self._lock = threading.Lock()

    def of_feature(self, dictionary: DictionaryView, index: int) -> RuleRecord | None:
        """The rule of a feature; None where none was learnt, as by a harvest without them.

        Raises:
            StoreError: what is stored makes no sense.
        """
        here = {"dictionary_id": dictionary.id, "at": index}
        with reading(self._engine) as connection:
            row = connection.execute(_RULE, here).first() if fits(index) else None
        if row is None:
            return None
        try:
            return _record(index, row.sentence, row.predicate, json.loads(row.figures))
        except (RuleError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(
                f"The rule of feature {index} of {dictionary.title} cannot be read ({error}). "
                "Harvest the dictionary again."
            ) from None

    def scores(self, dictionary: DictionaryView) -> NDArray[np.float32]:
        """F1 on held-out documents of every rule that is above its null, float32 [d_sae]; -1
        elsewhere. Kept in memory until the next harvest."""
        key = (dictionary.id, dictionary.digest)
        with self._lock:
            scores = self._scores.get(key)
        if scores is None:
            scores = np.full(dictionary.d_sae, -1.0, dtype=np.float32)
            query = above_null(dictionary).add_columns(StoredRule.f1)
            with reading(self._engine) as connection:
                indices, f1 = read_numbers(connection, query)
            scores[indices.astype(np.int64)] = f1
            with self._lock:
                self._scores[key] = scores
        return scores


def known(connection: Connection, dictionary: DictionaryView) -> bool:
    """Whether rules were learnt for a dictionary."""
    query = select(StoredRule.index).where(StoredRule.dictionary_id == dictionary.id)
    return connection.scalar(query.limit(1)) is not None


def above_null(dictionary: DictionaryView) -> Select[Any]:
    """The features whose rule is above its null."""
    return select(StoredRule.index).where(
        StoredRule.dictionary_id == dictionary.id, StoredRule.above == 1
    )


def of_row(row: RowMapping) -> RuleBrief | None:
    """From a row with `COLUMNS`, joined by `JOINED`; None where there is no rule."""
    if not row["rule_predicate"]:
        return None
    return RuleBrief(row["rule_sentence"], row["rule_f1"], bool(row["rule_above"]))


def write(
    connection: Connection,
    dictionary_id: int,
    dead: Collection[int],
    records: Iterable[RuleRecord],
) -> None:
    """Keep the rules of a harvest that is being published: those of all its features, or none.

    Args:
        connection: of that transaction.
        dictionary_id: of the dictionary.
        dead: features that never fire.
        records: by index.
    """
    kept = sorted(records, key=lambda record: record.index)
    index = np.array([record.index for record in kept], dtype=np.int64)
    f1 = np.array([record.f1 for record in kept])
    is_dead = np.isin(index, np.array(sorted(dead), dtype=np.int64))
    # The inverse of an order is each one's place in it.
    down = np.argsort(np.lexsort((index, -f1, is_dead))).tolist()
    up = np.argsort(np.lexsort((index, f1, ~is_dead))).tolist()
    rows = (
        (
            dictionary_id,
            record.index,
            by,
            by_up,
            record.f1,
            int(record.above),
            escape(record.sentence),
            record.predicate.to_json() if record.predicate else "",
            store_catalogue.canonical(_figures(record)),
        )
        for record, by, by_up in zip(kept, down, up, strict=True)
    )
    bulk_insert(connection, StoredRule, rows)


def _figures(record: RuleRecord) -> dict[str, Any]:
    return {
        "test": asdict(record.test) if record.test else None,
        "null": asdict(record.null) if record.null else None,
        "token": record.token,
        "token_f1": asdict(record.token_f1),
        "documents": record.documents,
        "tokens": record.tokens,
    }


def _record(index: int, sentence: str, predicate: str, figures: dict[str, Any]) -> RuleRecord:
    test, null = figures["test"], figures["null"]
    if test is not None:
        test = RuleTest(**test | {name: RuleFigure(**test[name]) for name in _FIGURES})
    return RuleRecord(
        index=index,
        predicate=predicate_of_json(predicate) if predicate else None,
        sentence=sentence,
        test=test,
        token=figures["token"],
        token_f1=RuleFigure(**figures["token_f1"]),
        null=None if null is None else NullTest(**null),
        documents=figures["documents"],
        tokens=figures["tokens"],
    )
