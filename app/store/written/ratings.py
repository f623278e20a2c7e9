"""Studies in which features are rated blind. Reached as `Store.ratings`.

Ratings are only ever added: of a rater's ratings of an item the newest counts, and two tabs, two
raters or two stores lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from app.errors import InvalidRequest, NotFound
from app.store.annotations import (
    StoredRating,
    StoredRatingItem,
    StoredRatingStudy,
    StoredUnblinding,
)
from app.store.database import reading, writing
from app.store.tables import features as store_features
from app.store.tables.catalogue import canonical, views
from app.store.types.catalogue import DictionaryView, FeatureView
from app.store.types.ratings import (
    RUBRIC,
    KeptRating,
    NewRating,
    RatedSource,
    RaterKind,
    RatingItem,
    RatingView,
    RubricScores,
    StudyView,
)
from app.store.written.rating_draw import check_sources, draw
from app.store.written.texts import (
    LONGEST_LABEL,
    LONGEST_NOTE,
    checked,
    checked_author,
    checked_line,
    new_id,
    now,
    subject,
)

MOST_STUDIES = 1000
MOST_CHANGES = 200  # of one rater's rating of one item
_OF_SOURCE = ("there", "again")  # known when it is read
_KINDS = {str(kind): kind for kind in RaterKind}


class Ratings:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def studies(self) -> list[StudyView]:
        """All studies, the newest first, those that were put away last."""
        query = select(StoredRatingStudy.__table__).order_by(
            StoredRatingStudy.withdrawn, StoredRatingStudy.created.desc(), StoredRatingStudy.id
        )
        with reading(self._engine) as connection:
            return _views(connection, connection.execute(query).mappings().all())

    def study(self, study: str) -> StudyView:
        """One study.

        Raises:
            NotFound: there is none of that id.
        """
        with reading(self._engine) as connection:
            return _study(connection, study)

    def create(
        self,
        dictionaries: Sequence[DictionaryView],
        n: int,
        *,
        seed: int = 0,
        title: str = "",
        author: str = "",
        matched: bool = False,
        least: int = 1,
        every_mark: bool = False,
    ) -> StudyView:
        """Draw features and make a study of them.

        Args:
            dictionaries: two or more of one hook point, harvested alike.
            n: features of each.
            seed: of the draw, and of all intervals of the results.
            title: what it is called; empty: how many features there are.
            author: who makes it; empty: not said.
            matched: whether each feature has one of like density in each other dictionary.
            least: firings that a feature has at least.
            every_mark: whether contexts show all firings, by which features can be told from
                neurons, instead of only those they were drawn for.

        Raises:
            InvalidRequest: a text is too long, the dictionaries cannot be compared, or have too few
                features.
        """
        title = checked_line(title, "a title", LONGEST_LABEL)
        author = checked_author(author)
        check_sources(dictionaries, n, least)
        if not 0 <= seed < 1 << 31:
            raise InvalidRequest("A seed is a whole number from 0 to 2,147,483,647.", "seed")
        with writing(self._engine, alone=True) as connection:
            if _count(connection, StoredRatingStudy) >= MOST_STUDIES:
                raise InvalidRequest(f"There are {MOST_STUDIES:,} studies, as many as are kept.")
            firings = [store_features.scales(connection, view)[1].firings for view in dictionaries]
            sources, chosen = draw(dictionaries, firings, n, seed, matched, least)
            study, written = new_id(), now()
            kept = [_plain(source) for source in sources]
            settings = {"features": n, "seed": seed, "matched": matched, "firings": least}
            settings["every_mark"] = every_mark
            connection.execute(
                insert(StoredRatingStudy).values(
                    id=study,
                    title=title or f"{n * len(sources):,} features",
                    author=author,
                    settings=canonical(settings),
                    sources=canonical({"sources": kept}),
                    created=written,
                    changed=written,
                    withdrawn=0,
                )
            )
            drawn = [
                (new_id(), source.subject, index)
                for source, indices in zip(sources, chosen, strict=True)
                for index in indices
            ]
            # The ids are random: in their order, no row says what it was drawn from.
            rows = [
                {"id": key, "study_id": study, "subject": of, "index": index}
                for key, of, index in sorted(drawn)
            ]
            connection.execute(insert(StoredRatingItem), rows)
            return _study(connection, study)

    def put_away(self, study: str, withdrawn: bool = True) -> StudyView:
        """Put a study away, or take it up again; nothing in it is lost.

        Raises:
            NotFound: there is no such study.
        """
        with writing(self._engine, alone=True) as connection:
            _study(connection, study)
            connection.execute(
                update(StoredRatingStudy)
                .where(StoredRatingStudy.id == study)
                .values(withdrawn=int(withdrawn), changed=now())
            )
            return _study(connection, study)

    def items(self, study: str) -> list[RatingItem]:
        """What is rated, in the order of the ids, which is random.

        Raises:
            NotFound: there is no such study.
        """
        query = select(StoredRatingItem.__table__).where(StoredRatingItem.study_id == study)
        with reading(self._engine) as connection:
            _study(connection, study)
            rows = connection.execute(query.order_by(StoredRatingItem.id)).mappings()
            return [RatingItem(row["id"], row["subject"], row["index"]) for row in rows]

    def feature(self, study: StudyView, item: RatingItem) -> FeatureView | None:
        """The feature that an item stands for; None: the store no longer shows its dictionary."""
        digests = {source.subject: source.digest for source in study.sources}
        with reading(self._engine) as connection:
            known = [view for view in views(connection) if subject(view) == item.subject]
            shown = [view for view in known if view.harvest is not None]
            # Of copies under other names, the one whose harvest the features were drawn from.
            shown.sort(key=lambda view: view.digest != digests.get(item.subject))
            if not shown or item.index >= shown[0].d_sae:
                return None
            return store_features.feature(connection, shown[0], item.index)

    def all_of(self, study: str, rater: str | None = None) -> list[RatingView]:
        """Every rating of a study, the oldest first; `rater`: only those of one."""
        query = (
            select(StoredRating.__table__)
            .join(StoredRatingItem, StoredRatingItem.id == StoredRating.item_id)
            .where(StoredRatingItem.study_id == study)
            .order_by(StoredRating.changed, StoredRating.id)
        )
        if rater is not None:
            query = query.where(StoredRating.rater == rater)
        with reading(self._engine) as connection:
            return [_rating(row) for row in connection.execute(query).mappings()]

    def keep(self, study: str, item: str, new: NewRating, seen: str | None = None) -> KeptRating:
        """Keep a rating; the same again is the same.

        Args:
            study: the study's id.
            item: of it.
            new: what is said.
            seen: id of the rating by the same rater that its sender knew of; empty: none; None:
                whatever there is.

        Raises:
            InvalidRequest: a number or a text is out of range, nobody is named, or there are too
                many ratings.
            NotFound: there is no such study or item.
        """
        new = _checked(new)
        with writing(self._engine, alone=True) as connection:
            _study(connection, study)
            here = {"id": item, "study_id": study}
            if connection.scalar(select(StoredRatingItem.id).filter_by(**here)) is None:
                raise NotFound(f"The study has no item {item!r:.80}.")
            query = (
                select(StoredRating.__table__)
                .filter_by(item_id=item, rater=new.rater)
                .order_by(StoredRating.changed, StoredRating.id)
            )
            before = [_rating(row) for row in connection.execute(query).mappings()]
            standing = before[-1] if before else None
            blind = _unblinded(connection, study, new.rater) is None
            if standing is not None and _same(standing, new, blind):
                return KeptRating(standing)
            if len(before) >= MOST_CHANGES:
                raise InvalidRequest(
                    f"{new.rater} has rated this {MOST_CHANGES} times, as often as is kept."
                )
            scores = new.scores
            key, written = new_id(), now()
            if standing is not None:  # a clock that was set back does not bring old ratings up
                written = max(written, round(standing.changed + 0.001, 3))
            connection.execute(
                insert(StoredRating).values(
                    id=key,
                    item_id=item,
                    rater=new.rater,
                    kind=new.kind,
                    **{c.key: None if scores is None else getattr(scores, c.key) for c in RUBRIC},
                    interpretation=new.interpretation,
                    failure=new.failure,
                    blind=int(blind),
                    settings=canonical(new.settings),
                    changed=written,
                )
            )
            row = connection.execute(select(StoredRating.__table__).filter_by(id=key))
            unseen = standing is not None and seen is not None and standing.id != seen
            return KeptRating(_rating(row.mappings().one()), standing if unseen else None)

    def unblind(self, study: str, rater: str) -> float:
        """Note that a rater sees the study's results from now on; since when that is so.

        Raises:
            InvalidRequest: nobody is named.
            NotFound: there is no such study.
        """
        rater = _checked_rater(rater)
        with writing(self._engine, alone=True) as connection:
            _study(connection, study)
            since = _unblinded(connection, study, rater)
            if since is None:
                since = now()
                connection.execute(
                    insert(StoredUnblinding).values(study_id=study, rater=rater, changed=since)
                )
            return since

    def unblinded(self, study: str, rater: str) -> float | None:
        """Since when a rater has seen results; None: not at all."""
        with reading(self._engine) as connection:
            return _unblinded(connection, study, rater)


def latest(ratings: Iterable[RatingView]) -> dict[tuple[str, str], RatingView]:
    """By item and rater the rating that counts: the newest; given the oldest first."""
    return {(rating.item, rating.rater): rating for rating in ratings}


def _checked_rater(rater: str) -> str:
    rater = checked_author(rater)
    if not rater:
        raise InvalidRequest("Say your name, so that you can come back to your ratings.", "rater")
    return rater


def _checked(new: NewRating) -> NewRating:
    if new.scores is not None:
        for criterion in RUBRIC:
            value = getattr(new.scores, criterion.key)
            if type(value) is not int or not 0 <= value <= criterion.highest:
                raise InvalidRequest(
                    f"{criterion.name} is rated from 0 to {criterion.highest}, not {value!r:.40}.",
                    criterion.key,
                )
    return replace(
        new,
        rater=_checked_rater(new.rater),
        interpretation=checked(new.interpretation, "an interpretation", LONGEST_NOTE),
        failure=checked(new.failure, "a reason", LONGEST_NOTE),
    )


def _same(there: RatingView, new: NewRating, blind: bool) -> bool:
    names = ("rater", "scores", "interpretation", "kind", "failure")
    unchanged = all(getattr(there, name) == getattr(new, name) for name in names)
    return unchanged and there.blind == blind and dict(there.settings) == dict(new.settings)


def _unblinded(connection: Connection, study: str, rater: str) -> float | None:
    query = select(StoredUnblinding.changed).filter_by(study_id=study, rater=rater)
    return connection.scalar(query)


def _count(connection: Connection, kind: type) -> int:
    return connection.scalars(select(func.count()).select_from(kind)).one()


def _plain(source: RatedSource) -> dict[str, Any]:
    return {name: value for name, value in asdict(source).items() if name not in _OF_SOURCE}


def _study(connection: Connection, study: str) -> StudyView:
    query = select(StoredRatingStudy.__table__).where(StoredRatingStudy.id == study)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"There is no study {study!r:.80}. /rate names all that there are.")
    return _views(connection, [row])[0]


def _views(connection: Connection, rows: Sequence[RowMapping]) -> list[StudyView]:
    counted = (
        select(StoredRatingItem.study_id, func.count())
        .where(StoredRatingItem.study_id.in_([row["id"] for row in rows]))
        .group_by(StoredRatingItem.study_id)
    )
    sizes = dict(iter(connection.execute(counted)))
    known: dict[str, list[DictionaryView]] = {}
    for view in views(connection):
        known.setdefault(subject(view), []).append(view)
    return [
        StudyView(
            id=row["id"],
            title=row["title"],
            author=row["author"],
            settings=json.loads(row["settings"]),
            sources=tuple(
                _source(source, known.get(source["subject"], []))
                for source in json.loads(row["sources"])["sources"]
            ),
            created=row["created"],
            withdrawn=bool(row["withdrawn"]),
            size=sizes.get(row["id"], 0),
        )
        for row in rows
    ]


def _source(kept: dict[str, Any], known: Sequence[DictionaryView]) -> RatedSource:
    source = RatedSource(**kept)
    harvested = [view for view in known if view.harvest is not None]
    again = all(view.digest != source.digest for view in harvested)
    return replace(source, there=bool(harvested), again=bool(harvested) and again)


def _rating(row: RowMapping) -> RatingView:
    answers = [row[criterion.key] for criterion in RUBRIC]
    return RatingView(
        rater=row["rater"],
        scores=None if None in answers else RubricScores(*answers),
        interpretation=row["interpretation"],
        kind=_KINDS.get(row["kind"], RaterKind.PROGRAM),
        failure=row["failure"],
        settings=json.loads(row["settings"]),
        id=row["id"],
        item=row["item_id"],
        blind=bool(row["blind"]),
        changed=row["changed"],
    )
