"""A forward pass to be run on from a hook point, with other activations there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sae_core.language_model.hook_point import HookKind, HookPoint, Side
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import (
    Stop,
    answering,
    first,
    touching,
    watching,
    with_first,
)

KeysAndValues = tuple[tuple[Tensor, Tensor], ...]


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
        read: activation at the hook point that was read besides, [batch, pos, its width]; x where
            none was.
        resid: what entered the hook point's block, [batch, pos, d_model].
        attention: what the attention of that block returned; None where the block has none.
        hidden: what the unembedding reads, [batch, pos, d_model].
        tuples: whether blocks return tuples.
        past: keys and values of each layer, [batch, heads, pos, d_head] each; None where they were
            not kept, or cannot be taken up.
    """

    model: LanguageModel
    hook_point: HookPoint
    tokens: Tensor
    x: Tensor
    read: Tensor
    resid: Tensor
    attention: Any
    hidden: Tensor
    tuples: bool
    past: KeysAndValues | None = None

    def rerun(self, x: Tensor) -> Tensor:
        """Final hidden states [batch, pos, d_model] with x [batch, pos, d_in] at the hook point.

        Differentiable by x, as `rerun_rows` is.
        """
        if not takes_up(self.model, self.hook_point):
            with self.model.replaced(self.hook_point, lambda _: x):
                return self.model.final_hidden(self.tokens)
        return self.run_on(x)

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
    def last_hidden(self, x: Tensor) -> Tensor:
        """Final hidden state of the last position, for many variants of a batch of one context.

        Where keys and values were kept, nothing before the first position that differs is computed,
        and of the last block only what the last position needs.

        Args:
            x: activations of the last m positions, [n, m, d_in]; before them nothing changes.

        Returns:
            [n, d_model].
        """
        n, length = len(x), self.tokens.shape[1]
        begin = length - x.shape[1]
        if not self.hook_point.attention_after and takes_up(self.model, self.hook_point):
            rows = torch.full((n,), length - 1, device=x.device)
            return self.run_on_rows(rows, x[:, -1])
        if self.past is None:
            whole = torch.cat([self.x[:, :begin].expand(n, -1, -1), x], dim=1)
            return self._rows(n, 0).rerun(whole)[:, -1]
        past = tuple(
            (keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1)) for keys, values in self.past
        )
        return self._rows(n, begin)._end_of(x, past)

    def _rows(self, n: int, begin: int) -> CleanRun:
        """A batch of one, from a position on, n times."""

        def rows(whole: Tensor) -> Tensor:
            rest = whole[:, begin:]
            return rest.expand(n, *rest.shape[1:]).contiguous()

        attention = self.attention
        if attention is not None:  # a block of a hybrid model may have another part in its place
            attention = with_first(attention, rows(first(attention)))
        return replace(self, tokens=rows(self.tokens), resid=rows(self.resid), attention=attention)

    def _end_of(self, x: Tensor, past: KeysAndValues) -> Tensor:
        """As `run_on`, but the last position's alone, [n, d_model].

        A first pass ends as soon as the last block has its keys and values; a second one is the
        last position's way through that block.

        Args:
            x: activations from some position on, [n, m, d_in].
            past: keys and values of all positions of the clean run, n times.
        """
        last, n_before = self.model.n_layers - 1, past[0][0].shape[2] - x.shape[1]
        cache, seen = _cache(_cut(past, n_before)), dict[str, Any]()
        update = cache.update

        def update_or_stop(keys: Tensor, values: Tensor, layer: int, *args: Any) -> Any:
            seen["keys and values"] = update(keys, values, layer, *args)
            if layer == last:
                raise Stop
            return seen["keys and values"]

        cache.update = update_or_stop
        block = self.model.block(last)
        watching_entry = touching(block, Side.INPUT, _keep(seen, "entering"))
        with self.model.lock, self._taken_up(x), watching_entry, suppress(Stop):
            self.model.final_hidden(self.tokens, cache)
        # Of the other blocks' keys and values only the number counts now.
        cache = _cache(_cut((*past[:last], seen["keys and values"]), -1))
        entering = seen["entering"][:, -1:]
        with self._passed_through(last), touching(block, Side.INPUT, lambda _: entering):
            return self.model.final_hidden(self.tokens[:, -1:], cache)[:, -1]

    def run_on(self, x: Tensor) -> Tensor:
        """As `rerun`, always taken up at the hook point's block."""
        with self._taken_up(x):
            return self.model.final_hidden(self.tokens)

    @contextmanager
    def _taken_up(self, x: Tensor) -> Iterator[None]:
        """Within the block a forward pass computes nothing before the hook point."""
        kind, layer = self.hook_point.kind, self.hook_point.layer
        whole_block = kind is HookKind.RESID_POST
        with ExitStack() as stack:
            stack.enter_context(self._passed_through(layer + whole_block))
            if not whole_block:
                entry = self.model.block(layer)
                stack.enter_context(touching(entry, Side.INPUT, lambda _: self.resid.clone()))
                stack.enter_context(self._with_attention(first(self.attention), x))
            stack.enter_context(self.model.replaced(self.hook_point, lambda _: x))
            yield

    @contextmanager
    def _passed_through(self, n: int) -> Iterator[None]:
        """Within the block the first n of the model's blocks return what they are given."""
        with ExitStack() as stack:
            stack.enter_context(self.model.lock)
            for below in range(n):
                stack.enter_context(answering(self.model.block(below), self._pass_through))
            yield

    def run_on_rows(self, rows: Tensor, x: Tensor) -> Tensor:
        """As `rerun_rows`, always through what remains of the block."""
        norm = self.model.final_norm
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
        if module is None:
            raise LookupError("this block has no attention that could answer")

        # A copy each time: the model may change what it is given (Falcon).
        def answer(*_: Any, **__: Any) -> Any:
            return with_first(self.attention, attention.clone())

        with answering(module, answer):
            yield

    def _pass_through(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states,) if self.tuples else hidden_states


