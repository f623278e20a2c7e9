"""What a comparison costs: `python -m benchmarks.comparison`, some minutes; needs no demo.

Two dictionaries of 4,096 features fire on 24 features a token, over about a million tokens; half of
their features are the same. Correlated are all pairs, once by our sparse sums and once by a dense
float32 product in torch on the same firings, which is timed on a part of the tokens and scaled:
its time is proportional to them. The floor, written down before: at least 5 times as fast.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.evaluation.comparison.compare import Compared, compare_pair
from sae_core.evaluation.comparison.correlation import correlation_matches
from sae_core.evaluation.comparison.firings import TokenFirings

FEATURES, L0, D_IN = 4_096, 24, 512
FLOOR = 5.0
CHUNK = 8_192


def main() -> int:
    """Print times, their ratio and the memory; 1 where the floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1_048_576)
    parser.add_argument("--dense-tokens", type=int, default=65_536)
    arguments = parser.parse_args()
    first, second = _firings(arguments.tokens)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # A part by both ways: the same best matches, and the dense way's pace.
    part = [TokenFirings(side.by_token[: arguments.dense_tokens]) for side in (first, second)]
    begin = time.perf_counter()
    dense = _dense(*part)
    of_dense = (time.perf_counter() - begin) * arguments.tokens / arguments.dense_tokens
    ours = correlation_matches(*part)
    difference = float(np.abs(ours.rows.values - dense.max(axis=1)).max())
    del dense
    begin = time.perf_counter()
    best = correlation_matches(first, second)
    of_ours = time.perf_counter() - begin
    correlated = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    compare_pair(
        Compared(_directions(0), first),
        Compared(_directions(1), second),
        np.arange(arguments.tokens) // 1_000,
        seed=0,
    )
    whole = time.perf_counter() - begin
    found = float((best.rows.values >= 0.7).mean())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ratio = of_dense / of_ours
    print(
        f"comparison, {FEATURES:,} x {FEATURES:,} features, {arguments.tokens:,} tokens, L0 {L0}, "
        f"{torch.get_num_threads()} threads\n"
        f"  all correlations, sparse sums in float64: {of_ours:.1f} s\n"
        f"  all correlations, dense float32 in torch: {of_dense:.1f} s "
        f"(from {arguments.dense_tokens:,} tokens)\n"
        f"  ratio {ratio:.1f} (at least {FLOOR:g}); largest difference of a best match on that "
        f"part {difference:.1e}\n"
        f"  a whole comparison, with two nulls, cosines, assignment and intervals: {whole:.1f} s; "
        f"{of_dense / whole:.1f} times as fast as the dense correlations alone\n"
        f"  found again {found:.3f} (planted 0.5)\n"
        f"  peak memory: {held / 2**20:.2f} GiB with the firings, {correlated / 2**20:.2f} with "
        f"all correlations, {peak / 2**20:.2f} in all"
    )
    return int(ratio < FLOOR)


def _firings(n_tokens: int) -> tuple[TokenFirings, TokenFirings]:
    """Half of the features of both fire alike, the rest of each by themselves."""
    rng = np.random.default_rng(0)
    common = _drawn(rng, n_tokens)
    sides = []
    for _ in range(2):
        features, values = (
            np.hstack(both) for both in zip(common, _drawn(rng, n_tokens), strict=True)
        )
        features[:, L0 // 2 :] += FEATURES // 2
        bounds = np.arange(0, n_tokens * L0 + 1, L0)
        parts = (values.ravel(), features.ravel(), bounds)
        # The same feature drawn twice on a token fires once, with the sum.
        by_token = sparse.csr_array(parts, shape=(n_tokens, FEATURES))
        by_token.sum_duplicates()
        sides.append(TokenFirings(by_token))
    return sides[0], sides[1]


def _drawn(
    rng: np.random.Generator, n_tokens: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Features as unlike in density as real ones, and their activations."""
    ranks = rng.random((n_tokens, L0 // 2)) ** 2 * (FEATURES // 2)
    return ranks.astype(np.int32), rng.gamma(2.0, 1.0, ranks.shape).astype(np.float32)


def _directions(seed: int) -> StandardDictionary:
    made = StandardDictionary("blocks.0.mlp.hook_post", D_IN, FEATURES)
    rows = torch.randn(FEATURES, D_IN, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        made.W_dec.copy_(rows)
    return made


def _dense(first: TokenFirings, second: TokenFirings) -> NDArray[np.float64]:
    """All correlations as one would write them in torch: dense float32 products of chunks."""
    n = first.n_tokens
    products = torch.zeros(FEATURES, FEATURES)
    sums = torch.zeros(2, FEATURES, dtype=torch.float64)
    squares = torch.zeros(2, FEATURES, dtype=torch.float64)
    for begin in range(0, n, CHUNK):
        both = [
            torch.from_numpy(side.by_token[begin : begin + CHUNK].toarray())
            for side in (first, second)
        ]
        products += both[0].T @ both[1]
        sums += torch.stack([side.sum(dim=0, dtype=torch.float64) for side in both])
        squares += torch.stack([side.square().sum(dim=0, dtype=torch.float64) for side in both])
    means = sums / n
    deviations = (squares / n - means**2).clamp_min(0).sqrt()
    covariance = products.double() / n - means[0][:, None] * means[1]
    table = covariance / (deviations[0][:, None] * deviations[1]).clamp_min(1e-30)
    return np.asarray(table.numpy())


if __name__ == "__main__":
    raise SystemExit(main())
