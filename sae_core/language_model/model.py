"""The language model: load, tokenize, read an activation, run on with another in its place.

transformer_lens gives the names of hook points and knows where each architecture keeps them; a name
is resolved to a module once, and every forward pass runs on the plain Hugging Face model with
PyTorch hooks, which is faster than the bridge and held equal to it by the tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from sae_core.errors import HookPointError, ModelError
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.examination import Examination, added_by, examine
from sae_core.language_model.folder import ModelFolder, find_model
from sae_core.language_model.hook_point import (
    HookKind,
    HookPoint,
    Side,
    attention_follows,
    parse_name,
)
from sae_core.language_model.layouts import layout_of
from sae_core.language_model.linear_parts import fold_norm, in_out, norm_weight
from sae_core.language_model.loading import read_module
from sae_core.language_model.module_hooks import (
    Stop,
    Touch,
    answering,
    keep,
    touching,
    unflattened,
    watching,
)
from sae_core.language_model.vocabulary import Vocabulary, read_vocabulary

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class CaptureAndLogits(NamedTuple):
    """What `LanguageModel.capture_and_logits` returns.

    Attributes:
        x: activation at the hook point, [batch, pos, d_in].
        logits: [batch, pos, d_vocab].
    """

    x: Tensor
    logits: Tensor


class LanguageModel:
    """A transformer that predicts tokens, in evaluation mode, without gradients.

    Tensors come back in the model's dtype and on its device. Shorter contexts of a batch are padded
    at the end, where attention never looks. Any thread may call; one forward pass runs at a time.

    Attributes:
        name: the folder's name, or the model's name on the Hub.
        path: the folder.
        facts: which repository and commit of the Hub it is; empty for a folder of the user's.
        architecture: the class in the `transformers` library, such as "GPT2LMHeadModel".
        n_layers: blocks.
        d_model: width of the residual stream.
        n_ctx: positions in the longest context.
        d_vocab: width of the logits.
        tokenizer: as in tokenizer.json.
        vocabulary: what each token stands for; its `bos` opens every text here.
        bos: the token that can open a text, or None; `vocabulary.bos`, except where `opening` says
            that texts are read without it.
        own_opening: whether the model's own tokenizer puts that token before plain text.
        eos: the token that ends a text, or None.
        module: the Hugging Face model.
        body: the part of it that makes the final hidden states, which its head reads.
        layout: where `module` keeps its parts.
        lock: held during a forward pass and as long as a hook is on the model.
        examination: which hook points hold what they promise; `load_model` finds out.
    """

    def __init__(self, module: Any, folder: ModelFolder) -> None:
        config = module.config.get_text_config()
        self.name = folder.name
        self.path = folder.path
        self.facts = folder.facts
        self.architecture = type(module).__name__
        self.module = module.eval().requires_grad_(False)
        self.lock = threading.RLock()
        self.layout = layout_of(module)
        self.examination = Examination()
        self._blocks: Any = module.get_submodule(self.layout.blocks)
        self.n_layers = len(self._blocks)
        self.d_model = int(config.hidden_size)
        self.n_ctx = folder.n_ctx(config)
        self.d_vocab = int(self._unembedding_weight().shape[0])
        self.tokenizer: Tokenizer = folder.tokenizer(self.d_vocab)
        self.bos = folder.bos(self.tokenizer, self.d_vocab)
        self.own_opening = folder.opens_with(self.tokenizer, self.bos)
        self.eos = folder.eos(self.tokenizer, self.d_vocab)
        self.vocabulary: Vocabulary = read_vocabulary(self.tokenizer, self.d_vocab, self.bos)
        self._other_opening: LanguageModel | None = None
        self.body: Any = self._find_body()

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

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self._unembedding_weight().device

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return self._unembedding_weight().dtype

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the files that decide what the model computes."""
        return folder_checksum(self.path)

    def hook_point(self, name: str, d_in: int | None = None) -> HookPoint:
        """The hook point of that name.

        Raises:
            HookPointError: the model has none such, or its activation is not `d_in` wide.
        """
        layer, kind = parse_name(name, self.n_layers)
        if self.layout.site(kind) is None:
            raise HookPointError(
                f"{self.name} ({self.architecture}) has no {kind}: its blocks have "
                f"{', '.join(self.layout.sites)}."
            )
        if (fault := self._fault(layer, kind)) is not None:
            others = ", ".join(self.kinds(layer))
            raise HookPointError(f"{fault} Block {layer} has {others or 'no hook point'}.")
        width = self.width(layer, kind)
        if d_in is not None and d_in != width:
            raise HookPointError(
                f"The dictionary is made for activations of width {d_in}, but {name} of "
                f"{self.name} has width {width}: they do not belong together."
            )
        return HookPoint(name, layer, kind, width, attention_follows(layer, kind, self.n_layers))

    def usual_name(self, name: str) -> str:
        """A hook point's usual name: a module's output is often what is added to the stream."""
        layer, kind = parse_name(name, self.n_layers)
        added = added_by(kind)
        same = added is not None and kind not in self.layout.sites
        if same and added is not None and self.layout.site(kind) == self.layout.sites.get(added):
            return f"blocks.{layer}.{added}"
        return name

    def kinds(self, layer: int) -> list[HookKind]:
        """The kinds of hook points of a block that can be used."""
        return [kind for kind in self.layout.sites if self._fault(layer, kind) is None]

    def _fault(self, layer: int, kind: HookKind) -> str | None:
        """Why a hook point cannot be used; the output of a module under either of its names."""
        faults = self.examination.faults
        if kind not in self.layout.sites and (added := added_by(kind)) is not None:
            return faults.get((layer, added))
        return faults.get((layer, kind))

    def width(self, layer: int, kind: HookKind) -> int:
        """Entries of the activation at a hook point.

        Raises:
            HookPointError: it is not said by one matrix that reads them.
        """
        if kind not in (HookKind.POST, HookKind.Z):
            return self.d_model
        weight = getattr(self.site(layer, kind)[0], "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() != 2:
            raise HookPointError(
                f"blocks.{layer}.{kind} of {self.name} ({self.architecture}) cannot be used: no "
                "single matrix reads it, as where many experts take turns."
            )
        return int(in_out(self.site(layer, kind)[0]).shape[0])

    def block(self, layer: int) -> nn.Module:
        """One transformer block."""
        module: nn.Module = self._blocks[layer]
        return module

    def site(self, layer: int, kind: HookKind) -> tuple[nn.Module, Side]:
        """The module that a hook point is an end of, and which end."""
        site = self.layout.site(kind)
        if site is None:
            raise HookPointError(f"{self.name} ({self.architecture}) has no {kind}.")
        try:
            return self.block(layer).get_submodule(site.path), site.side
        except AttributeError as error:
            raise HookPointError(
                f"Block {layer} of {self.name} has no {kind}: it is built differently from others."
            ) from error

    @contextmanager
    def touching(self, layer: int, kind: HookKind, touch: Touch) -> Iterator[None]:
        """Within the block every forward pass shows `touch` the tensor at a hook point.

        It is [batch, pos, width] there, and what `touch` returns takes its place. Whoever uses
        this holds the model's lock.
        """
        module, side = self.site(layer, kind)
        with ExitStack() as stack:
            if (layer, kind) in self.examination.flat:
                sizes: list[int] = []

                def note(x: Tensor) -> None:
                    sizes[:] = x.shape[:2]

                stack.enter_context(touching(self.block(layer), Side.INPUT, note))
                touch = unflattened(touch, sizes)
            stack.enter_context(touching(module, side, touch))
            yield

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
        seen: list[Tensor] = []

        def touch(x: Tensor) -> None:
            seen.append(x)
            raise Stop

        here = self.touching(hook_point.layer, hook_point.kind, touch)
        with self.lock, here, suppress(Stop):
            own = {} if positions is None else {"position_ids": positions.to(self.device)}
            self.body(input_ids=self._checked(tokens), use_cache=False, **own)
        return seen[0]

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits [batch, pos, d_vocab] of tokens [batch, pos]."""
        with self.lock:
            output = self.module(input_ids=self._checked(tokens), use_cache=False)
        logits: Tensor = output.logits
        return logits

    @torch.no_grad()
    def capture_and_logits(self, tokens: Tensor, hook_point: HookPoint) -> CaptureAndLogits:
        """Activation and logits from one forward pass over tokens [batch, pos]."""
        seen: list[Tensor] = []
        with self.lock, self.touching(hook_point.layer, hook_point.kind, keep(seen)):
            logits = self.logits(tokens)
        return CaptureAndLogits(seen[0], logits)

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

    def norm_behind(self, layer: int, kind: HookKind) -> nn.Module | None:
        """The norm that what a hook point adds goes through before the stream; None: none.

        Where what is added is the projection's, or its module's, own output, there is none.
        """
        added = added_by(kind)
        if added is None or added is kind or added not in self.layout.sites:
            return None
        path, own = self.layout.sites[added].path, self.layout.site(kind)
        if own is None or own.path == path or own.path.startswith(f"{path}."):
            return None
        module = self.site(layer, added)[0]
        # A norm has a weight for each entry at most; anything else is no norm.
        shapes = {tuple(parameter.shape) for parameter in module.parameters()}
        return module if shapes <= {(self.d_model,), (1,)} else None

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

    @cached_property
    def centres(self) -> bool:
        """Whether its norms take the mean over d_model off the residual stream (LayerNorm)."""
        with torch.no_grad():
            return norm_weight(self.final_norm, self.d_model)[1]

    @cached_property
    def final_norm(self) -> nn.Module:
        """The norm before the unembedding; one that changes nothing where there is none (OPT)."""
        path = self.layout.final_norm
        parent, _, name = path.rpartition(".")
        if path and getattr(self.module.get_submodule(parent), name, None) is not None:
            return self.module.get_submodule(path)
        return nn.Identity()

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

    def _find_body(self) -> Any:
        """The part of the library's model that makes final hidden states, which its head reads.

        As a rule its base model; where the forward pass goes past that (OPT), what lies below.
        """
        names = self.layout.blocks.split(".")[:-1]
        parts = [self.module.get_submodule(".".join(names[: n + 1])) for n in range(len(names))]
        called: list[nn.Module] = []
        with torch.no_grad(), self.lock, ExitStack() as stack:
            for part in parts:
                stack.enter_context(watching(part, partial(_note_body, called, part)))
            self.module(input_ids=self._one_token, use_cache=False)
        return next((part for part in parts if part in called), self.module.base_model)

    def _unembedding_weight(self) -> Tensor:
        weight: Tensor = self.module.get_submodule(self.layout.unembedding).weight
        return weight

    @cached_property
    def _one_token(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.int64, device=self.device)

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


def _note_body(called: list[nn.Module], part: nn.Module, output: Any) -> None:
    if isinstance(getattr(output, "last_hidden_state", None), Tensor):
        called.append(part)


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
