"""The language model: load, tokenize, read an activation, run on with another in its place.

transformer_lens gives the names of hook points and knows where each architecture keeps them; a name
is resolved to a module once, and every forward pass runs on the plain Hugging Face model with
PyTorch hooks, which is faster than the bridge and held equal to it by the tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn

from sae_core.errors import HookPointError, ModelError
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.folder import ModelFolder, find_model
from sae_core.language_model.hook_point import (
    KNOWN_LAYOUTS,
    HookKind,
    HookPoint,
    Layout,
    Side,
    Site,
    attention_follows,
    parse_name,
)
from sae_core.language_model.linear_parts import fold_norm, in_out, norm_weight
from sae_core.language_model.module_hooks import Stop, answering, touching
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
        layout: where `module` keeps its parts.
        lock: held during a forward pass and as long as a hook is on the model.
    """

    def __init__(self, module: Any, folder: ModelFolder) -> None:
        config = module.config.get_text_config()
        self.name = folder.name
        self.path = folder.path
        self.facts = folder.facts
        self.architecture = type(module).__name__
        self.module = module.eval().requires_grad_(False)
        self.lock = threading.RLock()
        self.layout = KNOWN_LAYOUTS.get(self.architecture) or _layout_by_transformer_lens(module)
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
        if kind not in self.layout.sites:
            raise HookPointError(
                f"{self.name} ({self.architecture}) has no {kind}: its blocks have "
                f"{', '.join(self.layout.sites)}."
            )
        width = self.d_model
        if kind in (HookKind.POST, HookKind.Z):
            width = in_out(self.site(layer, kind)[0]).shape[0]
        if d_in is not None and d_in != width:
            raise HookPointError(
                f"The dictionary is made for activations of width {d_in}, but {name} of "
                f"{self.name} has width {width}: they do not belong together."
            )
        return HookPoint(name, layer, kind, width, attention_follows(layer, kind, self.n_layers))

    def block(self, layer: int) -> nn.Module:
        """One transformer block."""
        module: nn.Module = self._blocks[layer]
        return module

    def site(self, layer: int, kind: HookKind) -> tuple[nn.Module, Side]:
        """The module that a hook point is an end of, and which end."""
        site = self.layout.sites[kind]
        try:
            return self.block(layer).get_submodule(site.path), site.side
        except AttributeError as error:
            raise HookPointError(
                f"Block {layer} of {self.name} has no {kind}: it is built differently from others."
            ) from error

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

        module, side = self.site(hook_point.layer, hook_point.kind)
        with self.lock, touching(module, side, touch), suppress(Stop):
            own = {} if positions is None else {"position_ids": positions.to(self.device)}
            self.module.base_model(input_ids=self._checked(tokens), use_cache=False, **own)
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
        module, side = self.site(hook_point.layer, hook_point.kind)
        with self.lock, touching(module, side, seen.append):
            logits = self.logits(tokens)
        return CaptureAndLogits(seen[0], logits)

    @contextmanager
    def replaced(self, hook_point: HookPoint, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within the block every forward pass goes on with `edit(x)` in place of x [b, s, d_in].

        Other threads wait until the block is left.
        """
        module, side = self.site(hook_point.layer, hook_point.kind)

        def touch(x: Tensor) -> Tensor | None:
            if hook_point.kind is not HookKind.RESID_MID:
                return edit(x)
            # The stream itself is written, not only what the norm reads of it: the block adds the
            # very same tensor to the MLP's output.
            x.copy_(edit(x))
            return None

        with self.lock, touching(module, side, touch):
            yield

    def final_hidden(self, tokens: Tensor, past: Any = None) -> Tensor:
        """What the unembedding reads, [batch, pos, d_model], of tokens [batch, pos].

        Differentiable by what `replaced` puts in place of an activation; so is `head`. `past` is
        the library's cache of keys and values of any positions before; it grows by those of these.
        """
        caching = {"past_key_values": past} if past is not None else {}
        with self.lock:
            output = self.module.base_model(
                input_ids=self._checked(tokens), use_cache=bool(caching), **caching
            )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [n, d_vocab] of single positions' final hidden states [n, d_model].

        The model's own forward pass without its body: it scales and caps logits as that does.
        """
        body = self._output_class(last_hidden_state=hidden[None])
        with self.lock, answering(self.module.base_model, lambda *_, **__: body):
            logits: Tensor = self.module(input_ids=self._one_token, use_cache=False).logits[0]
        return logits

    @torch.no_grad()
    def write_matrix(self, hook_point: HookPoint) -> Tensor | None:
        """What carries the activation into the residual stream, [d_in, d_model].

        W_out of the MLP or W_O of attention, heads side by side; None where the activation is in
        the stream's own basis. A norm between the projection and the stream (Gemma 2) is folded in
        as the final one is (see `unembedding`); biases are no feature's and are left out.
        """
        layer, kind = hook_point.layer, hook_point.kind
        if kind not in (HookKind.POST, HookKind.Z):
            return None
        matrix = in_out(self.site(layer, kind)[0])
        added = HookKind.MLP_OUT if kind is HookKind.POST else HookKind.ATTN_OUT
        site = self.layout.sites.get(added)
        if site is None or self.layout.sites[kind].path.startswith(f"{site.path}."):
            return matrix
        return fold_norm(matrix, self.site(layer, added)[0])

    @torch.no_grad()
    def unembedding(self) -> Tensor:
        """W_U with the final norm folded in, float32 [d_model, d_vocab].

        logits = (resid / scale) @ unembedding + constant, where scale is the norm's standard
        deviation or root mean square. The norm's weight multiplies the rows; where the norm
        subtracts the mean over d_model (LayerNorm), that direction is projected out.
        """
        norm = self.module.get_submodule(self.layout.final_norm)
        weight, centres = norm_weight(norm, self.d_model)
        folded = weight[:, None] * self._unembedding_weight().float().T
        return folded - folded.mean(0, keepdim=True) if centres else folded

    @cached_property
    def centres(self) -> bool:
        """Whether its norms take the mean over d_model off the residual stream (LayerNorm)."""
        with torch.no_grad():
            return norm_weight(self.module.get_submodule(self.layout.final_norm), self.d_model)[1]

    def _unembedding_weight(self) -> Tensor:
        weight: Tensor = self.module.get_submodule(self.layout.unembedding).weight
        return weight

    @cached_property
    def _one_token(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.int64, device=self.device)

    @cached_property
    def _output_class(self) -> Callable[..., Any]:
        with torch.no_grad(), self.lock:
            return type(self.module.base_model(input_ids=self._one_token, use_cache=False))

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
    module, missing = _read_module(folder.path, DTYPES[dtype])
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
    return model


def _read_module(path: Path, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """The Hugging Face model, and the names of tensors that its files lack."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be loaded: {error}") from error
    finally:
        if shown:
            bars.enable_progress_bar()
    module, report = loaded
    return module, sorted(report["missing_keys"])


def _layout_by_transformer_lens(module: Any) -> Layout:
    """What transformer_lens' adapter says."""
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    name = type(module).__name__
    try:
        config = build_bridge_config_from_hf(module.config, name, name, module.dtype)
        components = ArchitectureAdapterFactory.select_architecture_adapter(
            config
        ).get_component_mapping()
        block = components["blocks"]
        found = {kind: _site_of_alias(block, kind) for kind in HookKind}
        return Layout(
            blocks=str(block.name),
            attention=str(block.submodules["attn"].name),
            final_norm=str(components["ln_final"].name),
            unembedding=str(components["unembed"].name),
            sites={kind: site for kind, site in found.items() if site is not None},
        )
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"transformer_lens does not know how {name} is built ({error}): Featurescope reads "
            "decoder-only models that transformer_lens supports, GPT-2 and Llama among them."
        ) from error


def _site_of_alias(block: Any, name: str) -> Site | None:
    """Follow transformer_lens' aliases from a block to the end of one of its modules."""
    component, path, rest = block, list[str](), name
    for _ in range(8):
        if rest in ("hook_in", "hook_out"):
            if component.name is None:
                return None
            return Site(".".join(path), Side.INPUT if rest == "hook_in" else Side.OUTPUT)
        head, _, tail = rest.partition(".")
        if tail and head in component.submodules:
            component, rest = component.submodules[head], tail
            path += [component.name] if component.name else []
        elif isinstance(component.hook_aliases.get(rest), str):
            rest = component.hook_aliases[rest]
        else:
            return None
    return None
