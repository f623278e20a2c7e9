"""Histograms as SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from app.rendering.charts.histograms import LARGE, chart, sparkline
from sae_core.harvest.records import Histogram


def histogram(*counts: int, low: float = 0.0, high: float = 4.0) -> Histogram:
    return Histogram(low, high, np.array(counts, dtype=np.int64))


def test_each_bucket_says_its_range_and_count() -> None:
    svg = ElementTree.fromstring(chart(histogram(1000, 0, 1, 10), "A & B", "x", "y", log=True))
    titles = [node.text for node in svg.iter("title")]
    assert titles == ["0 to 1: 1,000", "2 to 3: 1", "3 to 4: 10"]
    assert svg.get("aria-label") == (
        "A & B. 1,011 values from 0 to 4, at most 1,000 in one bucket."
    )


def test_axes_have_titles_and_ticks() -> None:
    svg = ElementTree.fromstring(
        chart(histogram(5, 100, 5, low=-1.0, high=2.0), "t", "weight", "tokens", log=False)
    )
    texts = [node.text for node in svg.iter("text")]
    assert texts == ["50", "100", "−1", "0", "1", "2", "weight", "tokens"]


def test_whole_numbers_stand_below_their_own_bars() -> None:
    drawn = chart(histogram(*[0] * 24, 7, high=25.0), "t", "x", "y", False, LARGE, whole=True)
    svg = ElementTree.fromstring(drawn)
    assert [node.text for node in svg.iter("title")] == ["24: 7"]
    assert "from 0 to 24" in svg.get("aria-label", "")
    texts = {node.text: node for node in svg.iter("text")}
    assert list(texts) == ["2", "4", "6", "0", "5", "10", "15", "20", "x", "y"]
    assert float(texts["20"].get("x", "")) == pytest.approx(LARGE.inner * 20.5 / 25, abs=0.1)
    wide = chart(histogram(1, 1, high=2048.0), "t", "x", "y", False, LARGE, whole=True)
    titles = [node.text for node in ElementTree.fromstring(wide).iter("title")]
    assert titles == ["0 to 1,023: 1", "1,024 to 2,047: 1"]
    assert ">2k<" in wide


def test_logarithms_are_marked_where_they_are_whole() -> None:
    drawn = chart(histogram(1, 2, low=-1.5, high=0.0), "t", "x", "y", False, powers=True)
    texts = [node.text for node in ElementTree.fromstring(drawn).iter("text")]
    assert texts == ["1", "2", "−1", "0", "x", "y"]


def test_a_log_axis_marks_powers_of_ten_and_shows_a_single_count() -> None:
    svg = ElementTree.fromstring(chart(histogram(1, 25_000), "t", "x", "y", log=True))
    assert [node.text for node in svg.iter("text")][:4] == ["1", "100", "10k", "0"]
    assert len(list(svg.iter("title"))) == 2


def test_nothing_has_no_bars() -> None:
    assert sparkline(histogram()) == ""
    assert sparkline(histogram(0, 0)) == ""
    svg = ElementTree.fromstring(chart(histogram(low=0.0, high=0.0), "t", "x", "y", log=True))
    assert not list(svg.iter("title"))


def test_a_sparkline_is_one_path() -> None:
    svg = ElementTree.fromstring(sparkline(histogram(1, 10, 0, 100)))
    (path,) = svg
    assert path.get("d", "").count("M") == 3