@torch.no_grad()
def clean_run(
    model: LanguageModel,
    tokens: Tensor,
    hook_point: HookPoint,
    keep_past: bool = False,
    read: HookPoint | None = None,
) -> CleanRun:
    """Run tokens [batch, pos] through the model and keep what running on from there needs.

    Args:
        model: to be run.
        tokens: ids.
        hook_point: to run on from.
        keep_past: keep keys and values too, for `CleanRun.last_hidden`.
        read: a hook point whose activation is kept besides, such as the one a transcoder reads.
    """
    keep_past = keep_past and hook_point.attention_after and takes_up_midway(model, hook_point)
    return _clean_run(model, tokens, hook_point, keep_past, read)


def _clean_run(
    model: LanguageModel,
    tokens: Tensor,
    hook_point: HookPoint,
    keep_past: bool,
    read: HookPoint | None = None,
) -> CleanRun:
    seen: dict[str, Any] = {}
    cache = _cache(()) if keep_past else None
    block = model.block(hook_point.layer)
    with model.lock, ExitStack() as stack:
        stack.enter_context(touching(block, Side.INPUT, _keep(seen, "resid")))
        stack.enter_context(model.touching(hook_point.layer, hook_point.kind, _keep(seen, "x")))
        if read is not None and read != hook_point:
            stack.enter_context(model.touching(read.layer, read.kind, _keep(seen, "read")))
        if (attention := _attention(model, hook_point)) is not None:
            stack.enter_context(watching(attention, _keep(seen, "attention")))
        stack.enter_context(watching(block, _keep(seen, "block")))
        hidden = model.final_hidden(tokens, cache)
    seen.setdefault("attention", None)
    seen.setdefault("read", seen["x"])
    tuples = isinstance(seen.pop("block"), (tuple, list))
    past = None if cache is None else tuple((kept.keys, kept.values) for kept in cache.layers)
    return CleanRun(model, hook_point, tokens, hidden=hidden, tuples=tuples, past=past, **seen)


def _cut(past: KeysAndValues, end: int) -> KeysAndValues:
    """Keys and values of the positions before `end`."""
    return tuple((keys[:, :, :end], values[:, :, :end]) for keys, values in past)


def _cache(past: KeysAndValues) -> Any:
    """Keys and values as the library's cache; what it adds to them it adds to copies.

    It holds on to all positions even where a layer attends to a window only: the library's masks
    see to that.
    """
    from transformers import DynamicCache

    cache = DynamicCache([(keys[:, :, :0], values[:, :, :0]) for keys, values in past])
    layers: list[Any] = cache.layers
    for layer, (keys, values) in zip(layers, past, strict=True):
        layer.keys, layer.values = keys, values
    return cache


def _keep(seen: dict[str, Any], name: str) -> Callable[[Any], None]:
    """Keep a copy: the model may change the very tensor later on (Falcon does)."""

    def see(value: Any) -> None:
        seen[name] = with_first(value, first(value).clone())

    return see


def _attention(model: LanguageModel, hook_point: HookPoint) -> nn.Module | None:
    """The block's attention; None in a block that has another part in its place."""
    try:
        module = model.block(hook_point.layer).get_submodule(model.layout.attention)
    except AttributeError:
        return None
    return module if model.layout.attention else None


_verdicts: WeakKeyDictionary[LanguageModel, dict[tuple[HookPoint, bool], bool]]
_verdicts = WeakKeyDictionary()


def takes_up(model: LanguageModel, hook_point: HookPoint) -> bool:
    """Whether running on from the hook point ends as a whole forward pass does.

    Architectures differ in what they do between their parts, so this is tried, once, on a few
    tokens and a changed activation.
    """
    return _verdict(model, hook_point, midway=False)


def takes_up_midway(model: LanguageModel, hook_point: HookPoint) -> bool:
    """Whether that holds from the middle of a context on as well, after keys and values kept."""
    return takes_up(model, hook_point) and _verdict(model, hook_point, midway=True)


def _verdict(model: LanguageModel, hook_point: HookPoint, midway: bool) -> bool:
    verdicts = _verdicts.setdefault(model, {})
    if (hook_point, midway) not in verdicts:
        verdicts[hook_point, midway] = _try(model, hook_point, midway)
    return verdicts[hook_point, midway]


@torch.no_grad()
def _try(model: LanguageModel, hook_point: HookPoint, midway: bool) -> bool:
    tokens = torch.arange(8).reshape(2, 4) % model.d_vocab
    if midway:
        tokens = tokens[:1]
    x = _clean_run(model, tokens, hook_point, keep_past=False).x
    changed = torch.cat([x[:, :2], 0.5 * x[:, 2:]], dim=1) if midway else 0.5 * x
    with model.replaced(hook_point, lambda _: changed):
        whole = model.final_hidden(tokens)
    try:
        run = _clean_run(model, tokens, hook_point, keep_past=midway)
        if midway:
            whole = whole[:, -1].expand(2, -1)
            resumed = run.last_hidden(changed[:, 2:].repeat(2, 1, 1))
        elif hook_point.attention_after:
            resumed = run.run_on(changed)
        else:
            resumed = run.run_on_rows(torch.arange(8, device=x.device), changed.flatten(0, 1))
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError):
        return False
    tolerance = 1e-4 if whole.dtype in (torch.float32, torch.float64) else 0.02
    difference = (resumed.reshape_as(whole) - whole).abs().max()
    return bool(difference <= tolerance * whole.abs().max())
