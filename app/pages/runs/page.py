"""Trainings, worked out for their pages: what is said of them, and their curves."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.rendering.charts.plots import Axis, Line, plot, swatch, thinned
from app.rendering.markup import trusted
from app.store.types.runs import RunCurve, RunView
from sae_core.training.config import TrainingPoint

MOST_COMPARED = 40
_SPREAD = 5.0  # values that differ by more than this factor are drawn on a log axis


@dataclass(frozen=True)
class _Figure:
    """A curve that pages draw."""

    name: str
    unit: str
    of: Callable[[TrainingPoint], float]
    log: bool = False


_FIGURES = (
    _Figure("loss", "the architecture's own training loss", lambda p: p.loss, log=True),
    _Figure("FVU", "fraction of variance unexplained", lambda p: p.fvu, log=True),
    _Figure("L0", "active features per token", lambda p: p.l0),
    _Figure("dead share", "% of the features, at the point", lambda p: 100 * p.dead_share),
    _Figure("speed", "tokens/s, activations included", lambda p: p.tokens_per_second),
    _Figure("penalty", "weight of the sparsity penalty, at the point", lambda p: p.penalty),
)


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with its curves as SVG.

    Attributes:
        name: such as `FVU`.
        unit: what it counts in.
        svg: the picture.
    """

    name: str
    unit: str
    svg: Any


def key(names: Sequence[str]) -> list[tuple[str, Any]]:
    """Each name with a small picture of how its line is drawn."""
    return [(name, trusted(swatch(place, mark=False))) for place, name in enumerate(names)]


def drawn(curves: Sequence[RunCurve]) -> list[DrawnFigure]:
    """One picture for each figure, with a line for each run.

    A figure that is 0 everywhere, such as the penalty of TopK, is left out.
    """
    pictures = []
    for figure in _FIGURES:
        lines = [
            Line(
                curve.view.record.name,
                place,
                thinned([(point.tokens, figure.of(point)) for point in curve.points]),
            )
            for place, curve in enumerate(curves)
        ]
        values = [y for line in lines for _, y in line.points if math.isfinite(y)]
        if figure.name == "penalty" and not any(values):
            continue
        svg = plot(
            _in_words(figure, lines),
            Axis("training tokens"),
            Axis(figure.name, log=figure.log and _spread(values)),
            lines,
        )
        pictures.append(DrawnFigure(figure.name, figure.unit, trusted(svg)))
    return pictures


def _spread(values: Sequence[float]) -> bool:
    """Whether they are positive and of different orders."""
    return bool(values) and min(values) > 0 and max(values) > _SPREAD * min(values)


def _in_words(figure: _Figure, lines: Sequence[Line]) -> str:
    """A picture in words: where each line ends."""
    ends = [
        f"{line.name} ends at {line.points[-1][1]:.4g}"
        for line in lines
        if line.points and math.isfinite(line.points[-1][1])
    ]
    return f"{figure.name}, {figure.unit}, against training tokens. {'; '.join(ends)}"


def aim(view: RunView) -> str:
    """What sparsity was asked for, in few words."""
    config = view.record.config
    if config.get("l0") is not None:
        return f"{config['l0']:g}"
    return f"penalty {config['penalty']:g}"


def evaluated_on(view: RunView) -> str:
    """What text the figures of its evaluation are from."""
    match view.record.settings.get("held_out"):
        case True:
            return "held-out text"
        case False:
            return "the training text (none is held out)"
        case _:
            return "the text of its evaluation"


def ends(view: RunView) -> list[tuple[str, Any]]:
    """Where it reads and writes."""
    record = view.record
    if record.output_hook_point == record.hook_point:
        return [("hook point", record.hook_point)]
    return [
        ("reads at", record.hook_point),
        ("writes at", record.output_hook_point),
        ("skip connection", record.skip),
    ]


def method(view: RunView) -> dict[str, Any]:
    """How it trains: what was chosen, and the learning rate even where it was not."""
    record = view.record
    config = dict(record.config)
    if config.get("learning_rate") is None:
        used = record.settings.get("learning_rate", "the architecture's own")
        config["learning_rate"] = used
    return {key: value for key, value in config.items() if value is not None}


def circumstances(view: RunView) -> dict[str, Any]:
    """What else the result hangs on."""
    elsewhere = ("learning_rate", "pages", "held_out", "output_hook_point", "skip")
    others = {key: value for key, value in view.record.settings.items() if key not in elsewhere}
    if (held_out := view.record.settings.get("held_out")) is not None:
        others["documents held out"] = held_out
    return others


def adding(view: RunView) -> str:
    """The command that makes the pages of its features; words in capitals are to be filled in."""
    record = view.record
    if command := record.settings.get("pages"):
        return str(command)
    words = ["--model", "MODEL", "--sae", record.folder or "FOLDER", "--corpus", "TEXT"]
    if (n_ctx := record.settings.get("n_ctx")) is not None:
        words += ["--context", str(n_ctx)]
    return f"featurescope add {shlex.join(words)}"


def resuming(view: RunView) -> str:
    """The command that starts and resumes a run, or its name."""
    return str(view.record.settings.get("command") or "")
