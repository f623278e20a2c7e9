"""Whether a model does at its hook points what all else relies on; asked once, when it is loaded.

Architectures differ in what they do between their parts, and what is said of where those lie may be
wrong. So a few tokens go through the model, and each hook point has to show that

1. its activation is there, in every block, as [batch, pos, width];
2. reading it alone gives what a whole forward pass has there;
3. blocks follow one another, and the stream is the sum of what is added to it;
4. a change of it arrives where the write matrix says, in one block of each build.

One that fails is not offered, and asked for, the sentence says why; the rest of the model works.
That a model's own logits are those of its final hidden states is needed everywhere: a model that
fails this is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress

import torch
from torch import Tensor, nn

from sae_core.errors import HookPointError, ModelError
from sae_core.language_model.architecture.anatomy import Anatomy
from sae_core.language_model.architecture.findings import WRITES_AS, Place
from sae_core.language_model.hook_point import READ_ONLY, HookKind, HookPoint, Side
from sae_core.language_model.linear_parts import in_out, norm_weight
from sae_core.language_model.module_hooks import Stop, first, keep, touching

_SMALL = 100_000_000  # parameters: up to here the last block is tried as well
_HEADS, _NEURONS = HookKind.Z, HookKind.POST
_FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)


class Examinable(Anatomy, ABC):
    """A model whose forward passes can be held to each other.

    Attributes, besides those of `Anatomy`:
        n_ctx: positions in the longest context.
        d_vocab: width of the logits.
    """

    n_ctx: int
    d_vocab: int

    @abstractmethod
    def capture(self, tokens: Tensor, hook_point: HookPoint) -> Tensor:
        """The activation at a hook point, [batch, pos, d_in], of tokens [batch, pos]."""

    @abstractmethod
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits [batch, pos, d_vocab] of tokens [batch, pos]."""

    @abstractmethod
    def final_hidden(self, tokens: Tensor) -> Tensor:
        """What the unembedding reads, [batch, pos, d_model], of tokens [batch, pos]."""

    @abstractmethod
    def head(self, hidden: Tensor) -> Tensor:
        """Logits [n, d_vocab] of final hidden states [n, d_model]."""

    @abstractmethod
    def replaced(
        self, hook_point: HookPoint, edit: Callable[[Tensor], Tensor]
    ) -> AbstractContextManager[None]:
        """Within the block forward passes go on with `edit(x)` in place of x at a hook point."""


@torch.no_grad()
def examine(model: Examinable) -> None:
    """Try all hook points, and note in `model.examination` what was found.

    Raises:
        ModelError: the model's logits are not those of its final hidden states.
    """
    trial = _Trial(model)
    trial.check_head()
    trial.check_shapes()
    trial.check_sums()
    for layer, alike in _builds(model):
        trial.check_capture(layer, alike)
        trial.check_norm(layer, alike)
        trial.check_writing(layer, alike)


def _builds(model: Examinable) -> Iterator[tuple[int, list[int]]]:
    """A block of each build, and all those built like it."""
    alike: dict[object, list[int]] = {}
    for layer in range(model.n_layers):
        block = model.block(layer)
        parts = tuple((name, type(part).__name__) for name, part in block.named_modules())
        alike.setdefault(parts, []).append(layer)
    small = sum(p.numel() for p in model.module.parameters()) <= _SMALL
    for layers in alike.values():
        yield layers[0], layers
        if small and len(layers) > 1:
            yield layers[-1], layers


