"""Where to start: three steps with examples out of what the store holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.rendering.addresses import dictionary_address, model_page_address
from app.rendering.contexts import leading_text
from app.rendering.tokens import Typeset
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.types.queries import FeatureQuery

N_EXAMPLES = 3
LOOKED_AT = 50
PROMPT_TOKENS = 14


@dataclass(frozen=True)
class Example:
    """A feature worth a first look.

    Attributes:
        index: its number.
        address: of its page.
        line: what it fires on and helps, in words; nothing where that is not known.
        text: of its strongest context, up to where it fires; empty: none is kept.
        prompt: address of the page that reads that text; empty: there is no text.
    """

    index: int
    address: str
    line: Sentence
    text: str
    prompt: str


@dataclass(frozen=True)
class Start:
    """The steps.

    Attributes:
        dictionary: whose features are read.
        table: address of its features, those with the largest effects first where that is known.
        examples: at least one.
        steer: address of the steering page with the first example set; empty where the model is
            not there.
    """

    dictionary: DictionaryView
    table: str
    examples: tuple[Example, ...]
    steer: str


def suggested(catalogue: Iterable[DictionaryView]) -> DictionaryView | None:
    """The dictionary to start with: a trained one with a model, with most features; None: none."""
    alive = [view for view in catalogue if view.alive]
    return min(
        alive, key=lambda view: (view.is_imported, view.is_neurons, -view.d_sae), default=None
    )


def start(store: Store, dictionary: DictionaryView, typeset: Typeset) -> Start:
    """Steps through one dictionary.

    Its examples are, of the fifty features with the largest effects (or activations, where effects
    are not known), those that fire on one token most exclusively.
    """
    knows = store.has_landings(dictionary)
    query = FeatureQuery("effect" if knows else "maximum", True, True, per_page=LOOKED_AT)
    rows = sorted(store.features(dictionary, query).rows, key=_exclusive, reverse=True)
    examples = tuple(_example(row, dictionary, typeset) for row in rows[:N_EXAMPLES])
    first = examples[0]
    return Start(
        dictionary=dictionary,
        table=dictionary_address(
            dictionary.model, dictionary.name, sort="effect" if knows else "", alive="1"
        ),
        examples=examples,
        steer=""
        if dictionary.is_imported
        else model_page_address(
            dictionary.model, "steer", text=first.text, f=f"{dictionary.name}:{first.index}"
        ),
    )


def _exclusive(row: FeatureRow) -> float:
    return 0.0 if row.fires_on is None else float(row.fires_on.weights.max(initial=0.0))


def _example(row: FeatureRow, dictionary: DictionaryView, typeset: Typeset) -> Example:
    text = _text(row, typeset)
    return Example(
        index=row.index,
        address=dictionary_address(dictionary.model, dictionary.name, row.index),
        line=summary_of_row(row, typeset),
        text=text,
        prompt=model_page_address(dictionary.model, text=text, d=dictionary.name)
        if text and not dictionary.is_imported
        else "",
    )


def _text(row: FeatureRow, typeset: Typeset) -> str:
    """The text that leads to the peak, without special tokens and broken characters."""
    if row.best is None or row.window is None:
        return ""
    return leading_text(row.window, int(row.best.peaks[0]), typeset.vocabulary, PROMPT_TOKENS)
