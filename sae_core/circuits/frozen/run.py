"""One prompt's frozen model: linear, cut into blocks, and pulled back through from its end.

Each block's input, and each activation that dictionaries write, is an input of its own here. So the
derivative of anything by all of these is had block by block from the top, for many targets in one
go, with only one gradient of the stream held for each of them. Where MLPs are neither replaced nor
constants they are taken by their derivative at the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sae_core.circuits.frozen.freezing import Freezing
from sae_core.errors import CircuitError, FeaturescopeError
from sae_core.language_model.hook_point import HookKind, HookPoint, Side
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import touching

_FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, FeaturescopeError)
_FAR = 30.0  # times what stands there
_CLOSE = 1e-3
_CUTS = (
    HookKind.RESID_PRE, HookKind.Z, HookKind.ATTN_RAW, HookKind.ATTN_OUT, HookKind.POST,
    HookKind.MLP_RAW, HookKind.MLP_OUT, HookKind.RESID_POST,
)  # fmt: skip


Skip = tuple[HookPoint, Tensor]


@dataclass(frozen=True)
class Gradients:
    """Derivatives of a batch of targets, by what lies in one block.

    Attributes:
        layer: of the block; -1 for what enters the first.
        by: for each cut of it, [batch, pos, width]; cuts that reach no target are left out.
    """

    layer: int
    by: Mapping[HookPoint | None, Tensor]


@dataclass(frozen=True)
class FrozenRun:
    """A forward pass over one prompt, to be pulled back through.

    Attributes:
        model: whose.
        tokens: [1, pos].
        constants: patterns and denominators, in the order of the pass.
        entering: what enters each block, and behind them the final norm; [1, pos, d_model] each.
        leaving: what leaves each block, and behind them what the unembedding reads.
        read: what stands at hook points that are read, before anything is written there.
        written: what stands at those that are cut: inputs of their own from there on.
        skips: for cuts to which a linear map of what is read is added, where that is read, and the
            map [d_out, d_in]; `written` is without it.
    """

    model: LanguageModel
    tokens: Tensor
    constants: Sequence[Tensor]
    entering: list[Tensor] = field(default_factory=list)
    leaving: list[Tensor] = field(default_factory=list)
    read: dict[HookPoint, Tensor] = field(default_factory=dict)
    written: dict[HookPoint, Tensor] = field(default_factory=dict)
    skips: Mapping[HookPoint, Skip] = field(default_factory=dict)

    def pull_back(
        self, by_hidden: Tensor | None, by_read: Mapping[HookPoint, Tensor]
    ) -> Iterator[Gradients]:
        """Derivatives of a batch of targets, block by block from the last.

        Args:
            by_hidden: of the targets by the final hidden states, [batch, pos, d_model], where they
                depend on these directly.
            by_read: and by what stands at hook points, [batch, pos, width].
        """
        top = len(self.leaving) - 1
        if by_hidden is None:
            top = max((point.layer for point in by_read), default=-1)
        gradient = by_hidden
        for layer in range(top, -1, -1):
            cuts: list[HookPoint] = [p for p in self.written if p.layer == layer]
            outputs = [] if gradient is None else [(self.leaving[layer], gradient)]
            outputs += [(self.read[p], by_read[p]) for p in by_read if p.layer == layer]
            inputs = [self.entering[layer], *(self.written[p] for p in cuts)]
            gradient, *rest = derivatives(outputs, inputs)
            by: dict[HookPoint | None, Tensor] = {
                p: g for p, g in zip(cuts, rest, strict=True) if g is not None
            }
            yield Gradients(layer, by)
        if gradient is not None:
            yield Gradients(-1, {None: gradient})

    def again(self, edits: Mapping[HookPoint, Tensor], batch: int, frozen: bool = True) -> Replay:
        """Another forward pass with the same activations at all cuts, but for some.

        Args:
            edits: what stands at some cuts instead, [batch, pos, width].
            batch: how many passes at once.
            frozen: whether patterns and denominators stay what they were.
        """
        replay = Replay()

        def put(point: HookPoint, x: Tensor) -> Tensor:
            if point in self.read:
                replay.read[point] = x.clone()
            kept = edits.get(point, self.written[point].detach())
            kept = kept.expand(batch, *kept.shape[1:]).clone()
            return kept if (added := self.skipped(replay.read, point)) is None else kept + added

        with torch.no_grad(), self.model.lock, ExitStack() as stack:
            for point in {**self.read, **self.written}:
                touch = _bind(put, point) if point in self.written else _note(replay.read, point)
                stack.enter_context(self.model.touching(point.layer, point.kind, touch))
            if frozen:
                stack.enter_context(Freezing(self.constants))
            replay.hidden = self.model.final_hidden(self.tokens.expand(batch, -1))
        return replay

    def skipped(self, read: Mapping[HookPoint, Tensor], point: HookPoint) -> Tensor | None:
        """What a skip connection adds at a cut, [batch, pos, d_out]; None: there is none."""
        if (skip := self.skips.get(point)) is None:
            return None
        return read[skip[0]] @ skip[1].T


@dataclass
class Replay:
    """What a forward pass had.

    Attributes:
        read: what stood at hook points that are read, [batch, pos, width].
        hidden: final hidden states, [batch, pos, d_model].
    """

    read: dict[HookPoint, Tensor] = field(default_factory=dict)
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))


def frozen_run(
    model: LanguageModel,
    tokens: Tensor,
    reads: Sequence[HookPoint],
    writes: Sequence[HookPoint],
    skips: Mapping[HookPoint, Skip] | None = None,
) -> FrozenRun:
    """Run one prompt and keep what its frozen model needs.

    Args:
        model: in float32 or float64.
        tokens: [1, pos].
        reads: hook points from which targets are read.
        writes: those at which the forward pass is cut.
        skips: as in `FrozenRun`.

    Raises:
        CircuitError: the model's attention cannot be frozen, or a cut is not possible there.
    """
    for point in writes:
        if point.kind not in _CUTS:
            raise CircuitError(
                f"{point.name} cannot be cut: what stands there is read twice. Use a dictionary of "
                "hook_resid_pre or hook_resid_post."
            )
    check_freezes(model)
    return _run(model, tokens, reads, writes, skips)


def _run(
    model: LanguageModel,
    tokens: Tensor,
    reads: Sequence[HookPoint],
    writes: Sequence[HookPoint],
    skips: Mapping[HookPoint, Skip] | None = None,
) -> FrozenRun:
    freezing = Freezing()
    run = FrozenRun(model, tokens.to(model.device), freezing.constants, skips=skips or {})

    def enter(x: Tensor) -> Tensor:
        run.entering.append(_leaf(x))
        return run.entering[-1].clone()

    def leave(x: Tensor) -> Tensor:
        run.leaving.append(x)
        return enter(x)

    def cut(point: HookPoint, x: Tensor) -> Tensor:
        if point in reads:
            run.read[point] = x.clone()
        added = run.skipped(run.read, point)
        run.written[point] = _leaf(x if added is None else x - added)
        return run.written[point] + (0.0 if added is None else added)

    with torch.enable_grad(), model.lock, ExitStack() as stack:
        stack.enter_context(touching(model.block(0), Side.INPUT, enter))
        for point in dict.fromkeys((*reads, *writes)):
            touch = _bind(cut, point) if point in writes else _note(run.read, point)
            stack.enter_context(model.touching(point.layer, point.kind, touch))
        for layer in range(model.n_layers):
            stack.enter_context(touching(model.block(layer), Side.OUTPUT, leave))
        stack.enter_context(freezing)
        run.leaving.append(model.final_hidden(run.tokens))
    return run


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def _bind(
    put: Callable[[HookPoint, Tensor], Tensor], point: HookPoint
) -> Callable[[Tensor], Tensor]:
    return lambda x: put(point, x)


def _note(into: dict[HookPoint, Tensor], point: HookPoint) -> Callable[[Tensor], None]:
    def touch(x: Tensor) -> None:
        into[point] = x.clone()  # the model may change the very tensor later on (Falcon)

    return touch


def derivatives(
    outputs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Of a batch of weightings of some outputs, by each input, [batch, pos, width]; None: none.

    Args:
        outputs: tensors [1, pos, width], and for each of the batch the weights [batch, pos, width].
        inputs: leaves.
    """
    reaching = [(x, weights[:, None]) for x, weights in outputs if x.requires_grad]
    if not reaching:
        return (None,) * len(inputs)
    reached: list[int] = []

    def back(*weights: Tensor) -> tuple[Tensor, ...]:
        derivatives = torch.autograd.grad(
            [x for x, _ in reaching], inputs, weights, retain_graph=True, allow_unused=True
        )
        reached[:] = [n for n, x in enumerate(derivatives) if x is not None]
        return tuple(derivatives[n] for n in reached)

    batched = torch.vmap(back)(*(weights for _, weights in reaching))
    by_input = dict(zip(reached, batched, strict=True))
    return tuple(by_input[n][:, 0] if n in by_input else None for n in range(len(inputs)))


