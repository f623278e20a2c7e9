"""Another store's models, dictionaries and harvests, for figures to be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from app.errors import FeaturescopeError
from app.exchange.report.provenance import dictionary_facts, vocabulary_digest
from app.exchange.report.schema import DictionaryFacts
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.requests import DictionaryRef, ModelRef
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.vocabulary import Vocabulary


class CannotRecompute(FeaturescopeError):
    """A finding, or a part of it, cannot be computed here; the message says why."""


class RecomputingBench:
    """A store to compute figures with.

    Args:
        store: it.
        device: to compute on.

    Attributes:
        store: the same.
    """

    def __init__(self, store: Store, device: str) -> None:
        self.store = store
        self._shelf = Shelf(device, Limits().memory_bytes)

    @cached_property
    def _catalogue(self) -> list[DictionaryView]:
        return self.store.catalogue()

    def view(self, facts: DictionaryFacts) -> DictionaryView:
        """The dictionary of the same weights, whatever it is called here.

        Raises:
            CannotRecompute: there is none; the message says what there is instead.
        """
        fitting = [view for view in self._catalogue if _wanted(facts) == _there(view)]
        if not fitting:
            raise CannotRecompute(self._missing(facts))
        return min(fitting, key=lambda view: (view.title != facts.title, view.harvest is None))

    def facts_here(self, facts: DictionaryFacts) -> DictionaryFacts:
        """What this store says of the dictionary and model of the same checksums.

        Raises:
            CannotRecompute: there are none.
        """
        own = (facts.checksum, facts.model_checksum)
        for view in self._catalogue:
            if own == (view.checksum, view.model_checksum):
                return dictionary_facts(self.store, view)
        raise CannotRecompute(self._missing(facts))

    def same_text(self, facts: DictionaryFacts) -> str:
        """Why this store's harvest of a dictionary is not the report's; empty: it is.

        Raises:
            CannotRecompute: the store has no such dictionary.
        """
        here = dictionary_facts(self.store, self.view(facts)).text
        if facts.text is None or here is None:
            return f"nothing was harvested of {facts.title} {'here' if here is None else 'there'}"
        if here.fingerprint != facts.text.fingerprint:
            return (
                f"{facts.title} was harvested here on another text ({here.fingerprint[:12]}… "
                f"instead of {facts.text.fingerprint[:12]}…)"
            )
        for name in ("context", "seed", "read_tokens", "read_windows", "settings"):
            if getattr(here, name) != getattr(facts.text, name):
                return f"{facts.title} was harvested here with another setting: {name}"
        return ""

    def vocabulary(self, facts: DictionaryFacts) -> Vocabulary:
        """Of the dictionary's model; raises CannotRecompute where it is another one."""
        vocabulary = self.store.vocabulary(self.view(facts).model_id)
        if vocabulary_digest(vocabulary) != facts.vocabulary:
            raise CannotRecompute(f"the tokenizer of {facts.model} has other tokens here")
        return vocabulary

    def loaded(self, facts: DictionaryFacts) -> tuple[LanguageModel, Dictionary]:
        """Model and dictionary of the checksums that the report names.

        Raises:
            CannotRecompute: they are not here, or their files are others by now.
        """
        view = self.view(facts)
        if view.is_imported:
            raise CannotRecompute(f"{view.title} was imported here without its model")
        model, (dictionary,) = self._load(model_ref(view), [dictionary_ref(view)])
        return model, dictionary

    def traced(
        self, model: str, checksum: str, parts: Sequence[tuple[str, str]], dtype: str
    ) -> tuple[LanguageModel, list[Dictionary]]:
        """A model in a dtype, and dictionaries of it.

        Args:
            model: its name, for sentences.
            checksum: of its weights and tokenizer.
            parts: hook point and checksum of each dictionary; neurons where that is empty.
            dtype: to run in.

        Raises:
            CannotRecompute: some are not here.
        """
        views = [
            view
            for view in self._catalogue
            if view.model_checksum == checksum and not view.is_imported
        ]
        if not views:
            raise CannotRecompute(
                f"this store has no model of the checksum {checksum[:12]}… ({model})"
            )
        by_checksum = {view.checksum: view for view in views if not view.is_neurons}
        references, opening = [], model_ref(views[0])
        for point, weights in parts:
            if weights and weights not in by_checksum:
                raise CannotRecompute(
                    f"this store has no dictionary of the checksum {weights[:12]}… at {point}"
                )
            if weights:
                opening = model_ref(by_checksum[weights])
                references.append(dictionary_ref(by_checksum[weights]))
            else:
                references.append(DictionaryRef(path=None, hook_point=point))
        return self._load(opening.model_copy(update={"dtype": dtype}), references)

    def _load(
        self, model: ModelRef, dictionaries: Sequence[DictionaryRef]
    ) -> tuple[LanguageModel, list[Dictionary]]:
        try:
            return self._shelf.model(model), [
                self._shelf.dictionary(model, reference) for reference in dictionaries
            ]
        except FeaturescopeError as error:
            raise CannotRecompute(str(error)) from error

    def _missing(self, facts: DictionaryFacts) -> str:
        named = [view for view in self._catalogue if view.title == facts.title]
        if not named:
            return (
                f"this store has no dictionary of the checksum {facts.checksum[:12]}… "
                f"({facts.title})"
            )
        for what, own, other in zip(_WHAT, _wanted(facts), _there(named[0]), strict=True):
            if own != other:
                return (
                    f"{facts.title} has another {what} here: {other!s:.12} instead of {own!s:.12}"
                )
        raise AssertionError("it would have fitted")


_WHAT = ("checksum", "model checksum", "hook point", "dtype", "model dtype", "number of features")


def _wanted(facts: DictionaryFacts) -> tuple[object, ...]:
    return (
        *(facts.checksum, facts.model_checksum, facts.hook_point),
        *(facts.dtype, facts.model_dtype, facts.features),
    )


def _there(view: DictionaryView) -> tuple[object, ...]:
    return (
        *(view.checksum, view.model_checksum, view.hook_point),
        *(view.dtype, view.model_dtype, view.d_sae),
    )
