"""Features matched through a training: by brute force, and where they appear."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sae_core.evaluation.comparison.appearance import halves, moment_matches, paired
from sae_core.evaluation.comparison.arrivals import NEVER, appearances
from sae_core.evaluation.comparison.firings import TokenFirings

N_TOKENS, N_FEATURES = 4000, 12


def dense(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    values = draw.gamma(1.0, size=(N_TOKENS, N_FEATURES)) * (
        draw.random((N_TOKENS, N_FEATURES)) < 0.05
    )
    return values.astype(np.float32)


def firings(values: np.ndarray) -> TokenFirings:
    return TokenFirings(sparse.csr_array(values))


def test_paired_correlations_are_pearson_s() -> None:
    a, b = dense(0), dense(1)
    partners = np.array([3, 0, -1, *range(3, N_FEATURES)])
    got = paired(firings(a), firings(b), partners)
    for feature, partner in enumerate(partners.tolist()):
        if partner < 0:
            assert np.isnan(got[feature])
        else:
            expected = np.corrcoef(a[:, feature].astype(float), b[:, partner].astype(float))[0, 1]
            np.testing.assert_allclose(got[feature], expected, atol=1e-12)


def test_documents_are_halved_in_the_order_in_which_they_come() -> None:
    documents = np.array([7, 7, 3, 3, 9, 1, 7])
    assert halves(documents).tolist() == [True, True, False, False, True, False, True]


def test_a_shuffled_dictionary_is_found_again_and_chance_is_not() -> None:
    a, order = dense(2), np.random.default_rng(3).permutation(N_FEATURES)
    b = a[:, order].copy()
    b[:, order.tolist().index(0)] = dense(4)[:, 0]  # the first feature is not there
    documents = np.arange(N_TOKENS) // 50
    matches = moment_matches(firings(a), firings(b), documents)
    assert order[matches.partners[1:]].tolist() == list(range(1, N_FEATURES))
    assert (matches.values[1:] > 0.99).all()
    assert 0 < matches.null < 0.2
    assert matches.values[0] < 0.2


def test_a_feature_appears_where_it_stays() -> None:
    nulls = np.array([0.1, 0.1, 0.1, 0.1])
    ceiling = np.array([0.9, 0.9, 0.9, 0.05, 0.9, np.nan])
    values = np.array(
        [
            [0.8, 0.0, 0.7, 0.04, 0.3, 0.9],
            [0.8, 0.0, 0.2, 0.04, 0.4, 0.9],
            [0.9, 0.5, 0.7, 0.04, 0.44, 0.9],
            [0.9, 0.9, 0.9, 0.05, 0.46, np.nan],
        ]
    )
    # At once; at the third; not before it stays; never found again; only above half; not judged.
    expected = [0, 2, 2, NEVER, 3, NEVER]
    assert appearances(values, nulls, ceiling).tolist() == expected
