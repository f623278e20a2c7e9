"""Screened encoders against dense ones: `python -m benchmarks.encoding`, a minute.

For each architecture and shape the same activations are encoded in turns, three times; the least
time of each counts. Both give the same firings; the last column is the largest difference.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import torch
from torch import Tensor

from sae_core.dictionaries.architectures import dictionary_classes
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.dictionaries.screening import screened

SHAPES = ((64, 2048, 4096), (512, 4096, 2048), (768, 24576, 512))
L0 = 40


@torch.inference_mode()
def main() -> int:
    """Print times and ratios; 1 where the firings differ by more than rounding."""
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}")
    print("architecture  d_in   d_sae  tokens     L0    dense, ms  screened, ms  ratio  differs by")
    worst = 0.0
    for d_in, d_sae, n in SHAPES:
        x = torch.randn(n, d_in, generator=torch.Generator().manual_seed(1))
        for architecture in ("topk", "standard", "jumprelu", "gated"):
            dictionary = _dictionary(architecture, d_in, d_sae, x)
            encoder = screened(dictionary)
            dense, quick = _least(dictionary.encode_sparse, encoder.encode_sparse, x)
            found, truth = encoder.encode_sparse(x), dictionary.encode(x)
            rebuilt = torch.zeros_like(truth)
            rebuilt[found.rows, found.features] = found.values
            differs = float((rebuilt - truth).abs().max())
            worst = max(worst, differs)
            print(
                f"{architecture:12} {d_in:5} {d_sae:7} {n:7} {len(found.values) / n:6.1f} "
                f"{1e3 * dense:12.1f} {1e3 * quick:13.1f} {dense / quick:6.2f} {differs:11.1e}"
            )
    return int(worst > 1e-3)


def _dictionary(architecture: str, d_in: int, d_sae: int, x: Tensor) -> Dictionary:
    """Random features of which about L0 fire on a token."""
    made: Dictionary
    if architecture == "topk":
        made = TopKDictionary("hook", d_in, d_sae, L0)
    else:
        made = dictionary_classes()[architecture]("hook", d_in, d_sae)  # type: ignore[call-arg]
    draw = torch.Generator().manual_seed(0)
    for name, parameter in made.named_parameters():
        if name in ("W_enc", "W_dec"):
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / d_in**0.5)
    pre = x[:64] @ made.W_enc
    lower = pre.numel() - L0 * 64
    flat = pre.flatten()
    # Between two values: a tie would be decided by the order of a float32 sum.
    bar = float((flat.kthvalue(lower).values + flat.kthvalue(lower + 1).values) / 2)
    with torch.no_grad():
        if architecture == "standard":
            made.b_enc.fill_(-bar)
        elif architecture == "jumprelu":
            made.get_parameter("threshold").fill_(bar)
        elif architecture == "gated":
            made.get_parameter("b_gate").fill_(-bar)
    return made.requires_grad_(False)


def _least(
    first: Callable[[Tensor], Firings], second: Callable[[Tensor], Firings], x: Tensor
) -> tuple[float, float]:
    """Seconds of each, the least of three turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for run, kept in zip((first, second), times, strict=True):
            start = time.perf_counter()
            run(x)
            kept.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


if __name__ == "__main__":
    raise SystemExit(main())
