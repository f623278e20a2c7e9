"""The tree of a feature that splits in larger dictionaries, as a picture and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from markupsafe import Markup

from app.errors import InvalidRequest, NotFound
from app.pages.compare.cells import FeatureCell, FeatureCells
from app.pages.compare.schema import Measure
from app.pages.compare.words import MEASURES, measure_of
from app.rendering.addresses import comparison_address
from app.rendering.markup import trusted
from app.rendering.numbers import count
from app.rendering.tokens import printable
from app.store.types.comparisons import ComparedDictionary, ComparisonView
from app.web.site import Site
from sae_core.evaluation.comparison.splitting import SplitFeature, splitting_tree

MOST_CHILDREN = (12, 6, 4)
_ROW, _COLUMN, _TEXT, _GAP = 22, 330, 40, 18  # units of the picture
_LONGEST = 44  # characters of a label in the picture


@dataclass(frozen=True)
class TreeNode:
    """A feature in the tree.

    Attributes:
        cell: the feature.
        of: its dictionary, as it was.
        value: how alike it is to its parent; nan for the root.
        children: the most alike first.
        more: children that are left out.
        level: 0 for the root.
    """

    cell: FeatureCell
    of: ComparedDictionary
    value: float
    children: tuple[TreeNode, ...]
    more: int
    level: int


@dataclass(frozen=True)
class TreePage:
    """The tree of one feature.

    Attributes:
        view: the comparison.
        place: of the root's dictionary there.
        index: of the root.
        by: the measure by which features are matched.
        levels: the dictionaries, from the root's up.
        root: the tree itself.
        measures: name, address and whether it is shown, of each measure that can be had.
    """

    view: ComparisonView
    place: int
    index: int
    by: Measure
    levels: tuple[ComparedDictionary, ...]
    root: TreeNode
    measures: tuple[tuple[str, str, bool], ...]

    @property
    def sentence(self) -> str:
        """How often it splits, in words."""
        counts = [0] * len(self.levels)
        left_out = [0] * (len(self.levels) + 1)
        for node in _walk(self.root):
            counts[node.level] += 1
            left_out[node.level + 1] += node.more
        parts = []
        for level, compared in enumerate(self.levels[1:], 1):
            n = counts[level] + left_out[level]
            beyond = f", {count(counts[level])} of them shown" if left_out[level] else ""
            parts.append(
                f"{count(n)} of {count(compared.d_sae)} in {printable(compared.dictionary)}{beyond}"
            )
        shown = f"Feature {self.index} of {printable(self.levels[0].dictionary)}"
        if counts[1] == 0:
            return (
                f"{shown} is no feature's best match in {printable(self.levels[1].dictionary)}: "
                "nothing there is more like it than chance and than other features of its "
                "dictionary."
            )
        return f"{shown} splits into {', and these into '.join(parts)}."

    @property
    def picture(self) -> Markup:
        """The tree from left to right."""
        return _picture(self)

    def step(self, by: int) -> str:
        """The address of the tree of a feature before or after; empty: there is none."""
        index = self.index + by
        if not 0 <= index < self.levels[0].d_sae:
            return ""
        return self.to(index)

    def to(self, index: int) -> str:
        """The address of the tree of another feature of the same dictionary."""
        return _address(self.view, self.place, index, self.by)


def _address(view: ComparisonView, place: int, index: int, by: str) -> str:
    asked = "" if by == "correlation" else by
    return comparison_address(view.name, "tree", place, index, by=asked)


def tree_page(site: Site, view: ComparisonView, place: int, index: int, by: Measure) -> TreePage:
    """The tree of a feature of a compared dictionary, through all larger ones of the comparison.

    Raises:
        NotFound: there is no such dictionary or feature.
        InvalidRequest: no larger dictionary can be compared by that measure.
    """
    places = _levels(view, place, by)
    root = view.dictionaries[place]
    if not 0 <= index < root.d_sae:
        raise NotFound(
            f"{root.title} has features 0 to {root.d_sae - 1}; there is no feature {index}."
        )
    matches = []
    for smaller, larger in pairwise(places):
        pair = site.store.comparisons.pair(view, larger, smaller)
        figures = measure_of(pair.figures, by)
        found = pair.cosines if by == "cosine" else pair.correlations
        assert figures is not None
        assert found is not None
        matches.append((found, figures.threshold))
    tree = splitting_tree(index, matches, MOST_CHILDREN[: len(matches)])
    wanted: list[set[int]] = [set() for _ in places]
    _collect(tree, wanted)
    cells = [
        FeatureCells(site, view.now[where], indices)
        for where, indices in zip(places, wanted, strict=True)
    ]
    levels = tuple(view.dictionaries[where] for where in places)
    measures = tuple(
        (MEASURES[other], _address(view, place, index, other), other == by)
        for other in MEASURES
        if _can(view, place, other)
    )
    return TreePage(view, place, index, by, levels, _node(tree, cells, levels), measures)


def _can(view: ComparisonView, place: int, by: str) -> bool:
    try:
        _levels(view, place, by)
    except InvalidRequest:
        return False
    return True


def _levels(view: ComparisonView, place: int, by: str) -> list[int]:
    """The places of the root's dictionary and of one of each larger size, by size."""
    if not 0 <= place < len(view.dictionaries):
        raise NotFound(
            f"The comparison {view.name} has the dictionaries 0 to {len(view.dictionaries) - 1}."
        )
    places = [place]
    sizes = {compared.d_sae for compared in view.dictionaries if not compared.is_neurons}
    for size in sorted(size for size in sizes if size > view.dictionaries[place].d_sae):
        larger = [
            other
            for other, compared in enumerate(view.dictionaries)
            if compared.d_sae == size
            and not compared.is_neurons
            and measure_of(view.pairs[other, places[-1]], by) is not None
        ]
        places += larger[:1]
    if len(places) < 2:
        raise InvalidRequest(
            f"No larger dictionary was compared with {view.dictionaries[place].title} by "
            f"{MEASURES[by]} here: a tree needs one that its features can split into."
        )
    return places[: len(MOST_CHILDREN) + 1]


