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
    """The tensor of a module's output, which may be a tuple or list that begins with it."""
    tensor: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return tensor


def with_first(output: Any, tensor: Tensor) -> Any:
    """A module's output with its tensor exchanged."""
    if isinstance(output, (tuple, list)):
        return type(output)((tensor, *output[1:]))
    return tensor


def _name_of_input(kwargs: dict[str, Any]) -> str:
    """Under which name a module is given its input: the library's usual one, or the first tensor's.

    Raises:
        LookupError: it is given no tensor.
    """
    if "hidden_states" in kwargs:
        return "hidden_states"
    for name, value in kwargs.items():
        if isinstance(value, Tensor):
            return name
    raise LookupError("a module was given no tensor")


def unflattened(touch: Touch, sizes: list[int]) -> Touch:
    """A touch of [batch, pos, width] where the model has [batch * pos, width] (OPT's MLP).

    `sizes` holds batch and positions by the time that it is called.
    """

    def reshaped(x: Tensor) -> Tensor | None:
        new = touch(x.view(*sizes, x.shape[-1]))
        return None if new is None else new.reshape(x.shape)

    return reshaped


def keep(into: list[Tensor]) -> Callable[[Tensor], None]:
    """A touch that keeps a copy: a model may change the very tensor later on (Falcon does)."""
    return lambda x: into.append(x.clone())


class touching:  # noqa: N801 - used as the functions beside it are
    """Show `touch` the tensor that enters or leaves `module`; what it returns takes its place.

    `touch` may return None (leave it as it is) or raise `Stop`. A class, because it is entered once
    for each token that is generated: a generator would cost as much again.
    """

    def __init__(self, module: nn.Module, side: Side, touch: Touch) -> None:
        self._module = module
        self._side = side
        self._touch = touch

    def __enter__(self) -> None:
        if self._side is Side.INPUT:
            self._handle = self._module.register_forward_pre_hook(self._before, with_kwargs=True)
        else:
            self._handle = self._module.register_forward_hook(self._after)

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            new = self._touch(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)
        name = _name_of_input(kwargs)
        new = self._touch(kwargs[name])
        return None if new is None else (args, {**kwargs, name: new})

    def _after(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        new = self._touch(first(output))
        return None if new is None else with_first(output, new)


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