_verdicts: WeakKeyDictionary[LanguageModel, bool] = WeakKeyDictionary()


def check_freezes(model: LanguageModel) -> None:
    """Refuse a model whose attention cannot be frozen; tried once, on a few tokens.

    Raises:
        CircuitError: it cannot.
    """
    if model not in _verdicts:
        _verdicts[model] = _freezes(model)
    if not _verdicts[model]:
        raise CircuitError(
            f"{model.name} ({model.architecture}) cannot be frozen: with attention patterns and "
            "norm denominators held constant its blocks are not linear, so that no edge would be "
            "exact. Attribution graphs need attention that is softmax times values."
        )


def mlp_point(model: LanguageModel, layer: int) -> HookPoint:
    """Where a block's MLP is cut as a whole.

    Raises:
        HookPointError: its output is not at one place.
    """
    known = HookKind.MLP_OUT in model.kinds(layer)
    return model.hook_point(f"blocks.{layer}.{HookKind.MLP_OUT if known else HookKind.MLP_RAW}")


def _freezes(model: LanguageModel) -> bool:
    """Whether a frozen pass ends as a plain one, is linear, and has the derivatives it claims."""
    tokens = (torch.arange(1, 1 + min(5, model.n_ctx)) * 7919 % model.d_vocab)[None]
    tokens = tokens.to(model.device)
    try:
        cuts = [mlp_point(model, layer) for layer in range(model.n_layers)]
        cuts = [model.hook_point(f"blocks.0.{HookKind.RESID_PRE}"), *cuts]
        run = _run(model, tokens, (), cuts)
        with torch.no_grad():
            plain = model.final_hidden(tokens)
        clean = run.again({}, 1).hidden
        # Each cut alone is moved far, where what is not linear shows; then twice as far.
        moves = [_FAR * _change(run.written[point].detach()) for point in cuts]
        once, twice = (_moved(run, cuts, [n * move for move in moves]) - clean for n in (1, 2))
        weights = _change(clean)
        gradients = {p: g for part in run.pull_back(weights, {}) for p, g in part.by.items()}
    except _FAILURES:
        return False
    claimed = torch.stack(
        [(gradients[point] * move).sum() for point, move in zip(cuts, moves, strict=True)]
    )
    size = once.abs().amax(dim=(1, 2))
    bent = (twice - 2 * once).abs().amax(dim=(1, 2)) > _CLOSE * size
    wrong = (claimed - (weights * once).sum(dim=(1, 2))).abs() > _CLOSE * (
        (weights * once).abs().sum(dim=(1, 2))
    )
    off = (clean - plain).abs().max() > _CLOSE * plain.abs().max()
    return not bool(off | bent.any() | wrong.any() | once.isnan().any())


def _moved(run: FrozenRun, cuts: Sequence[HookPoint], moves: Sequence[Tensor]) -> Tensor:
    """Final hidden states with each cut moved alone, [cuts, pos, d_model]."""
    edits: dict[HookPoint, Tensor] = {}
    for n, (point, move) in enumerate(zip(cuts, moves, strict=True)):
        x = run.written[point].detach().repeat(len(cuts), 1, 1)
        x[n] += move[0]
        edits[point] = x
    return run.again(edits, len(cuts)).hidden


def _change(x: Tensor) -> Tensor:
    """A change of x about as large as x, the same whenever it is asked for."""
    draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return draw.to(x) * x.square().mean().sqrt().clamp_min(1e-6)
