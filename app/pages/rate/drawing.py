"""A blind sheet as HTML: contexts with bands of activation, and tokens with shares."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from app.rendering.charts.bars import share_bar
from app.rendering.contexts import ACTIVATION_LEVELS
from app.rendering.markup import trusted
from app.rendering.tokens import Typeset
from sae_core.harvest.blinding import BlindContext, BlindGroup, BlindSheet
from sae_core.harvest.records import N_BANDS


@dataclass(frozen=True)
class DrawnGroup:
    """Contexts of one part of the range.

    Attributes:
        title: which part.
        contexts: each as what stands before its peak, and from it on.
    """

    title: str
    contexts: tuple[Markup, ...]


@dataclass(frozen=True)
class DrawnToken:
    """A token whose logit the feature changes: its HTML, a bar, and its share in words."""

    html: Markup
    bar: Markup
    share: str


@dataclass(frozen=True)
class DrawnSheet:
    """All that a rater sees."""

    groups: tuple[DrawnGroup, ...]
    raised: tuple[DrawnToken, ...]
    lowered: tuple[DrawnToken, ...]


def draw_sheet(sheet: BlindSheet, typeset: Typeset) -> DrawnSheet:
    """The sheet as HTML."""
    return DrawnSheet(
        groups=tuple(
            DrawnGroup(group_title(group), tuple(_context(c, typeset) for c in group.contexts))
            for group in sheet.groups
        ),
        raised=_tokens(sheet.raised, typeset),
        lowered=_tokens(sheet.lowered, typeset),
    )


def group_title(group: BlindGroup) -> str:
    """Which part of the range a group shows."""
    if group.highest == 0:
        return "strongest"
    return f"{group.low:.0%} to {group.high:.0%}".replace("%", " %")


def _context(context: BlindContext, typeset: Typeset) -> Markup:
    html = []
    tokens, bands = context.tokens.tolist(), context.bands.tolist()
    for place, (token, band) in enumerate(zip(tokens, bands, strict=True)):
        classes = [f"a{round(band * ACTIVATION_LEVELS / N_BANDS)}"] if band else []
        classes += ["p"] if place == context.peak else []
        named = f' class="{" ".join(classes)}"' if classes else ""
        told = f' title="band {band} of {N_BANDS}"' if band else ""
        html.append(f"<bdi{named}{told}>{typeset.inline[token]}</bdi>")
    before, after = "".join(html[: context.peak]), "".join(html[context.peak :])
    return trusted(f"<p class=l><span>{before}</span></p><p class=r>{after}</p>")


def _tokens(ranked: tuple[tuple[int, float], ...], typeset: Typeset) -> tuple[DrawnToken, ...]:
    return tuple(
        DrawnToken(trusted(typeset.label[token]), share_bar(abs(share)), f"{share * 100:.0f} %")
        for token, share in ranked
    )
