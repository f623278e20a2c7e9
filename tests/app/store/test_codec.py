import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.errors import StoreError
from app.store.blobs import codec
from app.store.blobs.packing import Reader, Writer
from sae_core.harvest.records import ContextEffect, Histogram, Ranking
from sae_core.language_model.vocabulary import Vocabulary
from tests import factories
from tests.same import same

WINDOWS = factories.windows()
any_float = st.floats(width=32, allow_nan=False)
some = st.integers(0, 40)


def floats(shape):
    return arrays(np.float32, shape, elements=any_float)


def integers(shape, dtype=np.int64):
    return arrays(dtype, shape)


@st.composite
def rankings(draw):
    size = draw(some)
    shares = draw(st.sampled_from([0, size]))
    return Ranking(draw(integers(size, np.int32)), draw(floats(size)), draw(floats(shares)))


@st.composite
def effects(draw):
    size = draw(some)
    return ContextEffect(
        positions=draw(integers(size, np.uint16)),
        loss_change=draw(floats(size)),
        raised_ids=draw(integers((size, 5), np.int32)),
        raised=draw(floats((size, 5))),
        lowered_ids=draw(integers((size, 5), np.int32)),
        lowered=draw(floats((size, 5))),
    )


histograms = st.builds(
    Histogram,
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    integers(40) | integers(0),
)


@st.composite
def features(draw):
    """The factory's features, with everything around the examples replaced."""
    index = draw(st.integers(0, 10_000))
    shown = WINDOWS[: draw(st.integers(1, len(WINDOWS)))]
    feature = factories.feature(
        index, shown, top=draw(st.integers(1, 20)), per_band=draw(st.integers(1, 6)),
        dead=draw(st.booleans()),
    )  # fmt: skip
    changes = {name: draw(histograms) for name in ("activations", "logits")}
    changes |= {
        name: draw(rankings()) for name in ("raised", "lowered", "neurons", "nearest", "coactive")
    }
    return type(feature)(**(vars(feature) | changes))


@given(features())
@settings(max_examples=60)
def test_feature_comes_back_exactly(feature):
    summary = codec.unpack_summary(codec.pack_summary(feature), "it")
    body = codec.unpack_body(codec.pack_body(feature), "it")
    assert same(summary.activations, feature.activations)
    for name in ("raised", "fires_on", "fires_after"):
        assert same(getattr(summary, name), getattr(feature, name)), name
    for name in ("logits", "lowered", "neurons", "nearest", "coactive", "groups"):
        assert same(getattr(body, name), getattr(feature, name)), name


def test_what_older_versions_packed_is_read_and_does_not_know():
    feature = dataclasses.replace(factories.feature(0, WINDOWS), fires_on=None, fires_after=None)
    older = dataclasses.replace(feature, groups=())
    blob = codec.pack_summary(older)
    out = Writer()
    for name, value in (("double", older.activations.low), ("double", older.activations.high)):
        getattr(out, name)(value)
    out.ints(older.activations.counts)
    for column in (older.raised.ids, older.raised.weights, older.raised.shares):
        (out.ints if column.dtype == np.int32 else out.floats)(column)
    assert out.blob(b"S") == blob  # byte for byte what they wrote
    summary = codec.unpack_summary(blob, "it")
    assert (summary.fires_on, summary.fires_after, summary.best) == (None, None, None)
    assert codec.unpack_summary(codec.pack_summary(feature), "it").best is not None


def test_the_best_context_is_the_first_of_the_top_ones_around_its_peak():
    feature = factories.feature(5, WINDOWS)
    top = feature.groups[0].examples
    best = codec.unpack_summary(codec.pack_summary(feature), "it").best
    own = slice(0, int(top.bounds[1]))
    near = np.abs(top.positions[own].astype(int) - int(top.peaks[0])) <= 24
    assert same(best.windows, top.windows[:1])
    assert same(best.peaks, top.peaks[:1])
    assert same(best.positions, top.positions[own][near])
    assert same(best.values, top.values[own][near])
    dead = factories.feature(3, WINDOWS, dead=True)
    assert codec.unpack_summary(codec.pack_summary(dead), "it").best is None


@given(effects())
@settings(max_examples=60)
def test_effect_comes_back_exactly(effect):
    assert same(codec.unpack_effect(codec.pack_effect(effect), "it"), effect)


@given(st.integers(0, 130).flatmap(lambda n: arrays(np.int64, n, elements=st.integers(0, 1 << 40))))
@settings(max_examples=60)
def test_tokens_and_numbers_come_back_exactly(tokens):
    assert same(codec.unpack_tokens(codec.pack_tokens(tokens), "it"), tokens)
    ascending = np.unique(tokens)
    assert same(codec.unpack_numbers(codec.pack_numbers(ascending), "it"), ascending)


