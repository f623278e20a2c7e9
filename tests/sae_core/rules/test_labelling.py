"""All features of a dictionary, odd ones among them, out of a real firing log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae_core.harvest.firing_log import FiringLog, LogHeader
from sae_core.rules import harvested as module
from sae_core.rules.attributes import window_attributes
from sae_core.rules.harvested import HarvestedFirings, HarvestedText, harvest_labeller, looked_at
from sae_core.rules.record import RuleRecord
from sae_core.text.tokenized import Windows
from tests.sae_core.rules import texts

DEAD, EVERYWHERE, TOKEN, RARE, NOISE, LEARNT_ONLY = range(6)


def _log(folder: Path, windows: Windows, seed: int = 0, cuts: int = 2) -> FiringLog:
    """A log of six features: dead, on every token, on token 4, twice, anywhere, in one document."""
    order = windows.select(None, seed)
    folder.mkdir(parents=True)
    log = FiringLog(folder, LogHeader("i", 6, windows.n_ctx, seed, 1.0))
    random = np.random.default_rng(seed)
    draw = random.random((len(windows), windows.n_ctx))
    first = None
    for batch, numbers in enumerate(np.array_split(order, cuts)):
        tokens, mask = windows.gather(numbers)
        slots, features, values = [], [], []
        for feature in range(6):
            fires = (
                mask
                & {
                    DEAD: np.zeros_like(mask),
                    EVERYWHERE: np.ones_like(mask),
                    TOKEN: tokens == 4,
                    RARE: np.zeros_like(mask),
                    NOISE: draw[numbers] < 0.05,
                    LEARNT_ONLY: (windows.document_of(numbers) == 0)[:, None] & (tokens < 9),
                }[feature]
            )
            if feature == RARE and first is None:
                fires[tuple(np.argwhere(mask)[3])] = True
                first = batch
            at = np.flatnonzero(fires)
            slots.append(at)
            features.append(np.full(len(at), feature))
            values.append((1 + draw[numbers].ravel()[at]).astype(np.float32))
        together = np.argsort(np.concatenate(slots), kind="stable")
        log.append(
            batch,
            numbers,
            int(mask.sum()),
            np.concatenate(slots)[together],
            np.concatenate(features)[together],
            np.concatenate(values)[together],
        )
        log.flush(batch + 1)
    return log


def _records(folder: Path, windows: Windows, cuts: int = 2) -> list[RuleRecord]:
    log = _log(folder, windows, cuts=cuts)
    harvested = HarvestedText(windows, log.windows, texts.vocabulary(), 0)
    labeller = harvest_labeller(harvested, log, str, 0)
    return list(labeller.records(list(labeller.shuffled_scores())))


def test_firings_are_those_of_the_log_by_place(tmp_path: Path) -> None:
    windows = texts.random_windows(1, 30)
    log = _log(tmp_path / "log", windows)
    harvested = HarvestedFirings(HarvestedText(windows, log.windows, texts.vocabulary(), 0), log)
    attributes, _ = window_attributes(windows, log.windows, texts.vocabulary())
    for feature in range(6):
        places, values = harvested.read(feature)
        (plain,) = log.read(feature, feature + 1)
        assert (np.diff(places) > 0).all()
        assert sorted(values.tolist()) == sorted(plain.values.tolist())
    assert len(harvested.read(EVERYWHERE)[0]) == len(attributes)
    places, _ = harvested.read(TOKEN)
    assert (harvested.text.attributes.neighbours[0][places] == 4).all()


def test_rules_look_at_fewer_windows_where_features_fire_on_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = texts.random_windows(1, 60)
    log = _log(tmp_path / "log", windows)
    assert looked_at(windows, log).tolist() == log.windows.tolist()
    counts = log.counts()
    mean = counts.sum() / np.count_nonzero(counts)
    monkeypatch.setattr(module, "ENOUGH_FIRINGS", mean / 2)
    numbers = looked_at(windows, log)
    assert numbers.tolist() == log.windows[: len(numbers)].tolist()
    half = log.n_tokens / 2
    assert half - windows.n_ctx < windows.lengths(numbers).sum() <= half
    harvested = HarvestedFirings(HarvestedText(windows, numbers, texts.vocabulary(), 0), log)
    places, values = harvested.read(EVERYWHERE)
    assert len(places) == len(values) == len(harvested.text.attributes)
    labeller = harvest_labeller(HarvestedText(windows, numbers, texts.vocabulary(), 0), log, str, 0)
    records = list(labeller.records(list(labeller.shuffled_scores())))
    assert records[TOKEN].tokens < log.n_tokens / 2


def test_a_feature_that_fires_elsewhere_is_too_rare_where_rules_look(tmp_path: Path) -> None:
    windows = texts.random_windows(1, 60)
    log = _log(tmp_path / "log", windows)
    numbers = log.windows[:4]
    labeller = harvest_labeller(HarvestedText(windows, numbers, texts.vocabulary(), 0), log, str, 0)
    records = list(labeller.records([]))
    n = int(windows.lengths(numbers).sum())
    assert records[LEARNT_ONLY].sentence == (
        f"It fires too seldom for a rule in the {n} tokens that were looked at."
    )
    assert records[RARE].sentence == "It fires too seldom for a rule."


def test_each_feature_gets_its_rule_or_a_reason(tmp_path: Path) -> None:
    records = _records(tmp_path / "log", texts.random_windows(1, 300))
    assert [record.index for record in records] == list(range(6))
    assert records[DEAD].sentence == "It never fires."
    assert records[RARE].sentence == "It fires too seldom for a rule."
    assert records[DEAD].predicate is records[RARE].predicate is None
    clear = records[TOKEN]
    assert clear.sentence == "Fires on “4”"
    assert clear.above
    assert clear.test is not None
    assert clear.test.f1.value == 1.0
    assert clear.token == 4
    assert clear.token_f1.value == 1.0
    assert not records[NOISE].above
    assert not records[DEAD].above
    everywhere = records[EVERYWHERE]
    assert everywhere.test is None or everywhere.test.f1.value is not None


def test_the_same_firings_give_the_same_rules_however_the_log_was_cut(tmp_path: Path) -> None:
    windows = texts.random_windows(1, 60)
    assert _records(tmp_path / "a", windows, 2) == _records(tmp_path / "b", windows, 5)


def test_of_one_document_nothing_is_held_out(tmp_path: Path) -> None:
    records = _records(tmp_path / "log", texts.random_windows(1, 1, longest=900))
    assert records[TOKEN].predicate is None
    assert "second document" in records[TOKEN].sentence
    assert records[DEAD].sentence == "It never fires."


def test_two_documents_have_figures_without_intervals(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    documents = [random.integers(1, 12, 900) for _ in range(2)]
    records = _records(tmp_path / "log", Windows(texts.corpus(documents), 32, 0))
    test = records[TOKEN].test
    assert test is not None
    assert test.f1.value == 1.0
    assert test.f1.low is None
