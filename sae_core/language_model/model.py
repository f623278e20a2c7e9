"""The language model: load, tokenize, read an activation, run on with another in its place.

transformer_lens gives the names of hook points and knows where each architecture keeps them; a name
is resolved to a module once, and every forward pass runs on the plain Hugging Face model with
PyTorch hooks, which is faster than the bridge and held equal to it by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from typing_extensions import override

from sae_core.errors import ModelError
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.architecture.examination import Examinable, examine
from sae_core.language_model.architecture.findings import added_by
from sae_core.language_model.folder import ModelFolder, find_model
from sae_core.language_model.hook_point import (
    HookKind,
    HookPoint,
)
from sae_core.language_model.linear_parts import fold_norm, in_out, norm_weight
from sae_core.language_model.loading import read_module
from sae_core.language_model.module_hooks import (
    Stop,
    answering,
)
from sae_core.language_model.vocabulary import Vocabulary, read_vocabulary

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class LanguageModel(Examinable):
    """A transformer that predicts tokens, in evaluation mode, without gradients.

    Tensors come back in the model's dtype and on its device. Shorter contexts of a batch are padded
    at the end, where attention never looks. Any thread may call; one forward pass runs at a time.

    Attributes, besides those of `Anatomy`:
        name: the folder's name, or the model's name on the Hub.
        path: the folder.
        facts: as the folder's: where it came from; empty for a folder of the user's.
        n_ctx: positions in the longest context.
        d_vocab: width of the logits.
        tokenizer: as in tokenizer.json.
        vocabulary: what each token stands for; its `bos` opens every text here.
        bos: the token that can open a text, or None; `vocabulary.bos`, except where `opening` says
            that texts are read without it.
        own_opening: whether the model's own tokenizer puts that token before plain text.
        eos: the token that ends a text, or None.
    """

    def __init__(self, module: Any, folder: ModelFolder) -> None:
        super().__init__(module, folder.name)
        self.path = folder.path
        self.facts = folder.facts
        self.n_ctx = folder.n_ctx(module.config.get_text_config())
        self.d_vocab = int(self._unembedding_weight().shape[0])
        self.tokenizer: Tokenizer = folder.tokenizer(self.d_vocab)
        self.bos = folder.bos(self.tokenizer, self.d_vocab)
        self.own_opening = folder.opens_with(self.tokenizer, self.bos)
        self.eos = folder.eos(self.tokenizer, self.d_vocab)
        self.vocabulary: Vocabulary = read_vocabulary(self.tokenizer, self.d_vocab, self.bos)
        self._other_opening: LanguageModel | None = None

    def opening(self, prepend_bos: bool) -> LanguageModel:
        """This very model as one that reads texts with BOS before them, or without.

        Both share weights, hooks and lock.
        """
        if prepend_bos == (self.vocabulary.bos is not None) or self.bos is None:
            return self
        if self._other_opening is None:
            other = copy(self)
            other.vocabulary = replace(self.vocabulary, bos=self.bos if prepend_bos else None)
            self._other_opening, other._other_opening = other, self
        return self._other_opening

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the files that decide what the model computes."""
        return folder_checksum(self.path)

    @override
    @torch.no_grad()
    def capture(
        self, tokens: Tensor, hook_point: HookPoint, positions: Tensor | None = None
    ) -> Tensor:
        """The activation at a hook point; nothing behind it is computed.

        Args:
            tokens: [batch, pos].
            hook_point: one of this model.
            positions: of each token, [batch, pos], where they begin anew (`packed_rows`).

        Returns: x [batch, pos, d_in], attention heads side by side.
        """
        return self.capture_each(tokens, (hook_point,), positions)[0]

    @torch.no_grad()
    def capture_each(
        self, tokens: Tensor, hook_points: Sequence[HookPoint], positions: Tensor | None = None
    ) -> list[Tensor]:
        """As `capture`, at several hook points in one forward pass, which ends at the last."""
        seen: dict[HookPoint, Tensor] = {}

        def keep(hook_point: HookPoint, x: Tensor) -> None:
            if len(seen) + 1 < len(hook_points):
                x = x.clone()  # the model may change the very tensor later on (Falcon does)
            seen[hook_point] = x
            if len(seen) == len(hook_points):
                raise Stop

        with self.lock, ExitStack() as stack, suppress(Stop):
            for point in hook_points:
                touch = partial(keep, point)
                stack.enter_context(self.touching(point.layer, point.kind, touch))
            own = {} if positions is None else {"position_ids": positions.to(self.device)}
            self.body(input_ids=self._checked(tokens), use_cache=False, **own)
        return [seen[point] for point in hook_points]

    @override
    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits [batch, pos, d_vocab] of tokens [batch, pos]."""
        with self.lock:
            output = self.module(input_ids=self._checked(tokens), use_cache=False)
        logits: Tensor = output.logits
        return logits

    @override
    @contextmanager
    def replaced(self, hook_point: HookPoint, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within the block every forward pass goes on with `edit(x)` in place of x [b, s, d_in].

        Other threads wait until the block is left.
        """

        def touch(x: Tensor) -> Tensor | None:
            if hook_point.kind is not HookKind.RESID_MID:
                # A copy: the model may change it, and it may be somebody's yet (Falcon).
                return edit(x).clone()
            # The stream itself is written, not only what the norm reads of it: the block adds the
            # very same tensor to the MLP's output.
            x.copy_(edit(x))
            return None

        with self.lock, self.touching(hook_point.layer, hook_point.kind, touch):
            yield

    @override
    def final_hidden(self, tokens: Tensor, past: Any = None) -> Tensor:
        """What the unembedding reads, [batch, pos, d_model], of tokens [batch, pos].

        Differentiable by what `replaced` puts in place of an activation; so is `head`. `past` is
        the library's cache of keys and values of any positions before; it grows by those of these.
        """
        caching = {"past_key_values": past} if past is not None else {}
        with self.lock:
            output = self.body(input_ids=self._checked(tokens), use_cache=bool(caching), **caching)
        hidden: Tensor = output.last_hidden_state
        return hidden

    @override
    def head(self, hidden: Tensor) -> Tensor:
        """Logits [n, d_vocab] of single positions' final hidden states [n, d_model].

        The model's own forward pass without its body: it scales and caps logits as that does.
        """
        body = self._output_class(last_hidden_state=hidden[None])
        with self.lock, answering(self.body, lambda *_, **__: body):
            logits: Tensor = self.module(input_ids=self._one_token, use_cache=False).logits[0]
        return logits

    @torch.no_grad()
    def write_matrix(self, hook_point: HookPoint) -> Tensor | None:
        """What carries the activation into the residual stream, [d_in, d_model].

        W_out of the MLP or W_O of attention, heads side by side; None where the activation is in
        the stream's own basis. A norm between the projection and the stream (Gemma 2) is folded in
        as the final one is (see `unembedding`), and so is a number that the block multiplies by
        what it adds (Granite); biases are no feature's and are left out.
        """
        layer, kind = hook_point.layer, hook_point.kind
        if (added := added_by(kind)) is None:
            return None
        matrix: Tensor | None = None
        if kind in (HookKind.POST, HookKind.Z):
            matrix = in_out(self.site(layer, kind)[0])
        norm = self.norm_behind(layer, kind)
        scale = self.examination.scales.get((layer, added), 1.0)
        if matrix is None and (norm is not None or scale != 1.0):
            matrix = torch.eye(self.d_model, device=self.device)
        if norm is not None and matrix is not None:
            matrix = fold_norm(matrix, norm)
        return matrix if matrix is None or scale == 1.0 else scale * matrix

    @torch.no_grad()
    def unembedding(self) -> Tensor:
        """W_U with the final norm folded in, float32 [d_model, d_vocab].

        logits = (resid / scale) @ unembedding + constant, where scale is the norm's standard
        deviation or root mean square. The norm's weight multiplies the rows; where the norm
        subtracts the mean over d_model (LayerNorm), that direction is projected out. A number that
        the model multiplies by its logits (Cohere, Granite) is in it; a soft cap is not.
        """
        weight, centres = norm_weight(self.final_norm, self.d_model)
        folded = weight[:, None] * self._unembedding_weight().float().T * self._logit_scale
        return folded - folded.mean(0, keepdim=True) if centres else folded

    @torch.no_grad()
    def logit_directions(self, tokens: Tensor) -> Tensor:
        """What some logits, less the mean of all, are of final hidden states, [n, d_model].

        Tokens are ids [n]. A number that the model multiplies by its logits is in it; a bias of the
        unembedding and a soft cap are not.
        """
        weight = self._unembedding_weight()
        return (weight[tokens] - weight.mean(dim=0)) * self._logit_scale

    @cached_property
    def _logit_scale(self) -> float:
        """By how much the model multiplies what its unembedding gives, far below any soft cap."""
        draw = torch.Generator().manual_seed(0)
        hidden = 1e-2 * torch.randn(1, self.d_model, generator=draw)
        hidden = hidden.to(self.device, self.dtype)
        with torch.no_grad():
            given = (self.head(hidden) - self.head(torch.zeros_like(hidden))).double()[0]
            plain = self._unembedding_weight().double() @ hidden.double()[0]
        scale = float(given @ plain / (plain @ plain))
        exact = self.dtype in (torch.float32, torch.float64)
        return 1.0 if abs(scale - 1.0) < (1e-3 if exact else 0.02) else scale

    @cached_property
    def _output_class(self) -> Callable[..., Any]:
        with torch.no_grad(), self.lock:
            return type(self.body(input_ids=self._one_token, use_cache=False))

    def _checked(self, tokens: Tensor) -> Tensor:
        if tokens.shape[-1] > self.n_ctx:
            raise ModelError(
                f"A context of {tokens.shape[-1]} tokens is longer than the {self.n_ctx} positions "
                f"of {self.name}: shorten it."
            )
        tokens = tokens.to(self.device, torch.int64)
        if tokens.numel():
            low, high = (int(bound) for bound in tokens.aminmax())
            if low < 0 or high >= self.d_vocab:
                raise ModelError(
                    f"Token {low if low < 0 else high} is not in the vocabulary of {self.name}, "
                    f"which has {self.d_vocab} tokens: was the text tokenized for another model?"
                )
        return tokens


