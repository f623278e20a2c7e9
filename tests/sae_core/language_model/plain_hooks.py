"""A brute force for any architecture: the library's own model, edited by hooks of plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from sae_core.language_model.hook_point import HookKind, HookPoint, Layout

Edit = Callable[[Tensor], Tensor]
_IN_PLACE_OF_ATTENTION = ("conv", "linear_attn")


@contextmanager
def edited(plain: Any, layout: Layout, point: HookPoint, rows: int, edit: Edit) -> Iterator[None]:
    """Within the block whole forward passes go on with `edit(x)` in place of x [rows, pos, d_in].

    The state between attention and MLP is no module's end: what attention adds is changed by as
    much as the state is to change.
    """
    block = plain.get_submodule(f"{layout.blocks}.{point.layer}")
    with ExitStack() as stack:
        if point.kind is HookKind.RESID_MID:
            scale = getattr(plain.config.get_text_config(), "residual_multiplier", 1.0)
            entering: list[Tensor] = []
            stack.callback(_entering(block, lambda x: entering.append(x) or x).remove)
            known = layout.sites.get(HookKind.ATTN_OUT)
            paths = (known.path if known else layout.attention, *_IN_PLACE_OF_ATTENTION)
            parts = dict(block.named_modules())
            mixer = next(parts[path] for path in paths if path in parts)

            def moved(added: Tensor) -> Tensor:
                mid = entering[-1] + scale * added
                return added + (edit(mid) - mid) / scale

            stack.callback(_leaving(mixer, moved).remove)
        else:
            own = layout.site(point.kind)
            assert own is not None
            hooked = _entering if own.side == "input" else _leaving

            def shaped(x: Tensor) -> Tensor:
                """What is flat in the model is brought to [rows, pos, d_in] and back."""
                return edit(x.view(rows, -1, x.shape[-1])).reshape(x.shape)

            stack.callback(hooked(block.get_submodule(own.path), shaped).remove)
        yield


def _entering(module: nn.Module, edit: Edit) -> Any:
    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        name = next(name for name, value in kwargs.items() if isinstance(value, Tensor))
        name = "hidden_states" if "hidden_states" in kwargs else name
        return args, kwargs | {name: edit(kwargs[name])}

    return module.register_forward_pre_hook(before, with_kwargs=True)


def _leaving(module: nn.Module, edit: Edit) -> Any:
    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, (tuple, list)):
            return type(output)([edit(output[0]), *output[1:]])
        return edit(output)

    return module.register_forward_hook(after)
