"""A sweep's results as text and as a picture by itself, for documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from app.jobs.training.sweeps.records import SweepRecord
from app.pages.runs.sweeps.figures import Contest, SweepRow, contests, rows
from app.pages.runs.sweeps.page import FRONT_STYLE, QUANTITIES, pictures, styles
from app.rendering.charts.plots import HEIGHT, WIDTH, swatch
from app.rendering.numbers import share
from app.settings import resource
from sae_core.files.atomic import atomic_file

PICTURE = "sweep.svg"
_COLOURS = (
    ":root{--paper:#fff;--ink:#1c1e21;--quiet:#5c6470;--line:#e2e4e8;--firm:#8a929e;"
    "--text:system-ui,sans-serif}"
    "@media (prefers-color-scheme:dark){:root{--paper:#121417;--ink:#e7e9ec;--quiet:#9ba4b0;"
    "--line:#2b3037;--firm:#6f7883}}"
    ".paper{fill:var(--paper)}.words{font:12px var(--text);fill:var(--ink)}"
)
_KEY_HEIGHT, _KEY_WIDTH = 30, 118


def sweep_rows(records: Sequence[SweepRecord], folder: Path) -> list[SweepRow]:
    """The rows of a sweep's records."""
    return rows(
        (record.stored(folder), record.curve[-1] if record.curve else None) for record in records
    )


def markdown(table: Sequence[SweepRow]) -> str:
    """The results and who wins, as Markdown tables."""
    lines = [
        "| architecture | features | aim | seed | L0 | FVU | extra loss | nats added | dead "
        "| silent | s | GB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(table, key=_place):
        cells = [
            row.architecture,
            f"{row.d_sae}",
            "–" if row.target is None else f"{row.target:g}",
            f"{row.seed}",
            f"{row.l0:.2f}",
            f"{row.fvu:.4f}",
            _figure(row.extra_loss, lambda value: f"{100 * value:.2f} %"),
            f"{row.added_nats:.4f}",
            _figure(row.dead_share, share),
            share(row.silent_share),
            _figure(row.seconds, lambda value: f"{value:.0f}"),
            _figure(row.peak_bytes, lambda value: f"{value / 1e9:.2f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for quantity in QUANTITIES:
        if quantity.goal and (held := contests(table, quantity.of)):
            lines += ["", f"{quantity.title} ({quantity.axis}) at the very L0, the best first:", ""]
            lines += [f"- {sentence(contest, quantity.digits)}" for contest in held]
    return "\n".join(lines) + "\n"


def sentence(contest: Contest, digits: int) -> str:
    """A contest as a sentence; `digits`: how many stand after the point of its values."""
    first = contest.standings[0]
    order = ", ".join(
        f"{s.architecture} {s.value:.{digits}f}{'' if s.fair else f' (at L0 {s.l0:.1f})'}"
        for s in contest.standings
    )
    verdict = {
        True: f"{first.architecture} wins by more than seeds differ",
        False: "the first two differ by no more than seeds do",
        None: "whether that is more than seeds differ was not measured"
        if all(standing.fair for standing in contest.standings[:2])
        else "no verdict, since one of the first two missed this L0",
    }[contest.clear]
    return f"L0 {contest.target:g}, {contest.d_sae} features: {order}; {verdict}"


def picture(table: Sequence[SweepRow]) -> str:
    """All plots of a sweep side by side with their key: an SVG file's text."""
    drawn = pictures(table)
    width = WIDTH * len(drawn)
    sheet = (resource("static") / "css" / "plots.css").read_text("utf-8")
    named = [*styles(table).items(), ("Pareto front", FRONT_STYLE)]
    entries = "".join(
        f'<g transform="translate({8 + _KEY_WIDTH * place} 8)">'
        f"{swatch(style, mark=style != FRONT_STYLE)}"
        f'<text class="words" x="36" y="11">{escape(name)}</text></g>'
        for place, (name, style) in enumerate(named)
    )
    plots = "".join(
        svg.replace("<svg", f'<svg x="{WIDTH * place}" y="{_KEY_HEIGHT}" width="{WIDTH}"', 1)
        for place, (_, svg) in enumerate(drawn)
    )
    height = HEIGHT + _KEY_HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f"<style>{_COLOURS}{sheet}</style>"
        f'<rect class="paper" width="{width}" height="{height}"/>{entries}{plots}</svg>\n'
    )


def write_picture(folder: Path, table: Sequence[SweepRow]) -> Path:
    """Write the picture into a sweep's folder; its path.

    Raises:
        DiskError: it cannot be written.
    """
    path = folder / PICTURE
    with atomic_file(path) as draft:
        draft.write_text(picture(table), "utf-8")
    return path


def _place(row: SweepRow) -> tuple[int, float, float, int]:
    value = row.extra_loss if math.isfinite(row.extra_loss) else row.fvu
    return row.d_sae, math.inf if row.target is None else row.target, value, row.seed


def _figure(value: float, written: Callable[[float], str]) -> str:
    return written(value) if math.isfinite(value) else "–"
