"""An automaton as a small diagram: features one below the other, steps as arcs beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from app.rendering.markup import trusted
from app.rendering.numbers import percent

ROW = 56
WIDTH = 560
LEFT, RIGHT, TOP = 90, 120, 10
BOX = 36
_LONGEST = 34  # characters beside a feature's number
_TOKENS = 16

Node = tuple[int, str, str]
Arc = tuple[int, int, float, Sequence[str]]


def diagram(nodes: Sequence[Node], arcs: Sequence[Arc]) -> Markup:
    """The diagram. Steps downwards lie on the right, upwards and loops on the left; the table has
    the same in words.

    Args:
        nodes: number, words and address of each feature.
        arcs: source, target, share and tokens of each step, the strongest first.
    """
    place = {index: n for n, (index, _, _) in enumerate(nodes)}
    height = 2 * TOP + ROW * len(nodes)
    named = ", ".join(
        f"{source} to {target} in {percent(share)}" for source, target, share, _ in arcs
    )
    parts = [
        f'<svg class="automaton" viewBox="0 0 {WIDTH} {height}" role="group" '
        f'aria-label="{escape("Steps: " + named)}">'
    ]
    parts += [_arc(place, arc) for arc in reversed(arcs)]
    parts += [_node(n, node) for n, node in enumerate(nodes)]
    return trusted("".join([*parts, "</svg>"]))


def _node(n: int, node: Node) -> str:
    index, words, address = node
    y, width = TOP + ROW * n, WIDTH - LEFT - RIGHT
    return (
        f'<a href="{escape(address)}" aria-label="{escape(f"feature {index}: {words}")}">'
        f"<title>{escape(f'{index}: {words}')}</title>"
        f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BOX}" rx="4"/>'
        f'<text x="{LEFT + 8}" y="{y + 23}"><tspan class="index">{index}</tspan> '
        f"{escape(_cut(words, _LONGEST))}</text></a>"
    )


def _arc(place: dict[int, int], arc: Arc) -> str:
    source, target, share, tokens = arc
    a, b = place[source], place[target]
    right = b > a
    x = WIDTH - RIGHT if right else LEFT
    top, end = TOP + ROW * a + BOX * 0.62, TOP + ROW * b + BOX * 0.38
    if a == b:
        top, end = TOP + ROW * a + BOX * 0.8, TOP + ROW * a + BOX * 0.2
    reach = min(RIGHT - 12, 22 + 18 * abs(b - a)) if right else -min(LEFT - 12, 26 + 16 * (a - b))
    title = f"{source} writes {', '.join(tokens)}, {target} fires: {percent(share)}"
    label = escape(_cut(tokens[0] if tokens else "", _TOKENS))
    tip = 6 if right else -6
    text = (
        f'<text class="token" x="{x + 10}" y="{(top + end) / 2 + 4:.0f}">{label}</text>'
        if b - a == 1
        else ""
    )
    return (
        f'<g class="arc"><title>{escape(title)}</title>'
        f'<path d="M{x} {top:.0f}C{x + reach} {top:.0f} {x + reach} {end:.0f} {x} {end:.0f}" '
        f'stroke-width="{1 + 3 * share:.1f}"/>'
        f'<path class="tip" d="M{x} {end:.0f}l{tip} -4v8z"/>{text}</g>'
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