class _Trial:
    """One model and a few tokens."""

    def __init__(self, model: Examinable) -> None:
        self.model = model
        length = min(5, model.n_ctx)
        numbers = torch.arange(1, 1 + 2 * length) * 7919
        self.tokens = (numbers % model.d_vocab).view(2, length)
        exact = model.dtype in (torch.float32, torch.float64)
        self.exact = exact
        self.tolerance = 1e-3 if exact else 0.05
        self.rounding = 4 * torch.finfo(model.dtype).eps
        found = model.examination
        self.faults, self.scales, self.flat = found.faults, found.scales, found.flat
        self.seen: dict[Place, Tensor] = {}
        self.entering: list[list[Tensor]] = [[] for _ in range(model.n_layers)]

    def check_head(self) -> None:
        """The logits are those of the final hidden states, and these are d_model wide."""
        model = self.model
        hidden = self.hidden = model.final_hidden(self.tokens)
        logits = model.logits(self.tokens)
        width = int(model.module.get_submodule(model.layout.unembedding).weight.shape[1])
        if hidden.shape[-1] != model.d_model or width != model.d_model:
            raise ModelError(
                f"{model.name} ({model.architecture}) is {model.d_model} wide within and "
                f"{width} where its logits are made: such a model is not read here."
            )
        own = model.head(hidden.flatten(0, 1)).view_as(logits)
        if not self._close(own, logits):
            raise ModelError(
                f"The logits of {model.name} ({model.architecture}) are not those of its final "
                "hidden states: it is built in a way that is not known here."
            )

    def check_shapes(self) -> None:
        """Every hook point of every block has an activation, and of the width it should have."""
        model = self.model
        tensors: dict[Place, list[Tensor]] = {}
        with model.lock, ExitStack() as stack:
            for layer in range(model.n_layers):
                given = _copying(self.entering[layer])
                stack.enter_context(touching(model.block(layer), Side.INPUT, given))
                reads = (kind for kind in READ_ONLY if model.layout.site(kind) is not None)
                for kind in (*model.layout.sites, *reads):
                    try:
                        module, side = model.site(layer, kind)
                        model.width(layer, kind)
                    except HookPointError as error:
                        self.faults[layer, kind] = str(error)
                        continue
                    tensors[layer, kind] = []
                    touch = _copying(tensors[layer, kind])
                    if kind is HookKind.NORMALIZED:  # as `capture` gives it
                        stack.enter_context(model.touching(layer, kind, touch))
                    else:
                        stack.enter_context(touching(module, side, touch))
            model.logits(self.tokens)
        for (layer, kind), copies in tensors.items():
            wanted = (*self.tokens.shape, model.width(layer, kind))
            if len(copies) == 1 and copies[0].shape == (self.tokens.numel(), wanted[-1]):
                self.flat.add((layer, kind))
                copies[0] = copies[0].view(wanted)
            if len(copies) != 1:
                why = "is reached by no forward pass" if not copies else "is passed more than once"
                self.faults[layer, kind] = self._sentence(layer, kind, why)
            elif copies[0].shape != wanted:
                self.faults[layer, kind] = self._sentence(
                    layer, kind, f"has the shape {list(copies[0].shape)}, not {list(wanted)}"
                )
            else:
                self.seen[layer, kind] = copies[0]

    def check_sums(self) -> None:
        """Blocks follow one another, and each adds to the stream what its parts give."""
        for layer in range(self.model.n_layers):
            pre, post = self._of(layer, HookKind.RESID_PRE), self._of(layer, HookKind.RESID_POST)
            if pre is not None and not self._close(pre, self.entering[layer][0]):
                self._fail([layer], HookKind.RESID_PRE, "is not what the block is given")
                pre = None
            if post is not None and not self._goes_on(layer, post):
                self._fail([layer], HookKind.RESID_POST, "is not what the model goes on with")
                post = None
            if pre is None or post is None:
                continue
            mid = self._of(layer, HookKind.RESID_MID)
            if mid is None:
                self._sum(layer, post - pre, (HookKind.ATTN_OUT, HookKind.MLP_OUT))
            else:
                whole = self._sum(layer, post - mid, (HookKind.MLP_OUT,))
                if not self._sum(layer, mid - pre, (HookKind.ATTN_OUT,)) and not whole:
                    self._fail([layer], HookKind.RESID_MID, "is no state of the stream")

    def _goes_on(self, layer: int, post: Tensor) -> bool:
        """Whether the stream behind a block is what the next one is given, or the final norm."""
        if layer + 1 < self.model.n_layers:
            return self._close(post, self.entering[layer + 1][0])
        return self._close(first(self.model.final_norm(post)), self.hidden)

    def _sum(self, layer: int, change: Tensor, kinds: tuple[HookKind, ...]) -> bool:
        """Whether a change of the stream is the sum of its parts, each times a number."""
        parts = [x for kind in kinds if (x := self._added(layer, kind)) is not None]
        if len(parts) < len(kinds):
            return True  # nobody claims to know all parts
        columns = torch.stack([part.double().flatten() for part in parts], dim=1)
        wanted = change.double().flatten()[:, None]
        factors = torch.linalg.lstsq(columns.cpu(), wanted.cpu()).solution[:, 0]
        rest = columns.cpu() @ factors[:, None] - wanted.cpu()
        # The stream's own rounding is in its differences.
        noise = self.rounding * float(self.seen[layer, HookKind.RESID_POST].double().norm())
        if rest.norm() > self.tolerance * (wanted.norm() + 1e-6) + noise:
            for kind in kinds:
                for other in (kind, *(k for k, added in WRITES_AS.items() if added is kind)):
                    self._fail([layer], other, "is not what the block adds to the stream")
            return False
        for kind, factor, part in zip(kinds, factors.tolist(), columns.T, strict=True):
            if abs(factor - 1.0) > self.tolerance + noise / (float(part.norm()) + 1e-6):
                self.scales[layer, kind] = factor
        return True

    def check_capture(self, layer: int, alike: list[int]) -> None:
        """What `capture` gives is what a whole forward pass had there."""
        for kind in HookKind:
            if (kept := self._of(layer, kind)) is None:
                continue
            alone = self.model.capture(self.tokens, self._point(layer, kind))
            if not self._close(alone, kept):
                self._fail(alike, kind, "is another when it is read alone")

    def check_norm(self, layer: int, alike: list[int]) -> None:
        """What is read without the norm's weight is, with it, what the norm gives."""
        kind = HookKind.NORMALIZED
        mid, read = self._of(layer, HookKind.RESID_MID), self._of(layer, kind)
        if read is None:
            return
        try:
            norm, _ = self.model.site(layer, kind)
            weight, _ = norm_weight(norm, self.model.d_model)
            given = None if mid is None else first(norm(mid))
            bias = first(norm(torch.zeros_like(read)))
            good = given is not None and self._close(read * weight.to(read) + bias, given)
        except _FAILURES:
            good = False
        if not good:
            self._fail(alike, kind, "is not what its norm gives before its weight")

    def check_writing(self, layer: int, alike: list[int]) -> None:
        """A change arrives in the stream as its write matrix says."""
        for kind in HookKind:
            if self._of(layer, kind) is None or kind in READ_ONLY:
                continue
            try:
                good = self._arrives(layer, kind)
            except _FAILURES:
                good = False
            if not good:
                self._fail(
                    alike, kind, "does not carry a change into the stream as its weights say"
                )

    def _arrives(self, layer: int, kind: HookKind) -> bool:
        x = self.seen[layer, kind]
        # As large as the stream itself: what is far smaller drowns there in half precision.
        size = x.float().square().mean().sqrt() + 0.1
        stream = self._of(layer, HookKind.RESID_POST)
        if stream is not None and kind not in (_HEADS, _NEURONS):
            size = torch.maximum(size, stream.float().square().mean().sqrt())
        change = torch.linspace(-1, 1, x.shape[-1], device=x.device).roll(3) * size
        change = change.to(x.dtype)
        if kind in (HookKind.RESID_PRE, HookKind.RESID_POST):
            return True  # a block's own input and output
        if kind is HookKind.RESID_MID:
            after = self._after(layer, kind, change, HookKind.RESID_POST)
            out = HookKind.MLP_OUT
            out = out if out in self.model.layout.sites else HookKind.MLP_RAW
            added = self._after(layer, kind, change, out)
            before, plain = self._of(layer, HookKind.RESID_POST), self._of(layer, out)
            if after is None or added is None or before is None or plain is None:
                return True
            scale = self.scales.get((layer, HookKind.MLP_OUT), 1.0)
            return self._close(after - before, change + scale * (added - plain))
        to = WRITES_AS[kind]
        if kind in (_HEADS, _NEURONS):
            # Through the projection, to what it gives.
            projection = self.model.site(layer, kind)[0]
            given: list[Tensor] = []
            with self.model.lock, ExitStack() as stack:
                point = self._point(layer, kind)
                stack.enter_context(self.model.replaced(point, lambda x: x + change))
                stack.enter_context(_output_of(projection, keep(given)))
                self.model.logits(self.tokens)
            plain_given = self._plain_output(projection)
            moved = change @ in_out(projection).to(change.dtype)
            difference = given[0] - plain_given
            return self._close(difference, moved.expand_as(difference))
        # What is added, or goes through a norm first.
        norm = self.model.norm_behind(layer, kind)
        if norm is not None:
            arrived = self._after(layer, kind, change, to)
            return arrived is None or self._close(arrived, norm(x + change))
        of_attention = kind in (HookKind.ATTN_OUT, HookKind.ATTN_RAW)
        end = HookKind.RESID_POST
        if of_attention and self._of(layer, HookKind.RESID_MID) is not None:
            end = HookKind.RESID_MID
        arrived, before = self._after(layer, kind, change, end), self._of(layer, end)
        if arrived is None or before is None:
            return True
        scale = self.scales.get((layer, to), 1.0)
        return self._close(arrived - before, (scale * change).expand_as(before))

    def _after(self, layer: int, kind: HookKind, change: Tensor, end: HookKind) -> Tensor | None:
        """What stands at `end` with a change at `kind`."""
        if self._of(layer, end) is None:
            return None
        found: list[Tensor] = []

        def see(x: Tensor) -> None:
            found.append(x.clone())
            raise Stop

        here = self.model.replaced(self._point(layer, kind), lambda x: x + change)
        with self.model.lock, suppress(Stop), here, self.model.touching(layer, end, see):
            self.model.logits(self.tokens)
        return found[0] if found else None

    def _plain_output(self, module: nn.Module) -> Tensor:
        given: list[Tensor] = []
        with self.model.lock, _output_of(module, keep(given)):
            self.model.logits(self.tokens)
        return given[0]

    def _of(self, layer: int, kind: HookKind) -> Tensor | None:
        return None if (layer, kind) in self.faults else self.seen.get((layer, kind))

    def _added(self, layer: int, kind: HookKind) -> Tensor | None:
        """What a block adds to the stream, or what it multiplies by a number before (Granite)."""
        raw = HookKind.ATTN_RAW if kind is HookKind.ATTN_OUT else HookKind.MLP_RAW
        known = kind in self.model.layout.sites
        return self._of(layer, kind if known else raw)

    def _point(self, layer: int, kind: HookKind) -> HookPoint:
        name = f"blocks.{layer}.{kind}"
        return HookPoint(name, layer, kind, self.model.width(layer, kind), True)

    def _fail(self, layers: list[int], kind: HookKind, why: str) -> None:
        for layer in layers:
            if (layer, kind) in self.seen:
                self.faults.setdefault((layer, kind), self._sentence(layer, kind, why))

    def _sentence(self, layer: int, kind: HookKind, why: str) -> str:
        model = self.model
        return (
            f"blocks.{layer}.{kind} of {model.name} ({model.architecture}) cannot be used: what is "
            f"taken for it {why}."
        )

    def _close(self, a: Tensor, b: Tensor) -> bool:
        """Whether both are the same: in every entry, or in half precision on the whole."""
        off, size = (a - b).double(), b.double()
        if self.exact:
            return float(off.abs().max()) <= self.tolerance * (float(size.abs().max()) + 1e-6)
        return float(off.norm()) <= self.tolerance * (float(size.norm()) + 1e-6)


def _copying(into: list[Tensor]) -> Callable[[Tensor], None]:
    def touch(x: Tensor) -> None:
        if isinstance(x, Tensor):
            into.append(x.clone())

    return touch


def _output_of(module: nn.Module, touch: Callable[[Tensor], None]) -> AbstractContextManager[None]:
    return touching(module, Side.OUTPUT, touch)
