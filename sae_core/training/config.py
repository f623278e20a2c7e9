"""How a dictionary is trained, as a value: the same configuration trains the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sae_core.errors import TrainingError

HEAVIEST = 1e12
"""The largest weight of a penalty: the square of such a gradient still fits into float32."""
LAST_SEED = 2**31 - 1


class Normalisation(StrEnum):
    """What is done to activations before training; folded into the weights at the end.

    `MEAN_NORM` divides by one fixed number, so that the mean squared norm is d_in (SAELens'
    `expected_average_only_in` does so for the mean norm and sqrt(d_in)); `MEAN_AND_NORM` subtracts
    the mean first.
    """

    NONE = "none"
    MEAN_NORM = "mean-norm"
    MEAN_AND_NORM = "mean-and-norm"


@dataclass(frozen=True)
class TrainingConfig:
    """How one dictionary is trained.

    Attributes:
        architecture: a key of `sae_core.training.methods.methods()`.
        d_sae: number of features; of a cross-layer transcoder, of each block.
        l0: features active on a token, of a cross-layer transcoder in each block: k where the
            architecture has one (a mean over the batch
            for the BatchTopK kinds), else what the penalty's weight is steered to reach.
        penalty: a fixed weight of the sparsity penalty instead of `l0`; None: steered to `l0`.
        tokens: training tokens; the last step is a whole batch.
        batch: tokens in a step; 2 or more.
        learning_rate: Adam's peak learning rate; None: the architecture's default for this d_sae.
        warmup: share of the steps over which the learning rate rises.
        decay: share of the steps at the end over which it falls to 0, linearly.
        sparsity_warmup: share of the steps over which the penalty's weight rises.
        normalisation: what is done to the activations before training.
        dead_after: tokens without a firing after which a feature counts as dead.
        downstream: share of the steps, at the end, whose loss adds the divergence of the
            predictions (KL) to the reconstruction's; 0: none.
        precision: `bfloat16` lets a step find the entries that matter in bfloat16 where that is
            faster; `float32` never does.
        seed: what initial weights, the order of the text and its shuffles are made from.
    """

    architecture: str = "topk"
    d_sae: int = 4096
    l0: float | None = 32
    penalty: float | None = None
    tokens: int = 5_000_000
    batch: int = 2048
    learning_rate: float | None = None
    warmup: float = 0.02
    decay: float = 0.2
    sparsity_warmup: float = 0.05
    normalisation: Normalisation = Normalisation.MEAN_NORM
    dead_after: int = 500_000
    downstream: float = 0.0
    precision: str = "bfloat16"
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.l0 is None) == (self.penalty is None):
            raise TrainingError("Give either the L0 to reach or the penalty's weight, not both.")
        if self.l0 is not None and not 0 < self.l0 <= self.d_sae:
            raise TrainingError(
                f"An L0 of {self.l0:g} does not fit a dictionary of {self.d_sae} features."
            )
        if self.penalty is not None and not 0 <= self.penalty <= HEAVIEST:
            raise TrainingError(
                f"The penalty is {self.penalty:g}: give a weight from 0 to {HEAVIEST:g}."
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise TrainingError(f"The learning rate is {self.learning_rate:g}: give one above 0.")
        for name in ("d_sae", "tokens", "dead_after"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}: give a positive number.")
        if self.batch < 2:
            raise TrainingError(
                f"A batch of {self.batch} has no variance to explain: give at least 2 tokens."
            )
        if not 0 <= self.seed <= LAST_SEED:
            raise TrainingError(
                f"A seed is a whole number from 0 to {LAST_SEED}, not {self.seed}: give another."
            )
        for name in ("warmup", "decay", "sparsity_warmup", "downstream"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} is {getattr(self, name):g}: give a share from 0 to 1.")
        if self.precision not in ("bfloat16", "float32"):
            raise TrainingError(f"Precision {self.precision!r}: give bfloat16 or float32.")

    @property
    def steps(self) -> int:
        """Optimizer steps: `tokens` in whole batches, rounded up."""
        return -(-self.tokens // self.batch)


@dataclass(frozen=True)
class TrainingPoint:
    """A point of the curves: means over the steps since the point before.

    Attributes:
        step: steps done.
        tokens: tokens seen.
        loss: the architecture's own training loss.
        l0: mean number of active features on a token.
        fvu: fraction of variance unexplained, on training batches.
        dead_share: features that have not fired for `dead_after` tokens, at this point.
        penalty: weight of the sparsity penalty at this point; 0 where there is none.
        tokens_per_second: since the point before, activations included.
    """

    step: int
    tokens: int
    loss: float
    l0: float
    fvu: float
    dead_share: float
    penalty: float
    tokens_per_second: float
