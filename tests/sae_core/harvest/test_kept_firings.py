"""Text and firings that are kept, against the firing log that they were made of."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sae_core.errors import HarvestError
from sae_core.harvest.firing_log import FiringLog, LogHeader
from sae_core.harvest.kept_firings import KeptFirings, firings_at, keep_firings
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.text.tokenized import TokenizedCorpus, Windows

D_VOCAB, D_SAE, N_CTX = 30, 70_000, 8
VOCABULARY = Vocabulary(tuple(b"%d\n" % n for n in range(D_VOCAB)), frozenset({0}), 0)


def corpus_windows(bos: int | None = 0) -> Windows:
    rng = np.random.default_rng(2)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 40, 9))]).astype(np.int64)
    corpus = TokenizedCorpus(
        name="text",
        source="drawn",
        fingerprint="f",
        tokens=rng.integers(1, D_VOCAB, offsets[-1]).astype(np.uint16),
        offsets=offsets,
        names=tuple(f"document {n}" for n in range(9)),
        held_out=np.zeros(9, dtype=bool),
    )
    return Windows(corpus, N_CTX, bos)


def fires(windows: Windows, number: int) -> list[set[int]]:
    """What fires on each token of a window: some common features, some of all."""
    rng = np.random.default_rng([5, number])
    length = int(windows.lengths(np.array([number]))[0])
    return [
        {*rng.choice(20, 3), *rng.choice(D_SAE, rng.integers(0, 5))}
        if rng.random() < 0.8
        else set()
        for _ in range(length)
    ]


def logged(folder: Path, windows: Windows, per_run: int) -> FiringLog:
    """A log of all windows in a random order, three in a batch."""
    log = FiringLog(folder, LogHeader("test", D_SAE, N_CTX, 0, 1.0))
    lead = N_CTX - windows.n_text
    batches = np.array_split(windows.select(None, 1), 6)
    for n, numbers in enumerate(batches):
        rows = [
            (row * N_CTX + lead + position, feature)
            for row, number in enumerate(numbers.tolist())
            for position, features in enumerate(fires(windows, number))
            for feature in features
        ]
        slots, features = np.array(sorted(rows), dtype=np.int64).T
        values = np.ones(len(rows), np.float32)
        log.append(n, numbers, int(windows.lengths(numbers).sum()), slots, features, values)
        if (n + 1) % per_run == 0:
            log.flush(n + 1)
    log.flush(len(batches))
    return log


def read_back(kept: KeptFirings, wanted: np.ndarray) -> list[set[int]]:
    text = kept.text
    bounds, features = firings_at(kept.windows, np.diff(text.bounds), wanted, text.order)
    return [set(features[a:b].tolist()) for a, b in pairwise(bounds)]


@pytest.mark.parametrize("bos", [0, None])
def test_what_is_kept_is_what_fired(tmp_path: Path, bos: int | None) -> None:
    windows = corpus_windows(bos)
    kept = keep_firings(windows, logged(tmp_path, windows, 2), VOCABULARY)
    text = kept.text
    assert text.numbers.tolist() == list(range(len(windows)))
    assert text.tokens.tolist() == windows.corpus.tokens.tolist()
    assert [text.names[d] for d in text.documents] == [
        f"document {d}" for d in windows.document_of(text.numbers)
    ]
    assert text.lines.tolist() == (1 + windows.start_of(text.numbers)).tolist()
    every = [features for number in range(len(windows)) for features in fires(windows, number)]
    assert read_back(kept, np.ones(text.n_tokens, dtype=bool)) == every
    some = np.random.default_rng(0).random(text.n_tokens) < 0.3
    assert read_back(kept, some) == [every[n] for n in np.flatnonzero(some)]
    counts = np.bincount([f for features in every for f in features], minlength=D_SAE)
    assert np.array_equal(text.counts, counts)


def test_where_runs_are_cut_changes_nothing(tmp_path: Path) -> None:
    windows = corpus_windows()
    kept = [
        keep_firings(windows, logged(tmp_path / str(n), windows, n), VOCABULARY, 150, 120)
        for n in (1, 4)
    ]
    assert kept[0].windows == kept[1].windows
    assert vars(kept[0].text).keys() == vars(kept[1].text).keys()
    for name, value in vars(kept[0].text).items():
        assert np.array_equal(value, getattr(kept[1].text, name)), name


@pytest.mark.parametrize(("firings", "tokens"), [(150, 10_000), (10_000, 40), (1, 1)])
def test_a_bound_keeps_the_first_windows_whole(tmp_path: Path, firings: int, tokens: int) -> None:
    windows = corpus_windows()
    log = logged(tmp_path, windows, 2)
    kept = keep_firings(windows, log, VOCABULARY, firings, tokens)
    count = len(kept.windows)
    assert 0 < count < len(windows)
    assert kept.text.numbers.tolist() == sorted(log.windows[:count].tolist())
    every = [features for n in kept.text.numbers.tolist() for features in fires(windows, n)]
    assert read_back(kept, np.ones(kept.text.n_tokens, dtype=bool)) == every
    assert kept.text.counts.sum() == sum(map(len, every))
    if count > 1:
        assert kept.text.counts.sum() <= firings
        assert kept.text.n_tokens <= tokens


def test_damaged_bytes_are_a_sentence(tmp_path: Path) -> None:
    windows = corpus_windows()
    kept = keep_firings(windows, logged(tmp_path, windows, 2), VOCABULARY)
    sizes = np.diff(kept.text.bounds)[:1]
    good = zlib.decompress(kept.windows[0])
    for bad in (
        kept.windows[0][:-3],
        kept.windows[0] + b"x",
        zlib.compress(good[:-1]),
        zlib.compress(good + b"\x01"),
        zlib.compress(good[:-1] + b"\x80"),
        zlib.compress(b"\x80" * 7 + b"\x01" + good),
        zlib.compress(b""),
        zlib.compress(b"\x01" * int(sizes[0]) + b"\xff\xff\xff\x7f" * int(sizes[0])),
    ):
        with pytest.raises(HarvestError, match="The kept firings are damaged"):
            firings_at([bad], sizes, np.ones(int(sizes[0]), dtype=bool), kept.text.order)
