"""What the prompt page says of a chosen token, a chosen feature, and why that feature fires."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from app.errors import InvalidRequest
from app.pages.prompt.view.rows import Described
from app.pages.prompt.view.strip import Paint
from app.rendering.charts.bars import share_bar
from app.rendering.markup import trusted
from app.rendering.numbers import activation, decimals, number, percent, signed
from app.rendering.tokens import Typeset
from app.rendering.underlines import Underlines
from app.web.search.named_tokens import find_token
from app.worker.client.readings import Occlusion, Reading
from sae_core.harvest.records import ContextEffect

MOST_WORDS = 12


@dataclass(frozen=True)
class Alternative:
    """A token that the model expected.

    Attributes:
        html: the token, everything in it visible.
        value: what an address calls it.
        probability: what the model gave the token.
        bar: the probability, drawn.
        actual: whether it is the token that stands there.
    """

    html: Markup
    value: str
    probability: str
    bar: Markup
    actual: bool


@dataclass(frozen=True)
class TokenPanel:
    """A chosen place of the prompt.

    Attributes:
        position: its position; the number of tokens for the one after the prompt.
        html: the token; None for the place after the prompt.
        id: the id of the token.
        loss: nats; empty for the first token, which nothing predicts.
        probability: what the model gave the token; empty likewise.
        expected: what the model expected here, likeliest first.
        previous: the place before; None at the start.
        following: the place after; None at the end.
    """

    position: int
    html: Markup | None
    id: int
    loss: str
    probability: str
    expected: tuple[Alternative, ...]
    previous: int | None
    following: int | None


@dataclass(frozen=True)
class FeaturePanel:
    """The chosen feature on this prompt.

    Attributes:
        described: which one.
        firings: tokens of the prompt on which it fires.
        maximum: largest activation on the prompt.
        ever: largest activation in the harvest.
        total: change of the loss over all tokens when it is ablated; empty: not known.
        strongest: the token that ablation hurts most, and by how much; None: none.
        underlines: which changes of the loss are drawn.
    """

    described: Described
    firings: int
    maximum: str
    ever: str
    total: str
    strongest: tuple[Markup, str] | None
    underlines: Underlines


@dataclass(frozen=True)
class Missing:
    """A token, and what its absence does.

    Attributes:
        position: where the token stands.
        html: the token.
        without: the activation without it; empty where nothing is left to read.
        change: from the full prompt.
        bar: the change's size as a share of the activation, drawn.
        falls: whether the activation falls.
    """

    position: int
    html: Markup
    without: str
    change: str
    bar: Markup
    falls: bool


@dataclass(frozen=True)
class WhyPanel:
    """Why the chosen feature fires.

    Attributes:
        position: where it is read.
        html: the token there.
        activation: with nothing taken away.
        put: what stands in each token's place; None: it is left out.
        replacement: the same, visibly.
        words: the tokens that matter most.
        every: all tokens, in the prompt's order.
        strip: the prompt, coloured by what is lost.
    """

    position: int
    html: Markup
    activation: str
    put: int | None
    replacement: Markup | None
    words: tuple[Missing, ...]
    every: tuple[Missing, ...]
    strip: Markup


@dataclass(frozen=True)
class TokenNumbers:
    """A token of the prompt in numbers; empty where there is none.

    Attributes:
        position: where the token stands.
        html: the token.
        loss: nats.
        probability: what the model gave the token.
        activation: what the chosen feature reads here.
        change: how the loss changes where the chosen feature is ablated.
        without: change of the chosen feature's activation where the token is missing.
        expected: the likeliest tokens in its place, with their probabilities.
    """

    position: int
    html: Markup
    loss: str
    probability: str
    activation: str
    change: str
    without: str
    expected: tuple[tuple[Markup, str], ...]


def token_value(typeset: Typeset, token: int) -> str:
    """What an address calls a token: its text, or its id where the text is another one's too."""
    text = typeset.real[token]
    try:
        named = find_token(typeset.vocabulary, text)
    except InvalidRequest:
        named = -1
    # a page holds no NUL, and a form makes every line break CR LF, which is read as LF
    return text if named == token and not {"\r", "\0"} & set(text) else f"id:{token}"


