"""What people say of a feature, as it is drawn: labels, their history, comments, its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.rendering.addresses import dictionary_address
from app.rendering.numbers import moment
from app.rendering.templates import noun
from app.store.store import Store
from app.store.types.annotations import (
    CommentView,
    ContextKey,
    LabelKind,
    LabelVersion,
    LabelView,
    ListView,
)
from app.store.types.catalogue import DictionaryView
from app.store.written.lists import STARRED
from app.store.written.texts import LONGEST_AUTHOR, LONGEST_LABEL, LONGEST_NOTE, subject

_KINDS = {LabelKind.PERSON: "", LabelKind.IMPORT: "imported", LabelKind.EXPLAINER: "by a model"}


@dataclass(frozen=True)
class LabelLine:
    """A label as it stands on the page.

    Attributes:
        view: as stored.
        kind: where it comes from, in a word; empty: from a person.
        when: it got its text.
        own: the reader's vote for it: 1, -1 or 0.
        history: what it was before, the newest first; asked for or empty.
    """

    view: LabelView
    kind: str
    when: str
    own: int
    history: Sequence[LabelVersion] = ()


@dataclass(frozen=True)
class CommentLine:
    """A comment as it stands on the page.

    Attributes:
        view: as stored.
        when: it was made.
        paragraphs: of its text.
    """

    view: CommentView
    when: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class LabelSheet:
    """All that people say of one feature.

    Attributes:
        address: of the feature's page.
        dictionary: of the feature.
        index: of the feature.
        subject: what labels know the dictionary by.
        noun: feature or neuron.
        author: the reader's name, as it was last given; empty: never.
        labels: the best first, those taken back last.
        comments: the oldest first, without those taken back unless they are the reader's.
        lists: that the feature is in.
        other_lists: that it is not in.
        problem: why what was sent could not be kept; empty: it was, or nothing was sent.
        notice: what became of what was sent, where that needs saying.
        typed: what was sent and not kept, by field.
    """

    address: str
    dictionary: DictionaryView
    index: int
    subject: str
    noun: str
    author: str
    labels: tuple[LabelLine, ...]
    comments: tuple[CommentLine, ...]
    lists: tuple[ListView, ...]
    other_lists: tuple[ListView, ...]
    problem: str = ""
    notice: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)

    longest_label = LONGEST_LABEL
    longest_note = LONGEST_NOTE
    longest_author = LONGEST_AUTHOR

    @property
    def standing(self) -> list[LabelLine]:
        """The labels that were not taken back."""
        return [line for line in self.labels if not line.view.withdrawn]

    @property
    def best(self) -> LabelLine | None:
        """The label that stands for the feature everywhere; None: it has none."""
        return next(iter(self.standing), None)

    @property
    def starred(self) -> bool:
        """Whether it is in the list of stars."""
        return any(view.name == STARRED for view in self.lists)

    def on(self, key: ContextKey | None) -> list[CommentLine]:
        """The comments on one example; None: on the feature as a whole."""
        wanted = "" if key is None else str(key)
        return [line for line in self.comments if line.view.context == wanted]

    @property
    def on_examples(self) -> list[CommentLine]:
        """The comments on examples, whichever they are."""
        return [line for line in self.comments if line.view.context]


def context_key(dictionary: DictionaryView, window: int) -> ContextKey | None:
    """What a comment on an example of the present harvest is about; None: nothing is published."""
    harvest = dictionary.harvest
    return None if harvest is None else ContextKey(harvest.fingerprint, harvest.n_ctx, window)


def label_sheet(
    store: Store,
    dictionary: DictionaryView,
    index: int,
    author: str = "",
    history: str = "",
) -> LabelSheet:
    """What people say of a feature.

    Args:
        store: where it is kept.
        dictionary: of the feature.
        index: of the feature.
        author: who reads it.
        history: id of the label whose history is shown; empty: of none.

    Raises:
        NotFound: the feature has no label of that id.
    """
    lists, others = store.lists.around(dictionary, index)
    versions = store.labels.history(dictionary, index, history) if history else []
    return LabelSheet(
        address=dictionary_address(dictionary.model, dictionary.name, index),
        dictionary=dictionary,
        index=index,
        subject=subject(dictionary),
        noun=noun(dictionary),
        author=author,
        labels=tuple(
            LabelLine(
                view,
                _KINDS[view.kind],
                moment(view.changed),
                view.votes.get(author, 0),
                versions if view.id == history else (),
            )
            for view in store.labels.of(dictionary, index)
        ),
        comments=tuple(
            CommentLine(view, moment(view.created), tuple(view.text.split("\n")))
            for view in store.comments.of(dictionary, index)
            if not view.withdrawn or (author and view.author == author)
        ),
        lists=tuple(lists),
        other_lists=tuple(others),
    )
