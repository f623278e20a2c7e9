"""The firing log: order, merge, what a kill leaves behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae_core.errors import HarvestError
from sae_core.harvest.co_firing import coactive, joint_counts
from sae_core.harvest.firing_log import FiringLog, LogHeader

N_CTX, D_SAE, PER_BATCH = 8, 50, 4


def _header(share: float = 1.0, d_sae: int = D_SAE) -> LogHeader:
    return LogHeader("test", d_sae, N_CTX, seed=3, joint_share=share)


def _batch(number: int, d_sae: int = D_SAE) -> dict[str, object]:
    rng = np.random.default_rng(number)
    acts = rng.random((PER_BATCH * N_CTX, d_sae)) * (rng.random((PER_BATCH * N_CTX, d_sae)) < 0.1)
    slots, features = acts.nonzero()
    return {
        "batch": number,
        "windows": np.arange(PER_BATCH, dtype=np.int64) + 100 * number,
        "n_tokens": PER_BATCH * N_CTX,
        "slots": slots.astype(np.int64),
        "features": features.astype(np.int64),
        "values": acts[slots, features].astype(np.float32),
    }


def _fill(log: FiringLog, batches: range, flush_every: int, d_sae: int = D_SAE) -> FiringLog:
    for number in batches:
        log.append(**_batch(number, d_sae))  # type: ignore[arg-type]
        if (number + 1) % flush_every == 0:
            log.flush(number + 1)
    log.flush(batches.stop)
    return log


def _content(log: FiringLog) -> list[tuple[list[int], list[float]]]:
    return [(f.slots.tolist(), f.values.tolist()) for f in log.read(0, log.header.d_sae)]


def test_reading_gives_back_what_was_appended(tmp_path: Path) -> None:
    log = _fill(FiringLog(tmp_path, _header()), range(6), flush_every=4)
    expected: list[tuple[list[int], list[float]]] = [([], []) for _ in range(D_SAE)]
    for number in range(6):
        batch = _batch(number)
        for slot, feature, value in zip(
            batch["slots"],
            batch["features"],
            batch["values"],
            strict=True,  # type: ignore[call-overload]
        ):
            expected[feature][0].append(int(slot) + number * PER_BATCH * N_CTX)
            expected[feature][1].append(float(value))
    assert _content(log) == expected
    assert log.counts().tolist() == [len(e[0]) for e in expected]
    assert log.windows.tolist() == [100 * n + i for n in range(6) for i in range(PER_BATCH)]
    assert log.n_tokens == 6 * PER_BATCH * N_CTX


def test_where_runs_are_cut_does_not_matter(tmp_path: Path) -> None:
    one = _fill(FiringLog(tmp_path / "one", _header()), range(6), flush_every=6)
    many = _fill(FiringLog(tmp_path / "many", _header()), range(6), flush_every=1)
    assert _content(one) == _content(many)
    assert (joint_counts(one) != joint_counts(many)).nnz == 0


def test_halves_merge_into_the_whole_in_either_order(tmp_path: Path) -> None:
    whole = _fill(FiringLog(tmp_path / "whole", _header(0.5)), range(6), flush_every=2)
    for name, parts in {"forward": (0, 1), "backward": (1, 0)}.items():
        halves = [
            _fill(FiringLog(tmp_path / f"{name}{i}", _header(0.5)), part, flush_every=2)
            for i, part in enumerate((range(3), range(3, 6)))
        ]
        first, second = (halves[p] for p in parts)
        first.merge(second)
        assert _content(first) == _content(whole)
        assert first.windows.tolist() == whole.windows.tolist()
        assert (joint_counts(first) != joint_counts(whole)).nnz == 0


def test_merge_refuses_strangers_and_overlap(tmp_path: Path) -> None:
    log = _fill(FiringLog(tmp_path / "a", _header()), range(2), flush_every=2)
    other = _fill(FiringLog(tmp_path / "b", _header()), range(1, 3), flush_every=2)
    with pytest.raises(HarvestError, match="Batch 1 lies in both"):
        log.merge(other)
    stranger = FiringLog(tmp_path / "c", _header(0.25))
    with pytest.raises(HarvestError, match="same model"):
        log.merge(stranger)


def test_a_killed_log_goes_on_after_its_last_run(tmp_path: Path) -> None:
    killed = FiringLog(tmp_path, _header())
    _fill(killed, range(2), flush_every=2)
    killed.append(**_batch(2))  # type: ignore[arg-type]  # pending: lost with the process
    half_written = tmp_path / ".run-000000002.1.part"
    half_written.mkdir()
    again = FiringLog(tmp_path, _header())
    assert again.batches_done == {0, 1}
    assert not half_written.exists()
    _fill(again, range(2, 6), flush_every=3)
    whole = _fill(FiringLog(tmp_path / "whole", _header()), range(6), flush_every=6)
    assert _content(again) == _content(whole)


def test_a_folder_of_another_harvest_is_refused(tmp_path: Path) -> None:
    FiringLog(tmp_path, _header())
    with pytest.raises(HarvestError, match="another harvest"):
        FiringLog(tmp_path, _header(0.5))


@pytest.mark.parametrize("d_sae", [50, 1500])  # dense and sparse counting
def test_a_run_in_which_nothing_fired_counts_nothing(tmp_path: Path, d_sae: int) -> None:
    """A dictionary that fires on nothing, and one that is silent in a part of the text."""
    none = {"slots": np.zeros(0, np.int64), "features": np.zeros(0, np.int64)}
    none["values"] = np.zeros(0, np.float32)
    silent = FiringLog(tmp_path / "silent", _header(0.6, d_sae))
    for number in range(3):
        silent.append(**(_batch(number, d_sae) | none))  # type: ignore[arg-type]
        silent.flush(number + 1)
    assert joint_counts(silent).nnz == 0
    gap = FiringLog(tmp_path / "gap", _header(0.6, d_sae))
    whole = FiringLog(tmp_path / "whole", _header(0.6, d_sae))
    for number in range(3):
        batch = _batch(number, d_sae) | (none if number == 1 else {})
        for log, often in ((gap, True), (whole, number == 2)):
            log.append(**batch)  # type: ignore[arg-type]
            if often:
                log.flush(number + 1)
    assert (joint_counts(gap) != joint_counts(whole)).nnz == 0
    assert joint_counts(gap).nnz > 0


@pytest.mark.parametrize("d_sae", [50, 1500])  # dense and sparse counting
def test_joint_counts_equal_a_dense_product(tmp_path: Path, d_sae: int) -> None:
    log = _fill(FiringLog(tmp_path, _header(0.6, d_sae)), range(5), flush_every=2, d_sae=d_sae)
    sampled = log._in_joint_sample(log.windows)
    assert 0 < sampled.sum() < len(sampled)
    fires = np.zeros((len(sampled) * N_CTX, d_sae), dtype=np.int64)
    for feature, firings in enumerate(log.read(0, d_sae)):
        fires[firings.slots, feature] = 1
    fires *= np.repeat(sampled, N_CTX)[:, None]
    expected = fires.T @ fires
    counts = joint_counts(log)
    assert (counts.toarray() == expected).all()

    feature = int(expected.diagonal().argmax())
    ranking = coactive(counts, counts.diagonal(), feature)
    either = expected[feature, feature] + expected.diagonal() - expected[feature]
    jaccard = np.where(np.arange(d_sae) == feature, -1.0, expected[feature] / np.maximum(either, 1))
    best = sorted(range(d_sae), key=lambda g: (-jaccard[g], g))[:10]
    assert ranking.ids.tolist() == best
    assert ranking.weights == pytest.approx(jaccard[best], abs=1e-6)
    assert ranking.shares == pytest.approx(
        expected[feature][best] / expected[feature, feature], abs=1e-6
    )
