"""Training a TopK dictionary on activations streamed from a language model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sae_core.architectures.topk import TopKDictionary
from sae_core.atomic import atomic_file
from sae_core.errors import HarvestError
from sae_core.language_model import LanguageModel
from sae_core.tokenized import Windows


@dataclass(frozen=True)
class TrainingConfig:
    """How a TopK dictionary is trained.

    Attributes:
        d_sae: number of features.
        k: features active on a token.
        batch: tokens in a step.
        steps: optimizer steps.
        learning_rate: Adam's peak; warm-up over `warmup` steps, linear decay over the last fifth.
        warmup: steps of warm-up.
        pool_windows: windows whose activations are shuffled together. Memory: their tokens times
            d_in times 4 bytes. A batch mixes tokens from all over a pool; pools do not mix.
        seed: of weights, windows and shuffles.
    """

    d_sae: int = 4096
    k: int = 32
    batch: int = 2048
    steps: int = 4000
    learning_rate: float = 1.2e-3
    warmup: int = 100
    pool_windows: int = 1024
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        rise = min(1.0, (step + 1) / self.warmup)
        fall = min(1.0, (self.steps - step) / (0.2 * self.steps))
        return self.learning_rate * rise * fall


@dataclass(frozen=True)
class TrainingPoint:
    """Means over the steps since the point before.

    Attributes:
        step: steps done.
        fvu: fraction of variance unexplained on the training batches.
        dead_share: features that did not fire since the point before.
        tokens_per_second: since the point before.
    """

    step: int
    fvu: float
    dead_share: float
    tokens_per_second: float


class _Pools:
    """Shuffled activations, pool by pool; pool p depends on the seed and p alone."""

    def __init__(
        self, model: LanguageModel, hook_point: str, windows: Windows, config: TrainingConfig
    ) -> None:
        self.model, self.windows, self.config = model, windows, config
        self.hook_point = model.hook_point(hook_point)
        self.allowed = windows.of_documents(held_out=False)

    def pool(self, number: int) -> Tensor:
        """Activations of one pool in random order, [n, d_in], text tokens only."""
        draw = np.random.default_rng((self.config.seed, number))
        n = min(self.config.pool_windows, len(self.allowed))
        chosen = draw.choice(self.allowed, n, replace=False)
        parts = []
        for batch in np.array_split(chosen, max(1, len(chosen) // 64)):
            tokens, mask = self.windows.gather(batch)
            x = self.model.capture(torch.from_numpy(tokens).to(self.model.device), self.hook_point)
            parts.append(x.flatten(0, 1)[torch.from_numpy(mask.ravel()).to(x.device)].float())
        pool = torch.cat(parts)
        return pool[torch.from_numpy(draw.permutation(len(pool))).to(pool.device)]

    def batches(self, number: int) -> list[Tensor]:
        """A pool cut into whole batches."""
        size = self.config.batch
        pool = self.pool(number)
        if len(pool) < size:
            raise HarvestError(
                f"The training text has {len(pool)} tokens a pool, less than a batch of {size}."
            )
        return list(torch.split(pool[: len(pool) // size * size], size))


def _initialise(dictionary: TopKDictionary, sample: Tensor, seed: int) -> None:
    """Random unit decoder rows, the encoder their transpose, b_dec the sample's mean."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(dictionary.d_sae, dictionary.d_in, generator=draw)
    rows = functional.normalize(rows, dim=-1).to(sample.device)
    with torch.no_grad():
        dictionary.W_dec.copy_(rows)
        dictionary.W_enc.copy_(rows.T)
        dictionary.b_dec.copy_(sample.mean(dim=0))


def _reconstruct(dictionary: TopKDictionary, x: Tensor) -> tuple[Tensor, Tensor]:
    """x_hat [n, d_in] through the k chosen rows alone, and their indices [n, k]."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        pre = (x - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
    top = pre.topk(dictionary.k, dim=-1, sorted=False)
    acts = torch.relu(top.values.float())
    x_hat = functional.embedding_bag(
        top.indices, dictionary.W_dec, per_sample_weights=acts, mode="sum"
    )
    return x_hat + dictionary.b_dec, top.indices


@torch.no_grad()
def _drop_parallel_gradient(dictionary: TopKDictionary) -> None:
    """Remove the part of each decoder row's gradient that would only change its length."""
    gradient, rows = dictionary.W_dec.grad, dictionary.W_dec
    if gradient is not None:
        gradient -= (gradient * rows).sum(dim=-1, keepdim=True) * rows


def train_topk(
    model: LanguageModel,
    hook_point: str,
    windows: Windows,
    config: TrainingConfig,
    checkpoint: Path,
    on_point: Callable[[TrainingPoint], None] | None = None,
) -> tuple[TopKDictionary, list[TrainingPoint]]:
    """Train on the windows of documents that are not held out; resumes from `checkpoint`.

    A checkpoint is written after every pool, and a resumed run goes on bit for bit as the
    uninterrupted one would have.
    """
    d_in = model.hook_point(hook_point).d_in
    pools = _Pools(model, hook_point, windows, config)
    dictionary = TopKDictionary(hook_point, d_in, config.d_sae, config.k).to(model.device)
    optimizer = torch.optim.Adam(dictionary.parameters(), lr=config.learning_rate, fused=True)
    identity = [asdict(config), model.checksum, hook_point, windows.corpus.fingerprint]
    step, number, curve = 0, 0, list[TrainingPoint]()
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=model.device)
        if saved["identity"] != identity:
            raise HarvestError(f"{checkpoint} belongs to another run: remove it to start anew.")
        dictionary.load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        step, number = saved["step"], saved["pool"]
        curve = [TrainingPoint(*point) for point in saved["curve"]]
    else:
        _initialise(dictionary, pools.pool(0), config.seed)
    while step < config.steps:
        point = _train_pool(dictionary, optimizer, config, step, iter(pools.batches(number)))
        step, number = point.step, number + 1
        curve.append(point)
        if on_point is not None:
            on_point(point)
        with atomic_file(checkpoint) as draft:
            state = {
                "identity": identity,
                "weights": dictionary.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "pool": number,
                "curve": [tuple(asdict(p).values()) for p in curve],
            }
            torch.save(state, draft)
    return dictionary.requires_grad_(False).eval(), curve


def _train_pool(
    dictionary: TopKDictionary,
    optimizer: torch.optim.Adam,
    config: TrainingConfig,
    step: int,
    batches: Iterator[Tensor],
) -> TrainingPoint:
    begin, seen = time.monotonic(), 0
    error = variance = torch.zeros((), device=dictionary.b_dec.device)
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=dictionary.b_dec.device)
    for x in batches:
        if step >= config.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = config.rate_at(step)
        x_hat, chosen = _reconstruct(dictionary, x)
        residual = (x - x_hat).pow(2).sum()
        spread = (x - x.mean(dim=0)).pow(2).sum()
        torch.autograd.backward(residual / spread)
        _drop_parallel_gradient(dictionary)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            dictionary.W_dec.copy_(functional.normalize(dictionary.W_dec, dim=-1))
        fired[chosen.flatten()] = True
        error, variance = error + residual.detach(), variance + spread
        step, seen = step + 1, seen + len(x)
    rate = seen / (time.monotonic() - begin)
    dead = 1.0 - float(fired.float().mean())
    return TrainingPoint(step, float(error / variance), dead, rate)
