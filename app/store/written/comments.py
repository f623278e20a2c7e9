"""Comments on features and on their examples. Reached as `Store.comments`."""

from __future__ import annotations

from sqlalchemy import Engine, RowMapping, func, insert, select, update

from app.errors import InvalidRequest, NotFound
from app.store.annotations import StoredComment
from app.store.database import reading, writing
from app.store.types.annotations import CommentView, ContextKey
from app.store.types.catalogue import DictionaryView
from app.store.written.label_rows import check_feature
from app.store.written.texts import (
    LONGEST_NOTE,
    checked,
    checked_author,
    checked_line,
    new_id,
    now,
    subject,
)

MOST = 500  # comments on one feature
_LONGEST_QUOTE = 400
_PLAIN = ("id", "index", "context", "quote", "text", "author", "created")


class Comments:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, dictionary: DictionaryView, index: int) -> list[CommentView]:
        """The comments on a feature and on its examples, the oldest first."""
        if not 0 <= index < dictionary.d_sae:
            return []
        query = (
            select(StoredComment.__table__)
            .where(StoredComment.subject == subject(dictionary), StoredComment.index == index)
            .order_by(StoredComment.created, StoredComment.id)
        )
        with reading(self._engine) as connection:
            return [_view(row) for row in connection.execute(query).mappings()]

    def add(
        self,
        dictionary: DictionaryView,
        index: int,
        text: str,
        author: str = "",
        context: ContextKey | None = None,
        quote: str = "",
    ) -> CommentView:
        """Say something about a feature, or about one of its examples.

        Args:
            dictionary: of the feature.
            index: of the feature.
            text: what is said.
            author: a name; empty: none.
            context: the example's window; None: the feature as a whole.
            quote: where the example lies, in words.

        Raises:
            InvalidRequest: a text is empty or too long, or the feature has too many comments.
            NotFound: there is no such feature.
        """
        text = checked(text, "a comment", LONGEST_NOTE, empty=False)
        author = checked_author(author)
        quote = checked_line(quote, "the name of a text", _LONGEST_QUOTE)
        check_feature(dictionary, index)
        here = {"subject": subject(dictionary), "index": index}
        with writing(self._engine, alone=True) as connection:
            count = select(func.count()).select_from(StoredComment).filter_by(**here)
            if connection.scalars(count).one() >= MOST:
                raise InvalidRequest(f"Feature {index} has {MOST} comments, as many as are kept.")
            key, written = new_id(), now()
            values = {
                **here,
                "id": key,
                "context": "" if context is None else str(context),
                "quote": quote,
                "text": text,
                "author": author,
                "created": written,
                "changed": written,
                "withdrawn": 0,
            }
            connection.execute(insert(StoredComment).values(values))
            row = connection.execute(select(StoredComment.__table__).filter_by(id=key))
            return _view(row.mappings().one())

    def withdraw(
        self, dictionary: DictionaryView, index: int, comment: str, withdrawn: bool = True
    ) -> CommentView:
        """Take a comment back, or (`withdrawn` false) bring it again.

        Raises:
            NotFound: the feature has no such comment.
        """
        here = {"id": comment, "subject": subject(dictionary), "index": index}
        if not 0 <= index < dictionary.d_sae:
            check_feature(dictionary, index)
        with writing(self._engine, alone=True) as connection:
            row = connection.execute(select(StoredComment.__table__).filter_by(**here)).first()
            if row is None:
                raise NotFound(
                    f"Feature {index} of {dictionary.title} has no comment {comment!r:.80}."
                )
            if bool(row.withdrawn) != withdrawn:
                connection.execute(
                    update(StoredComment)
                    .where(StoredComment.id == comment)
                    .values(withdrawn=int(withdrawn), changed=now())
                )
            kept = connection.execute(select(StoredComment.__table__).filter_by(id=comment))
            return _view(kept.mappings().one())


def _view(row: RowMapping) -> CommentView:
    return CommentView(**{name: row[name] for name in _PLAIN}, withdrawn=bool(row["withdrawn"]))
