"""When decoder rows of two dictionaries may be set against each other."""

from __future__ import annotations

from sae_core.language_model.hook_point import HookKind, HookPoint

_STREAM = frozenset(
    {
        HookKind.RESID_PRE,
        HookKind.RESID_MID,
        HookKind.RESID_POST,
        HookKind.ATTN_OUT,
        HookKind.MLP_OUT,
    }
)


def same_coordinates(first: HookPoint, second: HookPoint) -> bool:
    """Whether the coordinates of two hook points of one model mean the same.

    They are those that the decoders write into. Everything that is read from or added to the
    residual stream shares its coordinates, in whatever layer; neurons and attention heads are those
    of their own layer.
    """
    return first.name == second.name or {first.kind, second.kind} <= _STREAM
