"""A forward pass to be run on from a hook point, with other activations there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sae_core.hook_point import HookKind, HookPoint, Side
from sae_core.language_model import LanguageModel
from sae_core.module_hooks import answering, first, touching, watching, with_first


@dataclass(frozen=True)
class CleanRun:
    """What one undisturbed forward pass left behind.

    What comes before the hook point is not computed again: blocks below pass their input through,
    and the block's attention, where it lies before, answers what it answered. An architecture whose
    forward pass cannot be taken up like that is run from the start (see `takes_up`).

    Attributes:
        model: that was run.
        hook_point: that it can be run on from.
        tokens: [batch, pos].
        x: activation at the hook point, [batch, pos, d_in].
        resid: what entered the hook point's block, [batch, pos, d_model].
        attention: what the attention of that block returned.
        hidden: what the unembedding reads, [batch, pos, d_model].
        tuples: whether blocks return tuples.
    """

    model: LanguageModel
    hook_point: HookPoint
    tokens: Tensor
    x: Tensor
    resid: Tensor
    attention: Any
    hidden: Tensor
    tuples: bool

    @torch.no_grad()
    def rerun(self, x: Tensor) -> Tensor:
        """Final hidden states [batch, pos, d_model] with x [batch, pos, d_in] at the hook point."""
        if not takes_up(self.model, self.hook_point):
            with self.model.replaced(self.hook_point, lambda _: x):
                return self.model.final_hidden(self.tokens)
        return self.run_on(x)

    @torch.no_grad()
    def rerun_rows(self, rows: Tensor, x: Tensor) -> Tensor:
        """Final hidden states at single positions, each with its own activation.

        Only for hook points that no attention follows.

        Args:
            rows: positions in the flattened batch, [n].
            x: their activations, [n, d_in].

        Returns:
            [n, d_model].
        """
        assert not self.hook_point.attention_after
        if not takes_up(self.model, self.hook_point):
            whole = self.x.flatten(0, 1).index_copy(0, rows, x).view_as(self.x)
            return self.rerun(whole).flatten(0, 1)[rows]
        return self.run_on_rows(rows, x)

    @torch.no_grad()
    def run_on(self, x: Tensor) -> Tensor:
        """As `rerun`, always taken up at the hook point's block."""
        kind, layer = self.hook_point.kind, self.hook_point.layer
        whole_block = kind is HookKind.RESID_POST
        with ExitStack() as stack:
            stack.enter_context(self.model.lock)
            for below in range(layer + whole_block):
                stack.enter_context(answering(self.model.block(below), self._pass_through))
            if not whole_block:
                entry = self.model.block(layer)
                stack.enter_context(touching(entry, Side.INPUT, lambda _: self.resid))
                stack.enter_context(self._with_attention(first(self.attention), x))
            stack.enter_context(self.model.replaced(self.hook_point, lambda _: x))
            return self.model.final_hidden(self.tokens)

    @torch.no_grad()
    def run_on_rows(self, rows: Tensor, x: Tensor) -> Tensor:
        """As `rerun_rows`, always through what remains of the block."""
        norm = self.model.module.get_submodule(self.model.layout.final_norm)
        if self.hook_point.kind is HookKind.RESID_POST:
            return first(norm(x[None]))[0]
        attention = first(self.attention).flatten(0, 1)[rows][None]
        resid = self.resid.flatten(0, 1)[rows][None]
        with (
            self.model.lock,
            self._with_attention(attention, x[None]),
            self.model.replaced(self.hook_point, lambda _: x[None]),
        ):
            return first(norm(first(self.model.block(self.hook_point.layer)(resid))))[0]

    @contextmanager
    def _with_attention(self, attention: Tensor, x: Tensor) -> Iterator[None]:
        """Let the block's attention answer what it must, without attending anew."""
        kind = self.hook_point.kind
        if kind is HookKind.RESID_PRE:
            yield
            return
        if kind is HookKind.Z:
            attention = self.model.site(self.hook_point.layer, kind)[0](x)
        module = _attention(self.model, self.hook_point)
        output = with_first(self.attention, attention)
        with answering(module, lambda *_, **__: output):
            yield

    def _pass_through(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states,) if self.tuples else hidden_states


@torch.no_grad()
def clean_run(model: LanguageModel, tokens: Tensor, hook_point: HookPoint) -> CleanRun:
    """Run tokens [batch, pos] through the model and keep what running on from there needs."""
    seen: dict[str, Any] = {}
    block = model.block(hook_point.layer)
    with (
        model.lock,
        touching(block, Side.INPUT, _keep(seen, "resid")),
        touching(*model.site(hook_point.layer, hook_point.kind), _keep(seen, "x")),
        watching(_attention(model, hook_point), _keep(seen, "attention")),
        watching(block, _keep(seen, "block")),
    ):
        hidden = model.final_hidden(tokens)
    tuples = isinstance(seen.pop("block"), tuple)
    return CleanRun(model, hook_point, tokens, hidden=hidden, tuples=tuples, **seen)


def _keep(seen: dict[str, Any], name: str) -> Callable[[Any], None]:
    return lambda value: seen.__setitem__(name, value)


def _attention(model: LanguageModel, hook_point: HookPoint) -> nn.Module:
    return model.block(hook_point.layer).get_submodule(model.layout.attention)


_verdicts: WeakKeyDictionary[LanguageModel, dict[HookPoint, bool]] = WeakKeyDictionary()


def takes_up(model: LanguageModel, hook_point: HookPoint) -> bool:
    """Whether running on from the hook point ends as a whole forward pass does.

    Architectures differ in what they do between their parts, so this is tried, once, on a few
    tokens and a changed activation.
    """
    verdicts = _verdicts.setdefault(model, {})
    if hook_point not in verdicts:
        verdicts[hook_point] = _try(model, hook_point)
    return verdicts[hook_point]


@torch.no_grad()
def _try(model: LanguageModel, hook_point: HookPoint) -> bool:
    tokens = torch.arange(8).reshape(2, 4) % model.d_vocab
    run = clean_run(model, tokens, hook_point)
    x = 0.5 * run.x
    with model.replaced(hook_point, lambda _: x):
        whole = model.final_hidden(tokens)
    try:
        if hook_point.attention_after:
            resumed = run.run_on(x)
        else:
            resumed = run.run_on_rows(torch.arange(8, device=x.device), x.flatten(0, 1))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False
    tolerance = 1e-4 if whole.dtype in (torch.float32, torch.float64) else 0.02
    difference = (resumed.reshape_as(whole) - whole).abs().max()
    return bool(difference <= tolerance * whole.abs().max())
