"""Fronts, winners and noise against slow definitions; plots that hold what they should."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.pages.runs.sweeps.figures import SweepRow, contests, front, rows, seed_noise
from app.pages.runs.sweeps.page import COLUMNS, Order, pictures, styles
from app.pages.runs.sweeps.report import markdown, picture, sentence
from app.rendering.charts.plots import (
    MOST_POINTS,
    STYLES,
    Axis,
    Line,
    Mark,
    plot,
    round_values,
    swatch,
    thinned,
)
from tests.app.pretend.runs import EVALUATION, point, record

ROW = SweepRow(
    name="s.a",
    architecture="topk",
    d_sae=64,
    target=8.0,
    seed=0,
    tokens=1000,
    l0=8.0,
    fvu=0.2,
    extra_loss=0.05,
    added_nats=0.2,
    dead_share=0.0,
    silent_share=0.0,
    seconds=1.0,
    peak_bytes=1e9,
)


def extra(row: SweepRow) -> float:
    return row.extra_loss


def some(n: int) -> list[SweepRow]:
    draw = np.random.default_rng(3)
    return [
        replace(ROW, name=f"s.{i}", l0=float(draw.integers(4, 12)), extra_loss=float(draw.random()))
        for i in range(n)
    ]


def test_rows_hold_what_records_say() -> None:
    made = record("a", cost={"seconds": 3.0, "peak_bytes": 4.0})
    unfinished = record("b", evaluation=None)
    flat = {k: v for k, v in EVALUATION.items() if not k.startswith("extra")}
    short = record("c", evaluation=flat, config={"dead_after": 101_000})
    long = record("d", config={"dead_after": 100_000})
    end = point(100, dead_share=0.25)
    (row, other, last) = rows([(made, None), (unfinished, None), (short, end), (long, end)])
    assert (row.silent_share, last.silent_share) == (0.01, 0.01)
    assert last.dead_share == 0.25
    assert math.isnan(other.dead_share)  # fewer tokens than a feature must be silent for
    assert math.isnan(row.dead_share)
    assert (row.name, row.architecture, row.d_sae, row.target, row.seed) == ("a", "topk", 64, 8, 0)
    assert (row.l0, row.fvu, row.added_nats) == (15.5, 0.125, 0.25)
    assert (row.seconds, row.peak_bytes) == (3.0, 4.0)
    assert math.isnan(other.extra_loss)
    assert math.isnan(other.seconds)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    found = some(60)
    slow = [
        row
        for row in found
        if not any(
            other.l0 <= row.l0
            and other.extra_loss <= row.extra_loss
            and (other.l0, other.extra_loss) != (row.l0, row.extra_loss)
            for other in found
        )
    ]
    assert front(found, extra) == sorted(slow, key=lambda row: row.l0)
    assert front([replace(ROW, extra_loss=math.nan)], extra) == []


def test_noise_is_pooled_over_configurations() -> None:
    values = {("topk", 8.0): [0.1, 0.2, 0.4], ("gated", 8.0): [0.3, 0.5], ("topk", 16.0): [9.0]}
    found = [
        replace(ROW, architecture=name, target=target, seed=seed, extra_loss=value)
        for (name, target), held in values.items()
        for seed, value in enumerate(held)
    ]
    slow = math.sqrt(
        (2 * statistics.variance([0.1, 0.2, 0.4]) + statistics.variance([0.3, 0.5])) / 3
    )
    assert seed_noise(found, extra) == pytest.approx(slow, rel=1e-12)
    assert seed_noise([ROW], extra) is None
    (contest,) = contests(found, extra)
    assert contest.noise == pytest.approx(slow, rel=1e-12)
    best, then = contest.standings
    assert (best.architecture, best.seeds, then.architecture) == ("topk", 3, "gated")
    assert best.value == pytest.approx(0.7 / 3)
    assert best.spread == pytest.approx(statistics.stdev([0.1, 0.2, 0.4]))
    assert contest.clear is (2 * slow * math.sqrt(1 / 3 + 1 / 2) < 0.4 - 0.7 / 3)


def test_nobody_wins_by_using_more_features() -> None:
    """Along an exact power law, what was measured off the aim is moved onto it exactly."""

    def law(name: str, size: int, l0: float) -> float:
        return {"topk": 0.4, "gated": 0.41}[name] * l0**-0.8 * size**-0.1

    reached = {("topk", 64): (8, 16, 32), ("gated", 64): (8.6, 17, 33), ("gated", 32): (15,)}
    found = [
        replace(ROW, architecture=name, d_sae=size, target=t, l0=l0, extra_loss=law(name, size, l0))
        for (name, size), places in reached.items()
        for t, l0 in zip((8, 16, 32) if len(places) > 1 else (16,), places, strict=True)
    ]
    found.append(replace(ROW, d_sae=32, target=16, l0=16, extra_loss=law("topk", 32, 16)))
    held = contests(found, extra)
    assert [(contest.d_sae, contest.target) for contest in held] == [
        (32, 16),
        (64, 8),
        (64, 16),
        (64, 32),
    ]
    for contest in held:
        assert [one.architecture for one in contest.standings] == ["topk", "gated"]
        for one in contest.standings:
            assert one.fair
            assert one.measured == law(one.architecture, contest.d_sae, one.l0)
            exact = law(one.architecture, contest.d_sae, contest.target)
            assert one.value == pytest.approx(exact, rel=1e-12)
    measured = {one.architecture: one.measured for one in held[1].standings}
    assert measured["gated"] < measured["topk"]  # which would have won


def test_an_l0_that_was_missed_alone_gives_no_verdict() -> None:
    found = [
        replace(ROW, seed=seed, architecture=name, l0=l0, extra_loss=loss + 1e-6 * seed)
        for name, l0, loss in (("topk", 8.0, 0.05), ("gated", 8.5, 0.01))
        for seed in (0, 1)
    ]
    (contest,) = contests(found, extra)
    assert [one.fair for one in contest.standings] == [False, True]
    assert contest.clear is None
    assert sentence(contest, 4).endswith("; no verdict, since one of the first two missed this L0")


def test_contests_need_two_and_the_fullest_size_comes_first() -> None:
    found = [
        replace(ROW, architecture=name, d_sae=size, target=target)
        for name, size, target in (
            ("topk", 32, 8.0),
            ("gated", 32, 8.0),
            ("topk", 64, 16.0),
            ("gated", 64, 16.0),
            ("standard", 64, 16.0),
            ("topk", 64, 32.0),
        )
    ]
    held = contests(found, extra)
    assert [(contest.d_sae, contest.target) for contest in held] == [(64, 16.0), (32, 8.0)]
    assert held[0].noise is None
    assert not held[0].borrowed
    assert held[0].clear is None


def test_another_learning_rate_is_no_seed() -> None:
    found = rows(
        (
            replace(
                record(f"{name}.{seed}.{rate}", config=changes),
                evaluation=EVALUATION
                | {"extra_loss_fraction": 0.1 * (seed + 1) + 10 * (rate or 0)},
            ),
            None,
        )
        for name, rate in (("topk", None), ("gated", None), ("topk", 0.5))
        for seed in (0, 1)
        for changes in [{"architecture": name, "seed": seed, "learning_rate": rate}]
    )
    usual = [row for row in found if row.extra_loss < 1]
    (contest,) = contests(found, extra)
    assert [one.seeds for one in contest.standings] == [2, 2]
    assert contest.noise == seed_noise(usual, extra) == pytest.approx(statistics.stdev([0.1, 0.2]))
    assert seed_noise(found, extra) == pytest.approx(contest.noise)


def test_the_table_in_every_order() -> None:
    found = [*some(5), replace(ROW, name="s.z", extra_loss=math.nan)]
    for column in COLUMNS:
        up = Order("s", column.key).sorted(found)
        down = Order("s", column.key, descending=True).sorted(found)
        assert {row.name for row in up} == {row.name for row in down} == {r.name for r in found}
        values = [v for row in up if (v := column.of(row)) == v]
        assert values == sorted(values)
    assert Order("s").sorted(found)[-1].name == "s.z"
    assert Order("s", descending=True).sorted(found)[-1].name == "s.z"
    assert Order("a b", "l0").link("l0") == "/sweeps/a%20b?sort=l0&order=desc"
    assert Order("s", "l0", descending=True).link("l0") == "/sweeps/s?sort=l0"
    with pytest.raises(InvalidRequest, match="use one of run, architecture"):
        Order("s", "beauty")


def test_an_architecture_looks_the_same_in_every_sweep() -> None:
    names = ["standard", "mine", "batchtopk"]
    found = [replace(ROW, architecture=name) for name in names]
    assert styles(found) == {"batchtopk": 1, "standard": 5, "mine": 6}
    assert styles(found[2:])["batchtopk"] == 1


def test_hostile_names_stay_text_in_documents() -> None:
    hostile = "<script>alert(1)</script>"
    found = [replace(ROW, name=hostile, architecture=hostile)]
    assert hostile not in picture(found)
    assert all(hostile not in svg for _, svg in pictures(found))


def test_the_results_as_markdown() -> None:
    found = [ROW, replace(ROW, name="s.b", architecture="gated", extra_loss=math.nan, fvu=0.1)]
    text = markdown(found)
    assert (
        "| topk | 64 | 8 | 0 | 8.00 | 0.2000 | 5.00 % | 0.2000 | 0.0 % | 0.0 % | 1 | 1.00 |" in text
    )
    assert "| gated | 64 | 8 | 0 | 8.00 | 0.1000 | – |" in text
    assert "- L0 8, 64 features: gated 0.1000, topk 0.2000; whether that is more" in text
    assert "Extra loss (" not in text  # one architecture alone has such a figure


def test_points_lie_where_their_values_say() -> None:
    line = Line("a", 0, [(0.0, 1.0), (10.0, 100.0), (math.nan, 5.0), (20.0, 10.0)])
    svg = plot("p", Axis("x"), Axis("y", log=True), [line], [Mark("m", 2, 10.0, 10.0)])
    path = re.search(r'class="line s0" d="([^"]+)"', svg)
    assert path
    places = [tuple(map(float, pair.split())) for pair in re.findall(r"[ML]([\d. ]+)", path[1])]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert path[1].count("M") == 2  # the gap
    assert x0 == 0
    assert x2 == pytest.approx(2 * x1, abs=0.2)
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)  # 1, 10, 100 on a log axis
    mark = re.search(r'translate\(([\d.]+) ([\d.]+)\)" d="[^"]+"><title>m<', svg)
    assert mark
    assert (float(mark[1]), float(mark[2])) == (x1, y2)


def test_ticks_are_round() -> None:
    """Steps of 1, 2 or 5 times a power of ten, as many as fit; whole where counts are."""
    draw = np.random.default_rng(1)
    for _ in range(500):
        low = float(draw.normal() * 10 ** draw.uniform(-3, 5))
        high = low + float(10 ** draw.uniform(-3, 6))
        for most, whole in ((4, False), (6, False), (6, True)):
            found = round_values(low, high, most, whole)
            assert len(found) <= most
            assert all(low - 1e-6 * (high - low) <= v <= high + 1e-6 * (high - low) for v in found)
            if not whole:
                assert len(found) >= most // 3
            if len(found) > 1:
                step = found[1] - found[0]
                assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")
                assert not whole or step > 0.999
    assert round_values(0, 25, 6) == [0, 5, 10, 15, 20, 25]
    assert round_values(0, 1, 6, whole=True) == [0, 1]
    assert round_values(3.0, 3.0, 6) == [3.0]
    marks = [Mark("a", 0, 7.0, 3.0), Mark("b", 0, 33.0, 1.0)]
    svg = plot("p", Axis("x", log=True, ticks=(8, 16, 64)), Axis("y"), marks=marks)
    assert re.findall(r"middle.>(\d+)<", svg) == ["8", "16"]


def test_what_cannot_be_drawn_is_left_out() -> None:
    none = plot("p", Axis("x"), Axis("y"))
    assert "nothing yet" in none
    svg = plot("p", Axis("x", log=True), Axis("y"), marks=[Mark("m", 0, 0.0, 1.0)])
    assert "<title>m" not in svg
    flat = plot("p", Axis("x"), Axis("y", zero=False), [Line("a", 0, [(1.0, 2.0), (1.0, 2.0)])])
    assert "nan" not in flat
    tiny = plot("p", Axis("x"), Axis("y", log=True), [Line("a", 0, [(1.0, 1e-9), (2.0, 1e9)])])
    assert tiny.count("<text") < 30


def test_long_curves_are_thinned_evenly() -> None:
    points = [(float(n), 0.0) for n in range(10_000)]
    kept = thinned(points)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    gaps = np.diff([x for x, _ in kept])
    assert gaps.max() - gaps.min() <= 1
    assert thinned(points[:7]) == points[:7]


def test_every_style_has_a_colour_and_a_shape_of_its_own() -> None:
    assert len({re.sub(r"s\d", "", swatch(style)) for style in range(STYLES)}) == STYLES
