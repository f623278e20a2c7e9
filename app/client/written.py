"""What people write, from Python: labels, comments and lists. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.client.transport import Transport, question_of
from app.pages.labels import schema as types
from app.pages.lists import schema as list_types


class LabelsClient:
    """Labels of features, and comments on them. Reached as `FeaturescopeClient.labels`.

    A feature is named by model, dictionary and index. Every method raises RequestFailed where the
    server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of(self, model: str, dictionary: str, feature: int) -> types.SaidOfFeature:
        """All labels of a feature, the best first, and all comments."""
        return self._transport.ask(
            "GET", self._address(model, dictionary, feature, "labels"), types.SaidOfFeature
        )

    def add(
        self,
        model: str,
        dictionary: str,
        feature: int,
        text: str,
        note: str = "",
        author: str = "",
    ) -> types.Label:
        """Say what a feature means. The same said twice by the same author is one label."""
        question = question_of(types.LabelQuestion, text=text, note=note, author=author)
        address = self._address(model, dictionary, feature, "labels")
        return self._transport.ask("POST", address, types.Label, question)

    def edit(
        self,
        model: str,
        dictionary: str,
        label: types.Label,
        text: str,
        note: str | None = None,
        author: str = "",
    ) -> types.LabelEdited:
        """Change a label that was read. Where somebody else changed it since, both are kept.

        Args:
            model: name of the model.
            dictionary: name of the dictionary.
            label: as it was read.
            text: as it shall be.
            note: likewise; None: as it was.
            author: who changes it; empty: its author stays.
        """
        question = question_of(
            types.LabelEditQuestion,
            text=text,
            note=label.note if note is None else note,
            author=author,
            version=label.version,
        )
        address = self._of_label(model, dictionary, label)
        return self._transport.ask("PUT", address, types.LabelEdited, question)

    def history(self, model: str, dictionary: str, label: types.Label) -> types.LabelHistory:
        """All that a label was, the newest first."""
        address = self._of_label(model, dictionary, label, "history")
        return self._transport.ask("GET", address, types.LabelHistory)

    def withdraw(
        self, model: str, dictionary: str, label: types.Label, author: str = ""
    ) -> types.Label:
        """Take a label back; it stays in the store."""
        question = question_of(types.SignatureQuestion, author=author)
        address = self._of_label(model, dictionary, label, "withdraw")
        return self._transport.ask("POST", address, types.Label, question)

    def restore(
        self,
        model: str,
        dictionary: str,
        label: types.Label,
        version: str = "",
        author: str = "",
    ) -> types.Label:
        """Undo: make a label what it was before, or, by id, in another version."""
        question = question_of(types.RestoreQuestion, version=version, author=author)
        address = self._of_label(model, dictionary, label, "restore")
        return self._transport.ask("POST", address, types.Label, question)

    def vote(
        self,
        model: str,
        dictionary: str,
        label: types.Label,
        author: str,
        value: Literal[-1, 0, 1] = 1,
    ) -> types.Label:
        """Vote for a label (1), against it (-1), or no longer (0): one vote a name."""
        question = question_of(types.VoteQuestion, author=author, value=value)
        address = self._of_label(model, dictionary, label, "vote")
        return self._transport.ask("PUT", address, types.Label, question)

    def comment(
        self,
        model: str,
        dictionary: str,
        feature: int,
        text: str,
        author: str = "",
        group: str = "",
        number: int = 0,
    ) -> types.Comment:
        """Comment on a feature; with a group and a number in it, on that example."""
        question = question_of(
            types.CommentQuestion, text=text, author=author, group=group, number=number
        )
        address = self._address(model, dictionary, feature, "comments")
        return self._transport.ask("POST", address, types.Comment, question)

    def withdraw_comment(
        self, model: str, dictionary: str, comment: types.Comment
    ) -> types.Comment:
        """Take a comment back; it stays in the store."""
        parts = ("comments", comment.id, "withdraw")
        address = self._address(model, dictionary, comment.index, *parts)
        return self._transport.ask("POST", address, types.Comment)

    def restore_comment(self, model: str, dictionary: str, comment: types.Comment) -> types.Comment:
        """Bring a comment back."""
        parts = ("comments", comment.id, "restore")
        address = self._address(model, dictionary, comment.index, *parts)
        return self._transport.ask("POST", address, types.Comment)

    def _address(self, model: str, dictionary: str, feature: int, *rest: str) -> str:
        return self._transport.address("d", model, dictionary, feature, *rest)

    def _of_label(self, model: str, dictionary: str, label: types.Label, *rest: str) -> str:
        return self._address(model, dictionary, label.index, "labels", label.id, *rest)


class ListsClient:
    """Lists of features. Reached as `FeaturescopeClient.lists`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> list_types.Lists:
        """Every list, those that were put away last."""
        return self._transport.ask("GET", self._address(), list_types.Lists)

    def create(
        self,
        title: str,
        note: str = "",
        model: str = "",
        dictionary: str = "",
        features: Sequence[int] = (),
    ) -> list_types.ListSummary:
        """A new list, empty or of features of a dictionary; its name follows from its title."""
        question = question_of(
            list_types.NewListQuestion,
            title=title,
            note=note,
            model=model,
            dictionary=dictionary,
            features=tuple(features),
        )
        return self._transport.ask("POST", self._address(), list_types.ListSummary, question)

    def contents(self, name: str = "starred") -> list_types.FeatureListAnswer:
        """A list with its features; that of stars is always there."""
        return self._transport.ask("GET", self._address(name), list_types.FeatureListAnswer)

    def firings(self, name: str, text: str) -> list_types.ListFirings:
        """Where the features of a list fire on a text."""
        question = question_of(list_types.TestQuestion, text=text)
        address = self._address(name, "firings")
        return self._transport.ask("POST", address, list_types.ListFirings, question)

    def describe(self, name: str, title: str, note: str = "") -> list_types.ListSummary:
        """Give a list another title and note; its address stays."""
        question = question_of(list_types.ListQuestion, title=title, note=note)
        return self._transport.ask("PUT", self._address(name), list_types.ListSummary, question)

    def put(
        self, name: str, model: str, dictionary: str, feature: int, note: str | None = None
    ) -> list_types.FeatureListAnswer:
        """Put a feature at the end of a list, or give it another note."""
        question = question_of(
            list_types.ItemQuestion, model=model, dictionary=dictionary, feature=feature, note=note
        )
        address = self._address(name, "items")
        return self._transport.ask("POST", address, list_types.FeatureListAnswer, question)

    def take_out(self, name: str, item: list_types.ListedFeature) -> list_types.FeatureListAnswer:
        """Take a feature out of a list."""
        address = self._address(name, "items", item.subject, str(item.index))
        return self._transport.ask("DELETE", address, list_types.FeatureListAnswer)

    def move(
        self, name: str, item: list_types.ListedFeature, place: int
    ) -> list_types.FeatureListAnswer:
        """Put a feature at another place of its list, from 0; too far is the end."""
        question = question_of(list_types.PlaceQuestion, place=place)
        address = self._address(name, "items", item.subject, str(item.index), "place")
        return self._transport.ask("PUT", address, list_types.FeatureListAnswer, question)

    def put_away(self, name: str) -> None:
        """Put a list away; nothing in it is lost."""
        self._transport.send("DELETE", self._address(name))

    def restore(self, name: str) -> list_types.ListSummary:
        """Take a list up again."""
        return self._transport.ask("POST", self._address(name, "restore"), list_types.ListSummary)

    def _address(self, *parts: str) -> str:
        return self._transport.address("lists", *parts)
