"""The harvest: one streaming pass of a corpus through model and dictionary."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.screening import Encoder, screened
from sae_core.errors import HarvestError
from sae_core.harvest.firing_log import FiringLog, LogHeader
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.packed_rows import isolates, pack
from sae_core.text.tokenized import Windows

JOINT_TOKENS = 131_072
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class HarvestPlan:
    """Which windows are harvested, in which batches.

    Attributes:
        windows: the corpus cut into windows.
        order: numbers of the harvested windows, int64 [n].
        batch_windows: windows in a batch.
        seed: what every random draw of the harvest is made from.
        packed: whether short windows share a row, which changes no figure but by rounding.
    """

    windows: Windows
    order: NDArray[np.int64]
    batch_windows: int
    seed: int
    packed: bool = False

    @property
    def n_batches(self) -> int:
        """How many batches hold all windows."""
        return -(-len(self.order) // self.batch_windows)

    @property
    def n_tokens(self) -> int:
        """Text tokens in the whole plan."""
        return int(self.windows.lengths(self.order).sum())

    def batch(self, number: int) -> NDArray[np.int64]:
        """Numbers of the windows in a batch."""
        return self.order[number * self.batch_windows : (number + 1) * self.batch_windows]

    def header(self, model: LanguageModel, dictionary: Dictionary, checksum: str) -> LogHeader:
        """The header of a log of this plan; `checksum` is the dictionary's."""
        facts = [
            model.checksum,
            str(model.dtype),
            checksum,
            dictionary.hook_point,
            self.windows.corpus.fingerprint,
            hashlib.sha256(self.order.tobytes()).hexdigest(),
            f"{self.batch_windows} {self.windows.n_ctx} {self.windows.bos} {self.seed}",
        ]
        if self.packed:
            facts.append("packed")
        return LogHeader(
            identity=hashlib.sha256("\n".join(facts).encode()).hexdigest(),
            d_sae=dictionary.d_sae,
            n_ctx=self.windows.n_ctx,
            seed=self.seed,
            joint_share=min(1.0, JOINT_TOKENS / max(1, self.n_tokens)),
        )


def plan_harvest(
    windows: Windows,
    n_tokens: int | None,
    seed: int = 0,
    batch_windows: int = 64,
    packed: bool = False,
) -> HarvestPlan:
    """A plan over windows drawn at random from the whole corpus.

    Args:
        windows: the corpus cut into windows.
        n_tokens: text tokens to harvest, rounded up to whole windows; None: all.
        seed: what every random draw of the harvest is made from.
        batch_windows: windows in a batch.
        packed: whether short windows share a row.

    Raises:
        HarvestError: no tokens are asked for, or the corpus has none.
    """
    if n_tokens is not None and n_tokens < 1:
        raise HarvestError(f"A harvest of {n_tokens} tokens finds nothing: ask for 1 or more.")
    order = windows.select(n_tokens, seed)
    if not len(order):
        raise HarvestError("The corpus holds no text to harvest.")
    return HarvestPlan(windows, order, batch_windows, seed, packed)


@dataclass(frozen=True)
class HarvestProgress:
    """How far a harvest has come.

    Attributes:
        done: text tokens harvested, those of an earlier, killed run included.
        total: text tokens planned.
        rate: tokens per second since this run began.
    """

    done: int
    total: int
    rate: float

    @property
    def eta_seconds(self) -> float:
        """Seconds left at this rate."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


def run_harvest(
    model: LanguageModel,
    dictionary: Dictionary,
    plan: HarvestPlan,
    log: FiringLog,
    batches: range | None = None,
    on_progress: Callable[[HarvestProgress], None] | None = None,
) -> None:
    """Harvest the plan's batches (or `batches` of them) that the log does not hold yet.

    A killed harvest loses the batches since the last run of the log, which is written when it is
    full and every `CHECKPOINT_SECONDS`. Where runs are cut changes nothing of the result.

    Raises:
        HarvestError: the plan packs windows, which this model does not keep apart.
    """
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    if plan.packed and not isolates(model, hook_point):
        raise HarvestError(
            f"Windows cannot share a row of {model.name}: {model.architecture} lets them see each "
            "other. Leave --packing isolated out."
        )
    encoder = screened(dictionary)
    wanted = range(plan.n_batches) if batches is None else batches
    done = log.batches_done
    todo = [b for b in wanted if b not in done]
    total = int(sum(plan.windows.lengths(plan.batch(b)).sum() for b in wanted))
    finished = log.n_tokens
    begin, begun_at = time.monotonic(), finished
    last, kept = None, begin
    for number in todo:
        # A run holds consecutive batches, and is written often enough to lose little.
        if last is not None and (
            number != last + 1 or time.monotonic() - kept > CHECKPOINT_SECONDS
        ):
            log.flush(last + 1)
            kept = time.monotonic()
        finished += harvest_batch(model, encoder, hook_point, plan, log, number)
        last = number
        rate = (finished - begun_at) / (time.monotonic() - begin)
        if on_progress is not None:
            on_progress(HarvestProgress(finished, total, rate))
    if last is not None:
        log.flush(last + 1)


@torch.inference_mode()
def harvest_batch(
    model: LanguageModel,
    encoder: Encoder,
    hook_point: HookPoint,
    plan: HarvestPlan,
    log: FiringLog,
    number: int,
) -> int:
    """Harvest one batch; returns its text tokens. Special tokens are not even encoded."""
    # `text` are the positions of the batch, flattened, that hold text.
    numbers = plan.batch(number)
    tokens, mask = plan.windows.gather(numbers)
    mask &= ~model.vocabulary.is_special[tokens]
    text = np.flatnonzero(mask)
    if plan.packed:
        # Several windows in a row: `places` is where each text position went.
        lead = plan.windows.n_ctx - plan.windows.n_text
        rows = pack(tokens, lead + plan.windows.lengths(numbers))
        places, positions = rows.places.ravel()[text], torch.from_numpy(rows.positions)
        x = model.capture(torch.from_numpy(rows.tokens), hook_point, positions)
    else:
        places = text
        x = model.capture(torch.from_numpy(tokens).to(model.device), hook_point)
    firings = encoder.encode_sparse(x.flatten(0, 1)[torch.from_numpy(places).to(x.device)])
    log.append(
        batch=number,
        windows=numbers,
        n_tokens=len(text),
        slots=text[firings.rows.cpu().numpy()],
        features=firings.features.cpu().numpy(),
        values=firings.values.cpu().numpy(),
    )
    return len(text)
