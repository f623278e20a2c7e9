"""Where one loaded model has its parts: blocks, hook points, norms, its body."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from sae_core.errors import HookPointError
from sae_core.language_model.architecture.findings import Examination, added_by
from sae_core.language_model.architecture.layouts import layout_of
from sae_core.language_model.hook_point import (
    READ_ONLY,
    HookKind,
    HookPoint,
    Side,
    attention_follows,
    parse_name,
)
from sae_core.language_model.linear_parts import in_out, norm_weight, normalised
from sae_core.language_model.module_hooks import Touch, touching, unflattened, watching


class Anatomy:
    """A Hugging Face model whose parts go by the names of hook points.

    Attributes:
        name: what the model is called in sentences.
        architecture: its class in the `transformers` library, such as "GPT2LMHeadModel".
        n_layers: blocks.
        d_model: width of the residual stream.
        module: the Hugging Face model.
        body: the part of it that makes the final hidden states, which its head reads.
        layout: where `module` keeps its parts.
        lock: held during a forward pass and as long as a hook is on the model.
        examination: which hook points hold what they promise; `load_model` finds out.
    """

    def __init__(self, module: Any, name: str) -> None:
        self.name = name
        self.architecture = type(module).__name__
        self.module = module.eval().requires_grad_(False)
        self.lock = threading.RLock()
        self.layout = layout_of(module)
        self.examination = Examination()
        self._blocks: Any = module.get_submodule(self.layout.blocks)
        self.n_layers = len(self._blocks)
        self.d_model = int(module.config.get_text_config().hidden_size)
        self.body: Any = self._find_body()

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self._unembedding_weight().device

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return self._unembedding_weight().dtype

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

    def write_point(self, name: str, d_out: int | None = None) -> HookPoint:
        """The hook point of that name, at which an activation is replaced.

        Raises:
            HookPointError: as `hook_point`; or activations are only read there.
        """
        point = self.hook_point(name, d_out)
        if point.kind in READ_ONLY:
            others = ", ".join(self.kinds(point.layer))
            raise HookPointError(
                f"{name} is what the MLP reads: a dictionary can read there, but has to write "
                f"elsewhere, as a transcoder does. Block {point.layer} has {others}."
            )
        return point

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

    def touching(self, layer: int, kind: HookKind, touch: Touch) -> AbstractContextManager[None]:
        """Within the block every forward pass shows `touch` the tensor at a hook point.

        It is [batch, pos, width] there, and what `touch` returns takes its place. Whoever uses
        this holds the model's lock.
        """
        module, side = self.site(layer, kind)
        if kind is HookKind.NORMALIZED:
            touch = self._seen_normalised(module, touch)
        if (layer, kind) in self.examination.flat:
            return self._touching_flat(layer, module, side, touch)
        return touching(module, side, touch)

    @contextmanager
    def _touching_flat(
        self, layer: int, module: nn.Module, side: Side, touch: Touch
    ) -> Iterator[None]:
        """The same where the model has [batch * pos, width]."""
        sizes: list[int] = []

        def note(x: Tensor) -> None:
            sizes[:] = x.shape[:2]

        with (
            touching(self.block(layer), Side.INPUT, note),
            touching(module, side, unflattened(touch, sizes)),
        ):
            yield

    def _seen_normalised(self, norm: nn.Module, touch: Touch) -> Touch:
        def see(x: Tensor) -> None:
            touch(normalised(x, norm, self.centres))

        return see

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
            norm: nn.Module = self.module.get_submodule(path)
            return norm
        return nn.Identity()

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


def _note_body(called: list[nn.Module], part: nn.Module, output: Any) -> None:
    if isinstance(getattr(output, "last_hidden_state", None), Tensor):
        called.append(part)
