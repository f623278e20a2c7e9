"""Explanations with their scores. Reached as `Store.explanations`."""

from __future__ import annotations

import json
from collections import defaultdict

from sqlalchemy import Engine, delete, insert, select

from app.store.annotations import StoredExplanation, StoredLabelScore
from app.store.columns import fits
from app.store.database import reading, writing
from app.store.tables.catalogue import canonical
from app.store.types.catalogue import DictionaryView
from app.store.types.explanations import Explanation, ScoredLabel
from app.store.written.texts import now, subject


class Explanations:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, dictionary: DictionaryView, index: int | None = None) -> list[Explanation]:
        """The explanations of a feature, or of all features, each feature's newest first."""
        query = select(StoredExplanation.__table__).where(
            StoredExplanation.subject == subject(dictionary)
        )
        if index is not None and not fits(index):
            return []
        if index is not None:
            query = query.where(StoredExplanation.index == index)
        query = query.order_by(
            StoredExplanation.index, StoredExplanation.changed.desc(), StoredExplanation.id
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            keys = [row["id"] for row in rows]
            scores: dict[str, list[ScoredLabel]] = defaultdict(list)
            for begin in range(0, len(keys), 500):
                asked = select(StoredLabelScore.__table__).where(
                    StoredLabelScore.explanation_id.in_(keys[begin : begin + 500])
                )
                for score in connection.execute(asked.order_by(StoredLabelScore.scorer)).mappings():
                    scores[score["explanation_id"]].append(
                        ScoredLabel(
                            scorer=score["scorer"],
                            value=score["value"],
                            low=score["low"],
                            high=score["high"],
                            n=score["n"],
                            shuffled=score["shuffled"],
                            null_p=score["null_p"],
                            details=json.loads(score["details"]),
                        )
                    )
        return [
            Explanation(
                id=row["id"],
                index=row["index"],
                explainer=row["explainer"],
                model=row["model"],
                text=row["text"],
                failure=row["failure"],
                settings=json.loads(row["settings"]),
                scores=tuple(scores[row["id"]]),
            )
            for row in rows
        ]

    def save(self, dictionary: DictionaryView, explanation: Explanation) -> None:
        """Keep an explanation with its scores, instead of an earlier one of the same id."""
        moment = now()
        with writing(self._engine) as connection:
            connection.execute(
                delete(StoredLabelScore).where(StoredLabelScore.explanation_id == explanation.id)
            )
            connection.execute(
                delete(StoredExplanation).where(StoredExplanation.id == explanation.id)
            )
            connection.execute(
                insert(StoredExplanation).values(
                    id=explanation.id,
                    subject=subject(dictionary),
                    index=explanation.index,
                    explainer=explanation.explainer,
                    model=explanation.model,
                    text=explanation.text,
                    failure=explanation.failure,
                    settings=canonical(explanation.settings),
                    changed=moment,
                )
            )
            for score in explanation.scores:
                connection.execute(
                    insert(StoredLabelScore).values(
                        explanation_id=explanation.id,
                        scorer=score.scorer,
                        value=score.value,
                        low=score.low,
                        high=score.high,
                        n=score.n,
                        shuffled=score.shuffled,
                        null_p=score.null_p,
                        details=canonical(score.details),
                        changed=moment,
                    )
                )