def token_panel(reading: Reading, typeset: Typeset, position: int) -> TokenPanel:
    """The place at `position`; the number of tokens asks for the one after the prompt."""
    n = len(reading)
    inside = position < n
    token = int(reading.tokens[position]) if inside else -1
    loss = float(reading.loss[position]) if inside else math.nan
    alternatives = []
    if position:
        ids = reading.predicted[position - 1].tolist()
        shares = reading.probabilities[position - 1].tolist()
        alternatives = [
            Alternative(
                trusted(typeset.label[candidate]),
                token_value(typeset, candidate),
                percent(share),
                share_bar(share),
                candidate == token,
            )
            for candidate, share in zip(ids, shares, strict=True)
        ]
    known = math.isfinite(loss)
    return TokenPanel(
        position=position,
        html=trusted(typeset.label[token]) if inside else None,
        id=token,
        loss=number(loss, 2) if known else "",
        probability=percent(math.exp(-loss)) if known else "",
        expected=tuple(alternatives),
        previous=position - 1 if position else None,
        following=position + 1 if inside else None,
    )


def feature_panel(
    reading: Reading,
    typeset: Typeset,
    described: Described,
    fired: tuple[int, float],
    ever: float,
    effect: ContextEffect | None,
    underlines: Underlines,
) -> FeaturePanel:
    """The chosen feature.

    Args:
        reading: the prompt.
        typeset: the tokens of the prompt's model.
        described: the feature.
        fired: on how many tokens it fires, and its largest activation there.
        ever: its largest activation in the harvest.
        effect: what ablating it does; None: not known.
        underlines: which changes of the loss are drawn.
    """
    strongest = None
    total = ""
    if effect is not None:
        total = signed(float(effect.loss_change.sum()), 3)
        if len(effect.positions) and effect.loss_change.max() > 0:
            place = int(effect.loss_change.argmax())
            token = int(reading.tokens[effect.positions[place]])
            strongest = (
                trusted(typeset.label[token]),
                signed(float(effect.loss_change[place]), 3),
            )
    return FeaturePanel(
        described=described,
        firings=fired[0],
        maximum=activation(fired[1], ever),
        ever=activation(ever, ever),
        total=total,
        strongest=strongest,
        underlines=underlines,
    )


def missing_tokens(
    occlusion: Occlusion, reading: Reading, typeset: Typeset
) -> tuple[tuple[Missing, ...], tuple[Missing, ...]]:
    """What each token's absence does: those that matter most, and all of them."""
    base = occlusion.activation
    every = []
    sizes = []
    for position, without, change in zip(
        occlusion.positions.tolist(),
        occlusion.activations.tolist(),
        occlusion.changes.tolist(),
        strict=True,
    ):
        known = math.isfinite(change)
        size = abs(change) / base if known and base > 0 else 0.0
        sizes.append(size)
        every.append(
            Missing(
                position,
                trusted(typeset.label[int(reading.tokens[position])]),
                activation(without, base) if known else "",
                signed(change, decimals(base)) if known else "",
                share_bar(size),
                known and change < 0,
            )
        )
    order = np.argsort(-np.array(sizes), kind="stable")[:MOST_WORDS].tolist()
    words = tuple(every[place] for place in order if sizes[place] >= 0.005)
    return words, tuple(every)


def token_numbers(
    reading: Reading, typeset: Typeset, paint: Paint, missing: Paint | None, most: int
) -> list[TokenNumbers]:
    """The first tokens of a prompt in numbers.

    Args:
        reading: the prompt.
        typeset: the tokens of the prompt's model.
        paint: the prompt as the chosen feature colours it.
        missing: the prompt as the reasons why it fires colour it; None: not asked.
        most: rows.
    """
    rows = []
    label = typeset.label
    for position, token in enumerate(reading.tokens.tolist()[:most]):
        loss = float(reading.loss[position])
        known = math.isfinite(loss)
        expected = []
        if position:
            ids = reading.predicted[position - 1].tolist()[:3]
            shares = reading.probabilities[position - 1].tolist()
            expected = [
                (trusted(label[candidate]), percent(share))
                for candidate, share in zip(ids, shares, strict=False)
            ]
        rows.append(
            TokenNumbers(
                position=position,
                html=trusted(label[token]),
                loss=number(loss, 3) if known else "",
                probability=percent(math.exp(-loss)) if known else "",
                activation=paint.values[position],
                change=paint.changes[position],
                without=missing.values[position] if missing else "",
                expected=tuple(expected),
            )
        )
    return rows
