"""Drawing the next token: exact sets, exact probabilities, and the same chance for all rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_core.interventions.next_token import Sampler, TokenSampling

P = torch.tensor([0.05, 0.3, 0.1, 0.25, 0.0, 0.2, 0.1])
LOGITS = P.log()[None]


def frequencies(sampling: TokenSampling, logits: Tensor, n: int = 4000) -> np.ndarray:
    sampler = Sampler(sampling, n)
    tokens = [sampler.draw(logits, step).tokens[0] for step in range(n)]
    return np.bincount(tokens, minlength=logits.shape[-1]) / n


def kept(p: Tensor, tokens: list[int]) -> np.ndarray:
    left = torch.zeros_like(p)
    left[tokens] = p[tokens]
    return (left / left.sum()).numpy()


@pytest.mark.parametrize(
    ("sampling", "wanted"),
    [
        (TokenSampling(), P.numpy()),
        (TokenSampling(temperature=0.5), (P**2 / (P**2).sum()).numpy()),
        (TokenSampling(temperature=2.0), (P**0.5 / (P**0.5).sum()).numpy()),
        (TokenSampling(top_k=2), kept(P, [1, 3])),
        (TokenSampling(top_k=99), P.numpy()),
        (TokenSampling(top_p=0.5), kept(P, [1, 3])),
        (TokenSampling(top_p=0.56), kept(P, [1, 3, 5])),
        (TokenSampling(top_p=1e-9), kept(P, [1])),
        # Of the four likeliest, whose sum is 0.85 with one of two equals, 0.6 of that sum.
        (TokenSampling(top_k=3, top_p=0.7), kept(P, [1, 3])),
        (TokenSampling(top_k=3, top_p=0.8), kept(P, [1, 3, 5])),
        (TokenSampling(temperature=0.0), kept(P, [1])),
        (TokenSampling(temperature=1e-300), kept(P, [1])),
        (TokenSampling(temperature=1e-6, top_p=0.9), kept(P, [1])),
    ],
)
def test_tokens_come_as_often_as_they_are_likely(
    sampling: TokenSampling, wanted: np.ndarray
) -> None:
    found = frequencies(sampling, LOGITS)
    assert np.all(found[wanted == 0] == 0)
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_a_nucleus_of_many_tokens() -> None:
    """More than are looked at first."""
    n = 3000
    p = torch.full((n,), 1 / n)
    sampler = Sampler(TokenSampling(top_p=0.9), 500)
    drawn = {sampler.draw(p.log()[None], step).tokens[0] for step in range(500)}
    assert len(drawn) > 400
    peaked = torch.cat([torch.tensor([0.95]), torch.full((n - 1,), 0.05 / (n - 1))])
    # One row needs many tokens, the other one alone: neither decides for the other.
    both = torch.stack([p, peaked]).log()
    rows = [sampler.draw(both, step).tokens for step in range(200)]
    assert {second for _, second in rows} == {0}
    assert [first for first, _ in rows] == [
        sampler.draw(p.log()[None], step).tokens[0] for step in range(200)
    ]


@pytest.mark.parametrize(
    "sampling", [TokenSampling(), TokenSampling(0.7, 0.8, 5), TokenSampling(0.0)]
)
def test_probabilities_are_those_of_the_model(sampling: TokenSampling) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    draws = Sampler(sampling, 1).draw(logits, 0)
    p = logits.softmax(-1)
    for row, (token, probability) in enumerate(zip(draws.tokens, draws.probabilities, strict=True)):
        assert probability == pytest.approx(float(p[row, token]), rel=1e-6)


def test_the_token_is_where_the_uniform_number_falls() -> None:
    logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    sampler = Sampler(TokenSampling(seed=5), 300)
    cumulative = logits[0].double().softmax(-1).cumsum(-1).numpy()
    for step in range(300):
        wanted = int(np.searchsorted(cumulative, sampler.uniform[step], side="right"))
        assert sampler.draw(logits, step).tokens == [wanted]


def test_rows_share_their_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 400, generator=generator)
    near = logits + 1e-3 * torch.randn(1, 400, generator=generator)
    far = torch.randn(1, 400, generator=generator)
    sampler = Sampler(TokenSampling(top_p=0.95), 300)
    rows = np.array(
        [sampler.draw(torch.cat([logits, logits, near, far]), i).tokens for i in range(300)]
    )
    assert np.array_equal(rows[:, 0], rows[:, 1])
    assert (rows[:, 0] == rows[:, 2]).mean() > 0.9
    assert (rows[:, 0] == rows[:, 3]).mean() < 0.1


def test_chance_depends_on_seed_and_step_alone() -> None:
    one, longer, other = (
        Sampler(TokenSampling(seed=seed), n).uniform for seed, n in ((7, 50), (7, 80), (8, 50))
    )
    assert np.array_equal(one, longer[:50])
    assert not np.any(one == other)
    many = Sampler(TokenSampling(seed=2**63 - 1), 20_000).uniform
    assert many.min() >= 0
    assert many.max() < 1
    np.testing.assert_allclose(np.histogram(many, 10, (0, 1))[0], 2000, atol=200)


@pytest.mark.parametrize(
    "sampling", [TokenSampling(), TokenSampling(0.7, 0.8, 5), TokenSampling(0.0)]
)
def test_what_is_no_number_has_no_probability(sampling: TokenSampling) -> None:
    for value in (math.nan, math.inf):
        logits = torch.zeros(2, 30)
        logits[1, 3] = value
        draws = Sampler(sampling, 1).draw(logits, 0)
        assert math.isfinite(draws.probabilities[0])
        assert math.isnan(draws.probabilities[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype_of_logits(dtype: torch.dtype) -> None:
    draws = Sampler(TokenSampling(top_k=2), 1).draw(LOGITS.to(dtype), 0)
    assert draws.tokens[0] in (1, 3)
    assert draws.probabilities[0] == pytest.approx(float(P[draws.tokens[0]]), rel=0.02)
