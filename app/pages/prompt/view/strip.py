"""A prompt as a strip of tokens, and the small pictures beside its features, as HTML and SVG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.pages.prompt.query import FeatureName
from app.rendering.contexts import activation_levels
from app.rendering.markup import trusted
from app.rendering.numbers import decimals, nats, signed
from app.rendering.tokens import Typeset
from app.rendering.underlines import EFFECT_STEPS, Underlines
from app.worker.client.readings import Reading
from sae_core.harvest.records import ContextEffect

LOSS_LEVELS = 8
_SEEN = 0.005  # shares of the activation below it are not coloured


@dataclass
class Paint:
    """What is seen of each token of a strip, and what is said of it.

    Attributes:
        oranges: 0 (none) to 16 (the maximum), [n].
        lines: underlines, 0 (none), 1 to 6 (blue) or -1 to -6 (red), [n].
        losses: how hard tokens are to predict, 0 (not at all) to 8, [n].
        values: what the orange stands for, in words; empty where there is none.
        changes: what the underline stands for.
        value_name: what the values are.
        change_name: what the changes are.
    """

    oranges: NDArray[np.intp]
    lines: NDArray[np.intp]
    losses: NDArray[np.intp]
    values: list[str]
    changes: list[str]
    value_name: str = "activation"
    change_name: str = "Δloss if ablated"

    @classmethod
    def blank(cls, n: int) -> Paint:
        """Nothing to be seen on n tokens."""
        oranges, lines, losses = np.zeros((3, n), np.intp)
        return cls(oranges, lines, losses, [""] * n, [""] * n)


def paint_loss(loss: NDArray[np.float32], uniform: float) -> Paint:
    """Tokens by how hard they are to predict, while nothing is chosen.

    Args:
        loss: of each token, nats, float32 [n]; NaN where nothing predicts it.
        uniform: what a guess among all tokens loses, nats: that and more is the full colour.
    """
    paint = Paint.blank(len(loss))
    shares = np.clip(np.nan_to_num(loss) / uniform, 0.0, 1.0)
    paint.losses[:] = np.rint(shares * LOSS_LEVELS)
    return paint


def paint_feature(
    n: int,
    positions: NDArray[np.int32],
    values: NDArray[np.float32],
    maximum: float,
    effect: ContextEffect | None,
    underlines: Underlines,
) -> Paint:
    """A feature on a prompt of n tokens, as its contexts show it.

    Args:
        n: tokens of the prompt.
        positions: where it fires.
        values: its activations there.
        maximum: the full orange.
        effect: what ablating it does; None: not known.
        underlines: which changes of the loss are drawn.
    """
    paint = Paint.blank(n)
    paint.oranges[positions] = activation_levels(values, maximum)
    digits = decimals(maximum)
    for position, value in zip(positions.tolist(), values.tolist(), strict=True):
        paint.values[position] = f"{value:.{digits}f}"
    if effect is not None:
        paint.lines[effect.positions] = underlines.levels(effect.loss_change)
        paint.changes = ["0"] * n
        for position, change in zip(
            effect.positions.tolist(), effect.loss_change.tolist(), strict=True
        ):
            paint.changes[position] = nats(change)
    return paint


def paint_occlusion(
    n: int, positions: NDArray[np.int32], changes: NDArray[np.float32], activation: float
) -> Paint:
    """Which tokens a feature's activation hangs on: orange where it falls without them, a dashed
    line where it rises."""
    paint = Paint.blank(n)
    paint.value_name, paint.change_name = "change without it", ""
    digits = decimals(activation)
    known = np.isfinite(changes)
    sizes = np.nan_to_num(np.abs(changes))
    levels = activation_levels(sizes, activation)
    seen = sizes >= max(_SEEN * activation, np.finfo(np.float32).tiny)
    falls, rises = seen & (changes < 0), seen & (changes > 0)
    paint.oranges[positions[falls]] = levels[falls]
    paint.lines[positions[rises]] = -np.minimum(-(-levels[rises] // 3), len(EFFECT_STEPS))
    for position, change in zip(positions[known].tolist(), changes[known].tolist(), strict=True):
        paint.values[position] = signed(change, digits)
    return paint


def strip(
    reading: Reading,
    typeset: Typeset,
    paint: Paint,
    title: str,
    chosen: int | None = None,
    aim: int | None = None,
    following: bool = False,
    ablated: tuple[str, FeatureName] | None = None,
) -> Markup:
    """The tokens of a prompt, one tab stop in all.

    Args:
        reading: the prompt.
        typeset: the tokens of the prompt's model.
        paint: how its tokens look.
        title: what the strip is called for those who do not see it.
        chosen: position of the chosen token.
        aim: position of the prediction in question.
        following: a last place stands for the token after the prompt, and tokens can be chosen.
        ablated: the address that says what ablating a feature does to a prompt, and that feature.
    """
    tokens = reading.tokens.tolist()
    html = [typeset.broken[token] for token in tokens] + (["▸"] if following else [])
    stop = min(chosen or 0, len(html) - 1)
    parts = []
    for place, inner in enumerate(html):
        inside = place < len(tokens)
        names = _names(paint, place) if inside else ["next"]
        names += ["here"] if place == chosen else []
        names += ["aim"] if place == aim else []
        look = f' class="{" ".join(names)}"' if names else ""
        tab = " tabindex=0" if place == stop else ""
        selected = "true" if place == chosen else "false"
        label = "" if inside else ' aria-label="the token after the prompt"'
        parts.append(f"<bdi role=option aria-selected={selected}{look}{tab}{label}>{inner}</bdi>")
    data = {
        "ids": tokens,
        "loss": [None if value != value else round(value, 4) for value in reading.loss.tolist()],
        "top": _expected(reading, typeset),
        "values": _trimmed(paint.values),
        "changes": _trimmed(paint.changes),
        "names": [paint.value_name, paint.change_name],
    }
    kind = "strip choosable" if following else "strip"
    asks = (
        f' data-ablation="{escape(ablated[0])}" data-feature="{escape(str(ablated[1]))}"'
        if ablated
        else ""
    )
    written = escape(json.dumps(data, separators=(",", ":")))
    return trusted(
        f'<p class="{kind}" role="listbox" aria-label="{escape(title)}"{asks} '
        f'data-tokens="{written}">'
        f"{''.join(parts)}</p>"
    )


def _names(paint: Paint, place: int) -> list[str]:
    """The classes of a token."""
    orange, line = int(paint.oranges[place]), int(paint.lines[place])
    names = [f"a{orange}"] if orange else []
    names += [f"l{loss}"] if (loss := int(paint.losses[place])) else []
    if line:
        names.append(f"u{line}" if line > 0 else f"n{-line}")
    return names


def _expected(reading: Reading, typeset: Typeset) -> list[list[tuple[str, float]]]:
    """What the model expected in each place, the one after the prompt included."""
    rows = zip(reading.predicted.tolist(), reading.probabilities.tolist(), strict=True)
    expected: list[list[tuple[str, float]]] = [[]]
    for ids, shares in rows:
        pairs = zip(ids, shares, strict=True)
        expected.append([(typeset.visible[token], round(share, 5)) for token, share in pairs])
    return expected


def _trimmed(words: Sequence[str]) -> list[str]:
    """Without the empty words at the end."""
    last = max((place for place, word in enumerate(words) if word), default=-1)
    return list(words[: last + 1])
