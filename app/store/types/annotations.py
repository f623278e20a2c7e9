"""What people write about features, as it goes into the store and comes out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum


def subject_of(checksum: str, model_checksum: str, path: str | None) -> str:
    """What labels know a dictionary by: its weights, whatever it is called.

    The checksum of a neuron basis (`path` None) is that of a hook point and a width, the same for
    all models of one shape, so that of the model's weights goes into it.
    """
    if path is not None:
        return checksum
    return hashlib.sha256(f"{model_checksum} {checksum}".encode()).hexdigest()


class LabelKind(StrEnum):
    """Where a label comes from."""

    PERSON = "person"
    IMPORT = "import"
    EXPLAINER = "explainer"


@dataclass(frozen=True)
class LabelView:
    """A label of a feature.

    Attributes:
        id: unique in all stores.
        index: of the feature.
        kind: where it comes from.
        text: what the feature means, in words.
        note: what else its author says; empty: nothing.
        author: a name that its author chose; empty: none.
        created: seconds since 1970; 0.0: not known.
        changed: when it got this text; likewise.
        version: how often it was changed, from 1.
        withdrawn: whether it was taken back.
        score: votes for it less those against it.
        votes: 1 or -1 by voter.
    """

    id: str
    index: int
    kind: LabelKind
    text: str
    note: str
    author: str
    created: float
    changed: float
    version: int
    withdrawn: bool
    score: int
    votes: dict[str, int]


@dataclass(frozen=True)
class LabelVersion:
    """A label as it was after one change; fields as in `LabelView`.

    Attributes:
        id: of this version, unique in all stores.
        number: from 1; two stores may each have one of the same number.
    """

    id: str
    number: int
    text: str
    note: str
    author: str
    changed: float
    withdrawn: bool


@dataclass(frozen=True)
class KeptEdit:
    """What became of an edit.

    Attributes:
        label: that holds the text that was sent.
        beside: the label that was to be edited, where somebody else changed it meanwhile and the
            text was kept as a label of its own; None: it was edited.
    """

    label: LabelView
    beside: LabelView | None = None


@dataclass(frozen=True)
class NewLabel:
    """A label that comes from elsewhere: a file, or an explainer.

    Attributes:
        index: of the feature.
        text: what it means.
        note: what else is known of it.
        author: who says so: a name, or the explainer's.
        kind: where it comes from.
        created: seconds since 1970; 0.0: not known.
    """

    index: int
    text: str
    note: str = ""
    author: str = ""
    kind: LabelKind = LabelKind.IMPORT
    created: float = 0.0


@dataclass(frozen=True)
class ContextKey:
    """A window that a comment is about: the same as long as the text is cut the same.

    Attributes:
        fingerprint: of the text.
        n_ctx: positions in its windows.
        number: of the window.
    """

    fingerprint: str
    n_ctx: int
    number: int

    def __str__(self) -> str:
        return f"{self.fingerprint}/{self.n_ctx}/{self.number}"


@dataclass(frozen=True)
class CommentView:
    """A comment on a feature, or on one of its examples.

    Attributes:
        id: unique in all stores.
        index: of the feature.
        context: a `ContextKey` as text; empty: on the feature as a whole.
        quote: where the example lies, in words.
        text: what is said.
        author: a name that its author chose; empty: none.
        created: seconds since 1970.
        withdrawn: whether it was taken back.
    """

    id: str
    index: int
    context: str
    quote: str
    text: str
    author: str
    created: float
    withdrawn: bool


@dataclass(frozen=True)
class ListView:
    """A list of features, without them.

    Attributes:
        name: in its address.
        title: what it is called.
        note: what it is for; empty: not said.
        changed: seconds since 1970.
        withdrawn: whether it was put away.
        size: features in it.
    """

    name: str
    title: str
    note: str
    changed: float
    withdrawn: bool
    size: int


@dataclass(frozen=True)
class ListItem:
    """A feature in a list.

    Attributes:
        subject: see `subject_of`.
        index: of the feature.
        model: name of the model that it is found under, or was put there under.
        dictionary: name of the dictionary; likewise.
        there: whether the store still has that dictionary.
        label: its best label, whether or not the dictionary is there; empty: none.
        note: why it is in the list; empty: not said.
    """

    subject: str
    index: int
    model: str
    dictionary: str
    there: bool
    label: str
    note: str
