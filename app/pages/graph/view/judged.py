"""Whether the features of a graph are enough for its targets, beside random features."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.graph.view.checks import parts_of
from app.pages.graph.view.page import GraphPage
from app.rendering.charts.plots import Axis, Line, plot, swatch
from app.rendering.markup import trusted
from app.web.schema import floats
from app.web.site import Site
from app.worker.client.faults import STRANGE
from app.worker.protocol.arrays import unpack_float32
from app.worker.protocol.events import GraphJudged
from app.worker.protocol.requests import JudgeGraphRequest
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.packing import pack_graph

LARGEST = 2_900_000  # bytes of a graph, packed, that the worker takes with a question
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
DRAWS = 5
CURVES = {
    "kept": "kept",
    "removed": "taken out",
    "random_kept": "random, kept",
    "random_removed": "random, taken out",
}


@dataclass(frozen=True)
class JudgedSize:
    """What so many features do.

    Attributes:
        size: how many, of the strongest by influence.
        kept: share of the metric that is left with them alone.
        removed: share of the metric that is lost without them.
        random_kept: the same with as many random ones alone.
        random_removed: the same without those.
    """

    size: int
    kept: float
    removed: float
    random_kept: float
    random_removed: float


@dataclass(frozen=True)
class GraphJudgement:
    """Faithfulness and completeness of a graph.

    Attributes:
        rows: by the number of features, ascending.
        gap: the metric with all features less that with none; all is divided by it.
    """

    rows: tuple[JudgedSize, ...]
    gap: float

    @property
    def key(self) -> list[tuple[Markup, str]]:
        """What the curves are."""
        names = enumerate(CURVES.values())
        return [(trusted(swatch(style, mark=False)), name) for style, name in names]

    @property
    def picture(self) -> Markup:
        """The curves."""
        lines = [
            Line(
                name,
                style,
                [(row.size, getattr(row, key)) for row in self.rows if _drawn(getattr(row, key))],
                faint=style > 1,
            )
            for style, (key, name) in enumerate(CURVES.items())
        ]
        return trusted(
            plot(
                "Faithfulness and completeness by the number of features",
                Axis("features", log=True),
                Axis("share of the metric"),
                lines,
            )
        )


def judgement(site: Site, page: GraphPage) -> GraphJudgement:
    """Keep the graph's strongest features alone, and take them out, in the real model.

    Raises:
        InvalidRequest: the graph has no features or is too large, or the store no longer has the
            model or a dictionary as it was made with them.
        WorkerUnavailable: the worker cannot be reached.
    """
    n = int((page.graph.nodes.kind == NodeKind.FEATURE).sum())
    if not n:
        raise InvalidRequest("The graph has no features that could be kept or taken out.")
    packed = pack_graph(page.graph)
    if len(packed) > LARGEST:
        raise InvalidRequest(
            f"The graph has {len(page.graph.edges):,} edges, too many to be judged here: ask for "
            "one with fewer features."
        )
    sizes = tuple(sorted({max(1, round(step * n)) for step in STEPS}))
    request = JudgeGraphRequest(
        **parts_of(site, page), graph=packed, sizes=sizes, draws=DRAWS, seed=0
    )
    events = site.waiters.all(site.live, request)
    answer = next((event for event in events if isinstance(event, GraphJudged)), None)
    if answer is None:
        raise WorkerUnavailable(STRANGE)
    packs = (answer.kept, answer.removed, answer.random_kept, answer.random_removed)
    columns = [floats(unpack_float32(pack)) for pack in packs]
    try:
        rows = tuple(JudgedSize(*row) for row in zip(sizes, *columns, strict=True))
    except ValueError as error:
        raise WorkerUnavailable(STRANGE) from error
    return GraphJudgement(rows, answer.gap)


def _drawn(share: float) -> bool:
    """Whether a share has a place in the picture: one beside a gap of nearly 0 has none."""
    return math.isfinite(share) and abs(share) <= 10
