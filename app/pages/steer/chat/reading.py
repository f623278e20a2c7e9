"""A conversation read with dictionaries: features and traits, token by token and turn by turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pages.steer.answers import feature_name
from app.pages.steer.chat import schema as types
from app.pages.steer.chat.conversations import PARTS
from app.store.types.annotations import ListItem, ListView
from app.store.types.catalogue import DictionaryView
from app.web.model import AddressedModel
from app.web.schema import floats
from app.worker.client.prompts import PromptWork
from app.worker.client.readings import PromptFirings
from app.worker.client.references import opens_with_bos
from sae_core.text.chat.conversation import Conversation

N_FEATURES = 5

Firings = Mapping[str, PromptFirings]


@dataclass(frozen=True)
class Trait:
    """A list of features that is followed.

    Attributes:
        view: the list.
        features: dictionary, index and largest activation of those that count.
        left_out: how many do not: they are of another model, or never fire.
    """

    view: ListView
    features: tuple[tuple[str, int, float], ...]
    left_out: int

    def levels(self, firings: Firings, n: int) -> NDArray[np.float32]:
        """Mean over its features of activation by maximum, on each of n tokens, float32 [n]."""
        levels = np.zeros(n, np.float32)
        for dictionary, index, maximum in self.features:
            positions, values = firings[dictionary].of(index)
            levels[positions] += values / np.float32(maximum)
        return levels / np.float32(max(1, len(self.features)))


def trait_of(model: AddressedModel, name: str, reader: DictionaryView) -> Trait:
    """The trait that a list is on a model.

    Args:
        model: the model.
        name: of the list.
        reader: what the conversation is read with: other dictionaries read texts as it does.

    Raises:
        NotFound: there is no such list.
    """
    view, items = model.store.lists.contents(name)
    usable = [item for item in items if _usable(model, item, reader)]
    features = []
    for dictionary in dict.fromkeys(item.dictionary for item in usable):
        indices = [item.index for item in usable if item.dictionary == dictionary]
        rows = model.store.rows(model.dictionary(dictionary), indices)
        features += [
            (dictionary, index, row.maximum) for index, row in rows.items() if row.maximum > 0
        ]
    return Trait(view, tuple(features), len(items) - len(features))


def _usable(model: AddressedModel, item: ListItem, reader: DictionaryView) -> bool:
    view = model.dictionaries.get(item.dictionary)
    here = item.there and item.model == model.name and view is not None
    return here and view is not None and opens_with_bos(view) == opens_with_bos(reader)


def read(
    model: AddressedModel,
    prompts: PromptWork,
    said: Conversation,
    template: types.TemplateName,
    question: types.ReadingQuestion,
) -> types.ConversationReading:
    """What fires on a conversation.

    Args:
        model: that reads it.
        prompts: asks the worker.
        said: its tokens.
        template: whose the template is.
        question: which features are listed, and which traits followed.

    Raises:
        NotFound: there is no such dictionary or list.
    """
    view = model.dictionary(question.dictionary) if question.dictionary else model.leading
    traits = [trait_of(model, name, view) for name in dict.fromkeys(question.traits)]
    names = dict.fromkeys([view.name, *(f[0] for trait in traits for f in trait.features)])
    views = [model.dictionary(name) for name in names]
    reading = prompts.read(view, tuple(said.tokens.tolist()), views)
    firings = dict(zip(names, reading.firings, strict=True))
    levels = [trait.levels(firings, len(said)) for trait in traits]
    strongest = _strongest(firings[view.name], len(said))
    rows = model.store.rows(view, sorted({f for top in strongest for f, _ in top}))
    return types.ConversationReading(
        model=model.name,
        template=template,
        dictionary=view.name,
        tokens=[
            types.ReadToken(
                id=token,
                text=model.typeset.visible[token],
                turn=int(said.turn[at]),
                part=PARTS[int(said.part[at])],
                features=[feature for feature, _ in strongest[at]],
                activations=[value for _, value in strongest[at]],
                traits=floats(np.array([level[at] for level in levels], np.float32)),
            )
            for at, token in enumerate(reading.ids)
        ],
        names=[feature_name(row, model.typeset) for row in rows.values()],
        traits=[
            types.TraitLevels(
                name=trait.view.name,
                title=trait.view.title,
                features=len(trait.features),
                left_out=trait.left_out,
                turns=means(level, said, len(question.turns)),
            )
            for trait, level in zip(traits, levels, strict=True)
        ],
    )


def means(levels: NDArray[np.float32], said: Conversation, n_turns: int) -> list[float | None]:
    """The mean level over the tokens that are said in each turn."""
    inside = [levels[said.is_content & (said.turn == turn)] for turn in range(n_turns)]
    return [float(str(part.mean(dtype=np.float32))) if len(part) else None for part in inside]


def _strongest(fired: PromptFirings, n: int) -> Sequence[list[tuple[int, float]]]:
    """The features most active on each token, and how active they are."""
    tops: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for row in np.lexsort((fired.features, -fired.values, fired.positions)).tolist():
        top = tops[int(fired.positions[row])]
        if len(top) < N_FEATURES:
            top.append((int(fired.features[row]), floats(fired.values[row : row + 1])[0]))
    return tops