def _collect(tree: SplitFeature, wanted: list[set[int]]) -> None:
    wanted[tree.level].add(tree.index)
    for child in tree.children:
        _collect(child, wanted)


def _node(
    tree: SplitFeature, cells: list[FeatureCells], levels: tuple[ComparedDictionary, ...]
) -> TreeNode:
    return TreeNode(
        cell=cells[tree.level].cell(tree.index),
        of=levels[tree.level],
        value=tree.value,
        children=tuple(_node(child, cells, levels) for child in tree.children),
        more=tree.more,
        level=tree.level,
    )


def _walk(node: TreeNode) -> Iterator[TreeNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _picture(page: TreePage) -> Markup:
    """A column for each dictionary, a row for each leaf, a curve from each child to its parent."""
    rows: dict[int, float] = {}
    _place(page.root, rows, [0])
    height = _TEXT + _ROW * max(1, sum(not node.children for node in _walk(page.root)))
    width = _COLUMN * len(page.levels)
    heads = "".join(
        f'<text class="head" x="{_COLUMN * level + 8}" y="16">{count(compared.d_sae)}: '
        f"{escape(printable(compared.dictionary)[:30])}</text>"
        for level, compared in enumerate(page.levels)
    )
    curves, names = "", ""
    for node in _walk(page.root):
        x, y = _COLUMN * node.level, _TEXT + _ROW * rows[id(node)]
        for child in node.children:
            to_x, to_y = _COLUMN * child.level, _TEXT + _ROW * rows[id(child)]
            middle = to_x - _GAP
            curves += (
                f'<path d="M{to_x - 2 * _GAP} {y:.1f}C{middle} {y:.1f} {middle} {to_y:.1f} '
                f'{to_x + 4} {to_y:.1f}" stroke-width="{0.5 + 3 * max(0.0, child.value):.1f}"/>'
            )
        if node.children:
            curves += f'<path class="lead" d="M{x + 8} {y + 7:.1f}H{x + _COLUMN - 2 * _GAP}"/>'
        title = f"{node.cell.index} {printable(node.cell.title)}".strip()
        short = title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…"
        text = (
            f'<text x="{x + 8}" y="{y + 4:.1f}">{escape(short)}'
            f"<title>{escape(title)}</title></text>"
        )
        if node.cell.address:
            text = f'<a href="{escape(node.cell.address)}">{text}</a>'
        names += text
    summary = f"{page.sentence} The list below says the same."
    return trusted(
        f'<svg class="tree" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="group" aria-label="{escape(summary)}">{heads}<g class="curves">{curves}</g>{names}'
        "</svg>"
    )


def _place(node: TreeNode, rows: dict[int, float], leaves: list[int]) -> float:
    """Leaves one below the other, a parent in the middle of its children."""
    if node.children:
        places = [_place(child, rows, leaves) for child in node.children]
        rows[id(node)] = (places[0] + places[-1]) / 2
    else:
        rows[id(node)] = float(leaves[0])
        leaves[0] += 1
    return rows[id(node)]