def load_model(
    name: str | Path, dtype: str = "float32", device: str = "cpu", revision: str | None = None
) -> LanguageModel:
    """Load a Hugging Face folder, or a model of that name from the Hub at a revision.

    Only safetensors are opened, no code of the model's is run, no local folder needs a network.

    Raises:
        ModelError: the model is not there, is damaged, or is none that can be used.
    """
    if dtype not in DTYPES:
        raise ModelError(f"{dtype!r} is no dtype for a model: choose one of {', '.join(DTYPES)}.")
    folder = find_model(name, revision)
    module, missing = read_module(folder.path, DTYPES[dtype])
    if missing:
        raise ModelError(
            f"The weights in {folder.path} lack {len(missing)} tensors that config.json asks for, "
            f"{missing[0]} among them: copy the folder again."
        )
    try:
        model = LanguageModel(module.to(device), folder)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The model cannot be put on device {device!r}: {error}") from error
    hidden = model.final_hidden(torch.tensor([[0, 0], [0, 1]]))[:, 0]
    if not torch.allclose(hidden[0], hidden[1], rtol=1e-3, atol=1e-3):
        raise ModelError(
            f"{folder.path} looks at later tokens when it reads one ({model.architecture}): "
            "Featurescope needs a model that predicts the next token."
        )
    examine(model)
    return model
