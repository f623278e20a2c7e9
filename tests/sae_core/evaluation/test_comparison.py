"""Comparing dictionaries: against float64 references, on planted overlaps, and by chance alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.evaluation.comparison.compare import Compared, PairComparison, compare_pair
from sae_core.evaluation.comparison.correlation import (
    correlation_matches,
    judged,
    left_out_correlations,
)
from sae_core.evaluation.comparison.directions import cosine_matches, random_cosines
from sae_core.evaluation.comparison.firings import FiringCollector, TokenFirings
from sae_core.evaluation.comparison.limits import FEWEST_FIRINGS
from sae_core.evaluation.comparison.matches import NONE, BestMatches, Matches, mutual
from sae_core.evaluation.comparison.pairing import assigned, room_for_all
from sae_core.evaluation.comparison.splitting import splitting_tree

N_TOKENS, D_IN, D_SAE = 6_000, 48, 120


def _dictionary(rows: Tensor) -> Dictionary:
    made = StandardDictionary("blocks.0.hook_resid_post", rows.shape[1], rows.shape[0])
    with torch.no_grad():
        made.W_dec.copy_(rows)
    return made.requires_grad_(False)


def _firings(acts: NDArray[np.floating]) -> TokenFirings:
    return TokenFirings(sparse.csr_array(acts.astype(np.float32)))


def _sparse_acts(seed: int, n_features: int, density: float = 0.02) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    fires = rng.random((N_TOKENS, n_features)) < density
    return fires * rng.gamma(2.0, 1.0, fires.shape)


def _documents() -> NDArray[np.int64]:
    return np.repeat(np.arange(N_TOKENS // 60), 60)


def _pair(first: Compared, second: Compared, same_space: bool = True) -> PairComparison:
    return compare_pair(first, second, _documents(), seed=3, same_space=same_space)


@pytest.fixture(scope="module")
def shared() -> tuple[Compared, Compared]:
    """Half of the features are the same in both, in another order; the rest are unrelated."""
    generator = torch.Generator().manual_seed(0)
    half = D_SAE // 2
    common = torch.randn(half, D_IN, generator=generator)
    own = [torch.randn(half, D_IN, generator=generator) for _ in range(2)]
    turn = torch.linalg.qr(torch.randn(D_IN, D_IN, generator=generator)).Q
    order = np.random.default_rng(1).permutation(D_SAE)
    acts = _sparse_acts(0, half)
    first = np.hstack([acts, _sparse_acts(1, half)])
    second = np.hstack([1.5 * acts, _sparse_acts(2, half)])[:, order]
    # The rest of the second are the first's directions, turned, with noise.
    rest = own[0] @ turn + 0.3 * own[1]
    return (
        Compared(_dictionary(torch.cat([common, own[0]])), _firings(first)),
        Compared(_dictionary(torch.cat([2.0 * common, rest])[order]), _firings(second)),
    )


@pytest.fixture(scope="module")
def planted(shared: tuple[Compared, Compared]) -> PairComparison:
    return _pair(*shared)


@pytest.mark.parametrize("measure", ["by_cosine", "by_correlation"])
@pytest.mark.parametrize("direction", ["forth", "back"])
def test_a_planted_overlap_is_found_with_its_interval(
    planted: PairComparison, measure: str, direction: str
) -> None:
    figures = getattr(getattr(planted, direction), measure)
    assert figures is not None
    assert figures.found.share == 0.5
    assert 0.35 < figures.found.low < 0.5 < figures.found.high < 0.65
    assert figures.found.n == D_SAE
    assert figures.null_found.share == 0
    assert figures.above_null.low > figures.null_above.high
    assert sum(figures.counts) == sum(figures.null_counts) == D_SAE


def test_the_planted_partners_are_found_one_to_one(
    planted: PairComparison, shared: tuple[Compared, Compared]
) -> None:
    order = np.random.default_rng(1).permutation(D_SAE)
    half = D_SAE // 2
    assert planted.assigned
    assert np.array_equal(order[planted.forth.partners.indices[:half]], np.arange(half))
    assert np.allclose(planted.forth.partners.values[:half], 1.0)
    back = planted.back.partners
    assert np.array_equal(
        back.indices[planted.forth.partners.indices], np.arange(D_SAE)
    )  # as many features on both sides: all are paired
    best = correlation_matches(shared[0].firings, shared[1].firings)
    both = mutual(best.rows, best.columns)
    assert np.array_equal(both.indices[:half], planted.forth.partners.indices[:half])


@pytest.mark.parametrize("seed", range(3))
def test_of_two_independent_dictionaries_no_more_is_found_than_by_chance(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = (
        Compared(
            _dictionary(torch.randn(160, D_IN, generator=generator)),
            _firings(_sparse_acts(10 + 2 * seed + n, 160)),
        )
        for n in (0, 1)
    )
    compared = _pair(one, other)
    for direction in (compared.forth, compared.back):
        for figures in (direction.by_cosine, direction.by_correlation):
            assert figures is not None
            assert figures.found.share == figures.null_found.share == 0
            assert figures.above_null.low <= figures.null_above.high
            assert figures.above_null.share < 0.05


def test_correlations_are_pearsons_in_float64() -> None:
    first, second = _sparse_acts(4, 30), _sparse_acts(5, 40)
    second[:, 7] = 0.5 * first[:, 3] + (np.arange(N_TOKENS) % 5 == 0)
    first, second = first.astype(np.float32), second.astype(np.float32)
    expected = np.corrcoef(first.T.astype(float), second.T.astype(float))[:30, 30:]
    for dense, tolerance in ((False, 1e-12), (True, 1e-6)):
        best = correlation_matches(_firings(first), _firings(second), dense=dense)
        assert np.array_equal(best.rows.indices, expected.argmax(axis=1))
        assert np.array_equal(best.columns.indices, expected.argmax(axis=0))
        assert np.abs(best.rows.values - expected.max(axis=1)).max() < tolerance
        assert np.abs(best.columns.values - expected.max(axis=0)).max() < tolerance


def test_cosines_are_those_of_float64_whatever_the_block() -> None:
    generator = torch.Generator().manual_seed(5)
    left, right = (torch.randn(n, D_IN, generator=generator) for n in (70, 50))
    left[4] = 0.0
    unit = [rows.double() / rows.double().norm(dim=1, keepdim=True) for rows in (left, right)]
    expected = torch.nan_to_num(unit[0] @ unit[1].T, -2.0).numpy()
    for block in (7, 1024):
        best = cosine_matches(_dictionary(left), _dictionary(right), block)
        known = best.rows.known
        assert known.tolist() == [i != 4 for i in range(70)]
        assert np.array_equal(best.rows.indices[known], expected.argmax(axis=1)[known])
        assert np.abs(best.rows.values[known] - expected.max(axis=1)[known]).max() < 1e-6
        assert np.array_equal(best.columns.indices, expected.argmax(axis=0))
    assert len(random_cosines(_dictionary(left), _dictionary(right), 0)) == 69


def test_the_null_of_directions_keeps_what_all_rows_have_in_common() -> None:
    """Rows that all point about the same way match by chance: so do those of the null."""
    generator = torch.Generator().manual_seed(6)
    leaning = torch.randn(200, D_IN, generator=generator)
    leaning[:, 0] += 10.0
    upright = torch.randn(200, D_IN, generator=generator)
    assert np.median(random_cosines(_dictionary(leaning), _dictionary(leaning), 0)) > 0.8
    assert np.median(random_cosines(_dictionary(upright), _dictionary(upright), 0)) < 0.5


def test_the_same_weights_are_found_again_whole(shared: tuple[Compared, Compared]) -> None:
    same = _pair(shared[0], shared[0])
    assert np.array_equal(same.forth.correlations.indices, np.arange(D_SAE))
    assert np.array_equal(same.forth.partners.indices, np.arange(D_SAE))
    assert same.forth.by_cosine is not None
    assert same.forth.by_cosine.found.share == 1.0
    assert same.forth.by_cosine.found.high == 1.0


def test_silent_rare_and_constant_features_are_counted_apart() -> None:
    acts = _sparse_acts(7, 20)
    acts[:, 0] = 0
    acts[:, 1] = 0
    acts[: FEWEST_FIRINGS - 1, 1] = 1.0
    acts[:, 2] = 3.0
    compared = Compared(_dictionary(torch.randn(20, D_IN)), _firings(acts))
    assert (compared.silent, compared.rare) == (1, 1)
    assert judged(compared.firings).tolist() == list(range(3, 20))
    best = correlation_matches(compared.firings, compared.firings)
    assert best.rows.indices[:3].tolist() == [NONE] * 3
    assert np.isnan(best.rows.values[:3]).all()
    assert best.rows.indices[3:].tolist() == list(range(3, 20))


def test_dictionaries_of_one_feature_and_of_none_that_fires_are_compared() -> None:
    one = Compared(_dictionary(torch.ones(1, D_IN)), _firings(_sparse_acts(8, 1)))
    many = Compared(_dictionary(torch.randn(20, D_IN)), _firings(_sparse_acts(9, 20)))
    compared = _pair(one, many)
    assert compared.forth.partners.known.sum() == compared.back.partners.known.sum() == 1
    silent = Compared(one.dictionary, _firings(np.zeros((N_TOKENS, 1))))
    compared = _pair(silent, many)
    assert compared.forth.by_correlation is None
    assert compared.back.by_correlation is None
    assert compared.forth.by_cosine is not None
    nowhere = replace(one, dictionary=_dictionary(torch.zeros(1, D_IN)))
    assert _pair(nowhere, many).forth.by_cosine is None
    assert _pair(one, many, same_space=False).forth.cosines is None


def test_an_interval_is_wider_where_the_match_rests_on_few_documents() -> None:
    acts = _sparse_acts(11, 40)
    noise = _sparse_acts(12, 40)
    # Half of the documents agree; which ones decides whether a correlation passes the bar.
    agree = (_documents() % 20 < 10)[:, None]
    other = np.where(agree, acts, 0.6 * noise)
    first, second = _firings(acts), _firings(other)
    best = correlation_matches(first, second)
    groups = _documents() % 20
    left_out = left_out_correlations(first, second, best.rows, groups)
    for group in (0, 15):
        kept = groups != group
        expected = [
            np.corrcoef(
                first.by_token[kept][:, [i]].toarray()[:, 0].astype(float),
                second.by_token[kept][:, [j]].toarray()[:, 0].astype(float),
            )[0, 1]
            for i, j in enumerate(best.rows.indices)
        ]
        assert np.allclose(left_out[group], expected, atol=1e-9)
    compared = compare_pair(
        Compared(_dictionary(torch.randn(40, D_IN)), first),
        Compared(_dictionary(torch.randn(40, D_IN)), second),
        _documents(),
        seed=0,
        bar=float(np.median(best.rows.values)),
    )
    figures = compared.forth.by_correlation
    assert figures is not None
    assert figures.found.high - figures.found.low > 0.32  # Wilson's alone for 20 of 40: 0.296


def test_batches_come_together_in_order() -> None:
    collector = FiringCollector(5)
    for rows, features in (([0, 0, 2], [1, 4, 0]), ([], []), ([1], [3])):
        values = torch.ones(len(rows))
        collector.append(Firings(torch.tensor(rows).long(), torch.tensor(features), values), 3)
    firings = collector.finish()
    assert firings.by_token.toarray().nonzero()[0].tolist() == [0, 0, 2, 7]
    assert firings.counts.tolist() == [1, 1, 0, 1, 1]
    moved = firings.shifted(2).by_token.toarray()
    assert np.array_equal(moved, np.roll(firings.by_token.toarray(), -2, axis=0))


def test_equal_matches_go_to_the_lower_index() -> None:
    best = BestMatches(2, 2)
    best.see(np.array([0]), np.array([0, 1]), np.array([[0.5, 0.5]]))
    best.see(np.array([1]), np.array([0, 1]), np.array([[0.5, 0.5]]))
    assert best.rows.indices.tolist() == best.columns.indices.tolist() == [0, 0]


def test_an_assignment_beats_every_other_pairing() -> None:
    acts = _sparse_acts(13, 6)
    mixed = acts @ np.random.default_rng(0).random((6, 4))
    both = _firings(acts), _firings(mixed)
    table = room_for_all(*both)
    assert table is not None
    correlation_matches(*both, keep=table)
    pairs = assigned(*both, table)
    assert pairs.known.sum() == 4
    assert sorted(pairs.indices[pairs.known]) == [0, 1, 2, 3]


def test_a_tree_holds_the_features_whose_best_match_is_the_parent() -> None:
    nan = float("nan")
    middle = Matches(np.array([0, 1, 0, 0, NONE]), np.array([0.3, 0.9, 0.8, 0.1, nan]))
    large = Matches(np.array([2, 2, 2, 0, 1]), np.array([0.5, 0.9, 0.7, 0.6, 0.99]))
    tree = splitting_tree(0, [(middle, 0.2), (large, 0.2)], [5, 2])
    assert [(c.index, c.value) for c in tree.children] == [(2, 0.8), (0, 0.3)]
    assert [c.index for c in tree.children[0].children] == [1, 2]
    assert tree.children[0].more == 1
    assert tree.size == 6
    assert splitting_tree(4, [(middle, 0.2)], [5]).children == ()
