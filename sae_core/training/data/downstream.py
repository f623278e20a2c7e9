"""What a reconstruction does to the model's predictions, as a gradient to train on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sae_core.language_model.clean_run import CleanRun, clean_run
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import log_probabilities, wide
from sae_core.text.tokenized import Windows


@dataclass(frozen=True)
class Divergence:
    """How far predictions move.

    Attributes:
        kl: mean over the batch's tokens of KL(clean || reconstructed) of the prediction after each,
            nats/token.
        gradient: the derivative of `kl` by x_hat, [n, d_in].
    """

    kl: float
    gradient: Tensor


@dataclass(frozen=True)
class DownstreamBatch:
    """Tokens of whole contexts, to be reconstructed.

    Attributes:
        run: the undisturbed forward pass over their contexts.
        rows: their places among the run's positions, [n].
    """

    run: CleanRun
    rows: Tensor

    @property
    def x(self) -> Tensor:
        """A stream's rows at those positions, [n, width], model units, float32 (float64 where the
        model is): what is read, and beside it what a transcoder writes."""
        y = wide(self.run.x.flatten(0, 1)[self.rows])
        if self.run.read is self.run.x:
            return y
        return torch.cat([wide(self.run.read.flatten(0, 1)[self.rows]), y], dim=1)

    def divergence(self, x_hat: Tensor) -> Divergence:
        """What x_hat [n, d_out] (model units) in place of x does to the predictions.

        The model's weights are frozen; every other position keeps its own activation.
        """
        # The model from the hook point on, with x_hat at the batch's positions.
        run, model = self.run, self.run.model
        leaf = x_hat.detach().to(run.x.dtype).requires_grad_()
        with torch.enable_grad():
            if run.hook_point.attention_after:
                x = run.x.flatten(0, 1).index_copy(0, self.rows, leaf).view_as(run.x)
                hidden = run.rerun(x).flatten(0, 1)[self.rows]
            else:
                hidden = run.rerun_rows(self.rows, leaf)
            ends = hidden.detach().requires_grad_()
            clean = run.hidden.flatten(0, 1)[self.rows]
            kl = 0.0
            # Back to the final hidden states piece by piece, each with its graph: the logits of a
            # whole batch may not fit into memory.
            pieces = zip(
                log_probabilities(model, clean), log_probabilities(model, ends), strict=True
            )
            for p, q in pieces:
                part = functional.kl_div(q, p, reduction="sum", log_target=True) / len(self.rows)
                torch.autograd.backward(part)
                kl += float(part.detach())
            # And from there through the model to x_hat.
            (gradient,) = torch.autograd.grad(hidden, leaf, ends.grad)
        return Divergence(kl, gradient.to(x_hat.dtype))


class DownstreamLoss:
    """Fine-tuning on predictions: KL of the model run on from x_hat, beside the error of x_hat.

    The divergence reaches a dictionary through its reconstruction alone: d KL/d x_hat, from running
    the model on from the hook point with autograd, is added to the training loss's own gradient by
    x_hat (see `balanced`), and what is chosen sparsely is passed straight through, as ever.

    Source: Karvonen 2025, "Revisiting End-To-End Sparse Autoencoder Training: A Short Finetune Is
    All You Need" (arXiv 2503.17272): it suffices for the last few percent of a training, where both
    terms are weighted alike. There their values are; here their gradients by x_hat, which are what
    Adam sees.

    A batch is made of windows drawn at random from the training text, of which as many text tokens
    are reconstructed as a batch has; so it mixes less than the stream's batches do.
    """

    def __init__(
        self,
        model: LanguageModel,
        hook_point: str,
        windows: Windows,
        size: int,
        seed: int = 0,
        output_hook_point: str | None = None,
    ) -> None:
        """Draw batches of `size` tokens from the windows that are not held out, by the seed.

        A transcoder reads at `hook_point`; its reconstruction stands at `output_hook_point`.
        """
        self._model, self._read = model, model.hook_point(hook_point)
        self._hook_point = model.hook_point(output_hook_point or hook_point)
        self._windows, self._size, self._seed = windows, size, seed
        self._allowed = windows.of_documents(held_out=False)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of model, hook points, text, draws and batch size."""
        facts = [
            self._model.checksum,
            str(self._model.dtype),
            *dict.fromkeys((self._read.name, self._hook_point.name)),
            self._windows.corpus.fingerprint,
            f"{self._windows.n_ctx} {self._windows.bos} {self._seed} {self._size}",
        ]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def batch(self, number: int) -> DownstreamBatch:
        """Batch 0, 1, 2 and so on; the same number always gives the same batch."""
        draw = np.random.default_rng((self._seed, number, 2))
        # Windows drawn with replacement until their text suffices; the rest of it is left out.
        chosen, n = np.empty(0, dtype=np.int64), 0
        while n < self._size:
            more = -(-(self._size - n) // self._windows.n_text)
            chosen = np.concatenate([chosen, draw.choice(self._allowed, more)])
            tokens, mask = self._windows.gather(chosen)
            mask &= ~self._model.vocabulary.is_special[tokens]
            n = int(mask.sum())
        run = clean_run(
            self._model,
            torch.from_numpy(tokens).to(self._model.device),
            self._hook_point,
            read=self._read,
        )
        rows = np.flatnonzero(mask)[: self._size]
        return DownstreamBatch(run, torch.from_numpy(rows).to(run.x.device))


def balanced(own: Tensor, other: Tensor) -> Tensor:
    """own + c * other, with c such that both terms have the same norm; both of one shape."""
    norm = other.norm()
    return own + torch.where(norm > 0, own.norm() / norm, 0.0) * other
