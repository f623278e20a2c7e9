"""From what is known of a prompt to what the JSON interface answers."""

from __future__ import annotations

import math

from app.pages.prompt import schema as types
from app.pages.prompt.active_features import ActiveFeatures
from app.rendering.tokens import Typeset, printable
from app.rendering.words.summary import summary_of_row
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.web.schema import floats
from app.worker.client.readings import Occlusion, Reading


def token(typeset: Typeset, id_: int) -> types.TokenName:
    """A token."""
    return types.TokenName(id=id_, text=typeset.real[id_])


def tokens(reading: Reading, typeset: Typeset) -> list[types.TokenName]:
    """The tokens of a prompt."""
    return [token(typeset, id_) for id_ in reading.ids]


def expected(reading: Reading, typeset: Typeset, position: int) -> list[types.Expected]:
    """What the model expects at a position; nothing predicts the first."""
    if position == 0:
        return []
    pairs = zip(
        reading.predicted[position - 1].tolist(),
        floats(reading.probabilities[position - 1]),
        strict=True,
    )
    return [types.Expected(id=id_, text=typeset.real[id_], probability=p) for id_, p in pairs]


def prompt_tokens(reading: Reading, typeset: Typeset) -> list[types.PromptToken]:
    """The tokens of a prompt with what the model thinks of them."""
    return [
        types.PromptToken(
            id=id_,
            text=typeset.real[id_],
            loss=loss if math.isfinite(loss) else None,
            expected=expected(reading, typeset, position),
        )
        for position, (id_, loss) in enumerate(zip(reading.ids, floats(reading.loss), strict=True))
    ]


def dictionary(
    store: Store, view: DictionaryView, active: ActiveFeatures, typeset: Typeset
) -> types.ActiveDictionary:
    """What of a dictionary fires, largest activation first; `active` has that dictionary alone."""
    known = store.rows(view, active.feature.tolist())
    features = []
    for row in active.ordered(active.maximum).tolist():
        index = int(active.feature[row])
        positions, values = active.where(row)
        features.append(
            types.ActiveFeature(
                index=index,
                label=printable(known[index].label),
                summary=summary_of_row(known[index], typeset).text,
                raised=[typeset.real[t] for t in known[index].strongest],
                activation=max(floats(values)),
                total=float(active.total[row]),
                position=int(active.peak[row]),
                share=float(active.share[row]),
                density=float(active.density[row]),
                rarity=float(active.rarity[row]),
                positions=positions.tolist(),
                values=floats(values),
            )
        )
    return types.ActiveDictionary(
        name=view.name,
        hook_point=view.hook_point,
        output_hook_point=view.output_hook_point,
        checksum=view.checksum,
        is_neurons=view.is_neurons,
        features=features,
    )


def missing(occlusion: Occlusion, reading: Reading, typeset: Typeset) -> list[types.MissingToken]:
    """What each token's absence does to a feature."""
    tokens = []
    for position, without, change in zip(
        occlusion.positions.tolist(),
        floats(occlusion.activations),
        floats(occlusion.changes),
        strict=True,
    ):
        id_ = int(reading.tokens[position])
        known = math.isfinite(without)
        tokens.append(
            types.MissingToken(
                id=id_,
                text=typeset.real[id_],
                position=position,
                activation=without if known else None,
                change=change if known else None,
            )
        )
    return tokens
