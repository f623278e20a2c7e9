"""PyTorch hooks as context managers: nothing stays on a module after the block is left.

Hooks are shared, mutable state of a module: two threads in one model would corrupt each other.
Whoever uses these holds the model's lock (see `LanguageModel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from sae_core.language_model.hook_point import Side

Touch = Callable[[Tensor], Tensor | None]


class Stop(Exception):
    """Ends a forward pass whose rest is not wanted."""


def first(output: Any) -> Tensor:
    """The tensor of a module's output, which may be a tuple that begins with it."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def with_first(output: Any, tensor: Tensor) -> Any:
    """A module's output with its tensor exchanged."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


@contextmanager
def touching(module: nn.Module, side: Side, touch: Touch) -> Iterator[None]:
    """Show `touch` the tensor that enters or leaves `module`; what it returns takes its place.

    `touch` may return None (leave it as it is) or raise `Stop`.
    """

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            new = touch(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)
        new = touch(kwargs["hidden_states"])
        return None if new is None else (args, {**kwargs, "hidden_states": new})

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        new = touch(first(output))
        return None if new is None else with_first(output, new)

    if side is Side.INPUT:
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def watching(module: nn.Module, see: Callable[[Any], None]) -> Iterator[None]:
    """Show `see` all that `module` returns."""

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        see(output)

    handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def answering(module: nn.Module, answer: Callable[..., Any]) -> Iterator[None]:
    """Let `module` return `answer(*args, **kwargs)` in place of its forward pass.

    Its hooks run all the same.
    """
    before = module.__dict__.get("forward")
    module.__dict__["forward"] = answer
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before