@given(st.lists(st.binary(max_size=8), max_size=30), st.data())
@settings(max_examples=60)
def test_vocabulary_comes_back_exactly(pieces, data):
    ids = st.integers(0, max(0, len(pieces) - 1))
    vocabulary = Vocabulary(
        tuple(pieces), frozenset(data.draw(st.sets(ids))), data.draw(st.none() | ids)
    )
    assert codec.unpack_vocabulary(codec.pack_vocabulary(vocabulary), "it") == vocabulary


def test_floats_keep_every_bit():
    bits = np.array([0, 1, 1 << 31, 0x7F800000, 0x7FC00001, 0xFFFFFFFF, 0x3F800000], dtype="<u4")
    out = Writer()
    out.floats(bits.view("<f4"))
    back = Reader(out.blob(b"x"), b"x", "it").floats()
    assert back.view("<u4").tolist() == bits.tolist()


def test_firings_of_a_window_shown_twice_that_differ_are_both_kept():
    feature = factories.feature(1, WINDOWS)
    top = feature.groups[0].examples
    changed = type(top)(**(vars(top) | {"values": top.values * 2}))
    groups = (
        feature.groups[0],
        type(feature.groups[0])(**(vars(feature.groups[0]) | {"examples": changed})),
    )
    feature = type(feature)(**(vars(feature) | {"groups": groups}))
    assert same(codec.unpack_body(codec.pack_body(feature), "it").groups, groups)


def test_examples_without_firings_come_back():
    feature = factories.feature(1, WINDOWS)
    group = feature.groups[0]
    examples = type(group.examples)(
        windows=np.array([3, 1, 2], dtype=np.int64),
        peaks=np.zeros(3, dtype=np.uint16),
        bounds=np.array([0, 0, 2, 2], dtype=np.int64),
        positions=np.array([4, 9], dtype=np.uint16),
        values=np.ones(2, dtype=np.float32),
    )
    groups = (type(group)(**(vars(group) | {"examples": examples})),)
    feature = type(feature)(**(vars(feature) | {"groups": groups}))
    assert same(codec.unpack_body(codec.pack_body(feature), "it").groups, groups)


@pytest.fixture(scope="module")
def blob():
    return codec.pack_body(factories.feature(0, WINDOWS))


def test_any_flipped_bit_is_noticed(blob):
    for at in range(len(blob)):
        damaged = bytearray(blob)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(StoreError, match="damaged"):
            codec.unpack_body(bytes(damaged), "Feature 0")


def test_a_cut_or_longer_blob_is_noticed(blob):
    for wrong in (b"", blob[:6], blob[:-1], blob[: len(blob) // 2], blob + b"\0"):
        with pytest.raises(StoreError, match="Feature 0 is damaged"):
            codec.unpack_body(wrong, "Feature 0")


def test_another_kind_is_refused(blob):
    with pytest.raises(StoreError, match="kind"):
        codec.unpack_effect(blob, "it")


def test_a_later_version_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr("app.store.blobs.packing.VERSION", 2)
    later = codec.pack_tokens(np.arange(3))
    monkeypatch.undo()
    with pytest.raises(StoreError, match="Harvest again"):
        codec.unpack_tokens(later, "Window 1")


def _blob(*writes):
    """A sound blob whose contents make no sense: what a defect would write."""
    out = Writer()
    for method, value in writes:
        getattr(out, method)(value)
    return out


NONE = np.zeros(0)


@pytest.mark.parametrize(
    ("kind", "unpack", "writes"),
    [
        (b"T", codec.unpack_tokens, [("ints", np.arange(3)), ("uint", 1)]),
        (b"T", codec.unpack_tokens, [("uint", 9), ("uint", 0)]),
        (b"T", codec.unpack_tokens, [("uint", 0), ("uint", 1000)]),
        (b"T", codec.unpack_tokens, [("raw", b"\xff" * 12)]),
        (b"T", codec.unpack_tokens, [("uint", 1 << 70)]),
        (b"T", codec.unpack_tokens, [("ints", np.array([1 << 63], dtype=np.uint64))]),
        (
            b"V",
            codec.unpack_vocabulary,
            [("ints", np.array([2])), ("raw", b"abc"), ("ints", NONE), ("uint", 0)],
        ),
        (
            b"E",
            codec.unpack_effect,
            [
                *[("ints", np.arange(2)), ("floats", np.zeros(1)), ("uint", 0)],
                *2 * [("ints", NONE), ("floats", NONE)],
            ],
        ),
        (
            b"S",
            codec.unpack_summary,
            [
                *[("double", 0.0), ("double", 1.0), ("ints", np.arange(2))],
                *[("ints", np.arange(2)), ("floats", np.zeros(1)), ("floats", NONE)],
            ],
        ),
    ],
)
def test_sound_bytes_that_make_no_sense_are_refused(kind, unpack, writes):
    with pytest.raises(StoreError, match="damaged"):
        unpack(_blob(*writes).blob(kind), "It")


def test_a_feature_stays_below_ten_kilobytes():
    feature = factories.feature(0, factories.windows(400), top=20)
    assert sum(len(group.examples) for group in feature.groups) > 70
    assert len(codec.pack_body(feature)) + len(codec.pack_summary(feature)) < 4_000
