"""A context of a report as HTML: its surroundings of the peak, with activations as colour and in
titles."""

from __future__ import annotations

from html import escape

import numpy as np
from markupsafe import Markup

from app.exchange.report.findings.features.parts import FiringContext
from app.rendering.contexts import SHORT_AFTER, SHORT_BEFORE, activation_levels
from app.rendering.markup import trusted
from app.rendering.numbers import activation
from app.rendering.tokens import SPACE, printable


def context_line(context: FiringContext, maximum: float) -> Markup:
    """The tokens around the peak; those on which the feature fires are marked."""
    at = context.at
    levels = activation_levels(np.array([*at.values()], dtype=np.float32), maximum)
    level = dict(zip(at, levels.tolist(), strict=True))
    low = max(0, context.peak - SHORT_BEFORE)
    html = []
    for place in range(low, min(len(context.texts), context.peak + SHORT_AFTER + 1)):
        text = escape(printable(context.texts[place]).replace(SPACE, " "))
        if place in at:
            mark = f"a{level[place]}{' p' if place == context.peak else ''}"
            title = f"activation {activation(at[place], maximum)}"
            html.append(f'<bdi class="{mark}" title="{title}">{text}</bdi>')
        else:
            html.append(f"<bdi>{text}</bdi>")
    return trusted("".join(html))
