"""Contexts as HTML, to the letter."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.rendering.contexts import (
    SHORT_AFTER,
    SHORT_BEFORE,
    Context,
    ContextStyle,
    ContextWriter,
    activation_levels,
    unpack,
)
from app.rendering.numbers import decimals
from app.rendering.tokens import Typeset
from sae_core.harvest.records import ContextEffect, ExampleGroup, Examples, GroupKind, WindowRecord
from sae_core.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(pieces=(b"<s>", b"a", b" <b>", b"\n", b"c"), special=frozenset({0}), bos=0)
TYPESET = Typeset(VOCABULARY)


def window(*tokens: int, line: int = 5) -> WindowRecord:
    return WindowRecord(9, 'x "&.py', line, np.array(tokens, dtype=np.int64))


def group(
    windows: list[int], peaks: list[int], firings: list[list[tuple[int, float]]]
) -> ExampleGroup:
    flat = [firing for one in firings for firing in one]
    examples = Examples(
        windows=np.array(windows, dtype=np.int64),
        peaks=np.array(peaks, dtype=np.uint16),
        bounds=np.cumsum([0, *map(len, firings)]).astype(np.int64),
        positions=np.array([p for p, _ in flat], dtype=np.uint16),
        values=np.array([v for _, v in flat], dtype=np.float32),
    )
    return ExampleGroup(GroupKind.BAND, 3, 0.5, 2.0, 10, examples)


def effect(*changes: tuple[int, float]) -> ContextEffect:
    n = len(changes)
    return ContextEffect(
        positions=np.array([p for p, _ in changes], dtype=np.uint16),
        loss_change=np.array([d for _, d in changes], dtype=np.float32),
        raised_ids=np.zeros((n, 5), dtype=np.int32),
        raised=np.zeros((n, 5), dtype=np.float32),
        lowered_ids=np.zeros((n, 5), dtype=np.int32),
        lowered=np.zeros((n, 5), dtype=np.float32),
    )


def test_examples_unpack_with_the_line_of_their_peak() -> None:
    known = {9: window(0, 1, 3, 3, 2), 4: window(1, 1)}
    contexts = unpack(group([9, 4], [4, 1], [[(4, 2.0)], [(0, 0.5), (1, 1.0)]]), known, TYPESET)
    assert [(c.number, c.window.number, c.peak, c.line) for c in contexts] == [
        (0, 9, 4, 7),
        (1, 9, 1, 5),
    ]
    assert contexts[1].positions == [0, 1]
    assert contexts[1].value == 1.0
    assert contexts[0].source == 'x "&.py:7'


def shown(
    tokens: WindowRecord, peak: int, *firings: tuple[int, float], number: int = 0, line: int = 5
) -> Context:
    return Context(
        number,
        tokens,
        peak,
        np.array([p for p, _ in firings], dtype=np.uint16),
        np.array([v for _, v in firings], dtype=np.float32),
        line,
    )


def test_a_short_context_to_the_letter() -> None:
    context = shown(window(0, 1, 2, 3, 4), 2, (1, 0.5), (2, 2.0), number=2)
    writer = ContextWriter(TYPESET, 2.0, "/d/m/n/7", ContextStyle())
    assert writer.context("band-3", context, effect((2, 0.3), (3, -0.0001), (4, -0.03))) == (
        '<li id="band-3-2" data-p=0 data-a=50,200 data-e data-d=,,+0.300,−1e−04,−0.030 '
        'data-s="x &quot;&amp;.py:5">'
        '<a class=v href="/d/m/n/7/contexts/band-3/2?width=full" '
        'aria-label="widen context 3, activation 2.00">2.00</a>'
        "<p class=l><span><bdi><i>&lt;s&gt;</i></bdi><bdi class=a4>a</bdi></span></p>"
        '<p class=r><bdi class="a16 u4 p" tabindex=0> &lt;b&gt;</bdi>'
        "<bdi><i class=w><i>⏎</i></i></bdi><bdi class=n2>c</bdi></p></li>"
    )


def test_a_full_context_with_newlines() -> None:
    context = shown(window(0, 3, 1), 2, (2, 1.0), line=6)
    writer = ContextWriter(TYPESET, 2.0, "/d/m/n/7", ContextStyle(full=True, newlines=True))
    html = writer.context("top", context, None)
    assert html.startswith(
        '<li class="full" id="top-0" data-p=0 data-a=100 data-s="x &quot;&amp;.py:6"><a'
    )
    assert "?width=short&amp;newlines=1" in html
    assert html.endswith(
        "<p><bdi><i>&lt;s&gt;</i></bdi><bdi><i class=h><i>⏎</i>\n</i></bdi>"
        '<bdi class="a8 p" tabindex=0>a</bdi></p></li>'
    )


def test_the_short_form_cuts_around_the_peak() -> None:
    context = shown(window(*[1] * 100), 50, (50, 1.0))
    writer = ContextWriter(TYPESET, 1.0, "/f", ContextStyle())
    html = writer.context("top", context, None)
    assert html.count("<bdi") == SHORT_BEFORE + 1 + SHORT_AFTER
    assert f"data-p={50 - SHORT_BEFORE}" in html
    near_start = writer.context("top", shown(window(*[1] * 100), 1, (1, 1.0)), None)
    assert near_start.count("<bdi") == 2 + SHORT_AFTER


def test_firings_and_effects_outside_the_short_form_are_left_out() -> None:
    low = 50 - SHORT_BEFORE
    context = shown(window(*[1] * 100), 50, (2, 1), (low - 1, 1), (low, 0.25), (50, 1), (99, 1))
    writer = ContextWriter(TYPESET, 1.0, "/f", ContextStyle())
    html = writer.context("top", context, effect((low - 1, 3), (50 + SHORT_AFTER + 1, 3)))
    assert f"data-p={low} data-a=25,100 data-e data-s" in html
    assert len(re.findall("class=.?a", html)) == 2
    html = writer.context("top", context, effect((low, 3), (50 + SHORT_AFTER, -3), (99, 3)))
    listed = "," * (SHORT_BEFORE + SHORT_AFTER)
    assert f"data-d=+3.00{listed}−3.00 " in html


def test_a_group_is_its_contexts_one_after_the_other() -> None:
    other = WindowRecord(4, "y.py", 1, np.array([0, 4, 4], dtype=np.int64))
    third = WindowRecord(5, "z.py", 1, np.array([0, 1, 2, 3], dtype=np.int64))
    contexts = [
        shown(window(*[0, 1, 2, 3] * 20), 41, (1, 0.5), (40, 0.1), (41, 2.0), (79, 1.0)),
        shown(other, 1, (1, 0.004), (2, 0.002), number=1),
        shown(third, 3, (3, 1.0), number=2),
    ]
    effects = {9: effect((41, 0.3), (44, -0.1)), 5: effect()}
    for style in (ContextStyle(), ContextStyle(full=True), ContextStyle(newlines=True)):
        writer = ContextWriter(TYPESET, 2.0, "/f", style)
        html = writer.group("top", contexts, effects)
        each = [writer.context("top", c, effects.get(c.window.number)) for c in contexts]
        assert html == "".join(each)
        assert html.count("data-e") == 2
        assert html.count("data-d") == 1
        assert html.count("tabindex=0") == 3
    assert writer.group("top", [], {}) == ""
    assert unpack(group([], [], []), {}, TYPESET) == []


@settings(max_examples=200)
@given(value=st.floats(1e-6, 1e6), share=st.floats(0.01, 1), other=st.floats(0, 1))
def test_the_listed_activations_are_those_that_are_written(
    value: float, share: float, other: float
) -> None:
    maximum = value / share
    context = shown(window(1, 1), 0, (0, value), (1, value * other))
    html = ContextWriter(TYPESET, maximum, "/f", ContextStyle()).context("top", context, None)
    listed = re.search(r"data-a=(\d+),(\d+) ", html)
    assert listed
    digits = decimals(maximum)
    for units, activation in zip(listed.groups(), context.values, strict=True):
        assert f"{int(units) / 10**digits:.{digits}f}" == f"{activation:.{digits}f}"


@pytest.mark.parametrize(
    ("value", "maximum", "level"),
    [(8.0, 8.0, 16), (1e-9, 8.0, 1), (0.5, 8.0, 1), (0.51, 8.0, 2), (9.0, 8.0, 16), (1.0, 0.0, 1)],
)
def test_orange_has_sixteen_levels(value: float, maximum: float, level: int) -> None:
    assert activation_levels(np.array([value], dtype=np.float32), maximum).tolist() == [level]


@pytest.mark.parametrize(
    ("change", "name"),
    [(0.0, ""), (0.0049, ""), (0.005, "u1"), (-0.005, "n1"), (0.07, "u3"), (9.0, "u6"), (-9, "n6")],
)
def test_underlines_have_six_steps_each_way(change: float, name: str) -> None:
    context = shown(window(1, 1), 0, (0, 1.0))
    html = ContextWriter(TYPESET, 1.0, "/f", ContextStyle()).context(
        "top", context, effect((1, change))
    )
    chosen = f" class={name}" if name else ""
    assert html.endswith(f"<bdi{chosen}>a</bdi></p></li>")
    assert re.search(rf"data-d=,{'0' if not change else '[+−]'}", html)


def test_groups_are_named_in_addresses() -> None:
    band = group([], [], [])
    assert band.key == "band-3"
    top = ExampleGroup(GroupKind.TOP, -1, 0, 1, 0, band.examples)
    assert top.key == "top"
