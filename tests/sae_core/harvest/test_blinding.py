"""What a rater sees of a feature: parts of its own range, one mark a context, nothing twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sae_core.harvest.blinding import (
    AFTER,
    BEFORE,
    N_PER_PART,
    N_STRONGEST,
    PARTS,
    BlindContext,
    blind_sheet,
)
from sae_core.harvest.records import N_BANDS, FeatureRecord
from tests import factories

WINDOWS = {window.number: window for window in factories.windows()}


def a_feature(index: int = 0) -> FeatureRecord:
    return factories.feature(index, list(WINDOWS.values()))


def contexts(record: FeatureRecord, every_mark: bool = False) -> list[BlindContext]:
    sheet = blind_sheet(record, WINDOWS, every_mark)
    return [context for group in sheet.groups for context in group.contexts]


def test_groups_are_the_strongest_and_four_parts_of_the_range() -> None:
    for index in range(8):
        sheet = blind_sheet(a_feature(index), WINDOWS)
        assert [(g.lowest, g.highest) for g in sheet.groups] == [(0, 0), *PARTS]
        assert len(sheet.groups[0].contexts) == N_STRONGEST
        assert all(len(group.contexts) <= N_PER_PART for group in sheet.groups[1:])
        assert (sheet.groups[1].high, sheet.groups[-1].low) == (1.0, 0.0)
    covered = [band for low, high in PARTS for band in range(low, high + 1)]
    assert sorted(covered) == list(range(1, N_BANDS + 1))


def test_one_token_is_marked_or_all_that_are_not_weak() -> None:
    record = a_feature(2)
    for context in contexts(record):
        assert (context.bands > 0).nonzero()[0].tolist() == [context.peak]
        assert context.peak <= BEFORE
        assert len(context.tokens) <= BEFORE + AFTER + 1
    marked = contexts(record, every_mark=True)
    assert sum(int((context.bands > 0).sum()) for context in marked) > len(marked)
    for context in marked:
        weak = context.bands == 1
        weak[context.peak] = False
        assert not weak.any()
        assert context.bands[context.peak] >= 1


def test_bands_are_those_of_the_features_own_maximum() -> None:
    record = a_feature(1)
    top = record.groups[0].examples
    drawn = contexts(record, every_mark=True)[0]
    window = WINDOWS[int(top.windows[0])]
    begin = max(0, int(top.peaks[0]) - BEFORE)
    assert drawn.tokens.tolist() == window.tokens[begin : int(top.peaks[0]) + AFTER + 1].tolist()
    values = dict(zip(top.positions[: top.bounds[1]], top.values[: top.bounds[1]], strict=True))
    for place, band in enumerate(drawn.bands.tolist(), begin):
        if band:
            share = float(values[np.uint16(place)]) / record.maximum
            assert (band - 1) / N_BANDS < share <= band / N_BANDS + 1e-9


def test_no_context_is_shown_twice_and_a_lost_window_is_left_out() -> None:
    record = a_feature(4)
    drawn = contexts(record)
    keys = {(c.tokens.tobytes(), c.peak) for c in drawn}
    assert len(keys) == len(drawn)
    gone = int(record.groups[0].examples.windows[0])
    fewer = {number: window for number, window in WINDOWS.items() if number != gone}
    sheet = blind_sheet(record, fewer)
    assert len(sheet.groups[0].contexts) == N_STRONGEST


def test_logit_weights_are_shares_of_the_largest() -> None:
    record = a_feature(3)
    sheet = blind_sheet(record, WINDOWS)
    shares = [abs(share) for _, share in (*sheet.raised, *sheet.lowered)]
    assert max(shares) == 1.0
    none = replace(record.raised, ids=record.raised.ids[:0], weights=record.raised.weights[:0])
    empty = blind_sheet(replace(record, raised=none, lowered=none, groups=()), WINDOWS)
    assert empty.raised == empty.lowered == ()
    assert [group.contexts for group in empty.groups] == [()] * 5
