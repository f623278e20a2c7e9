"""What the examination of a model found, and which hook points write through which others."""

from __future__ import annotations

from dataclasses import dataclass, field

from sae_core.language_model.hook_point import HookKind

Place = tuple[int, HookKind]

# What a kind of hook point adds to the stream through.
WRITES_AS = {
    HookKind.Z: HookKind.ATTN_OUT,
    HookKind.ATTN_RAW: HookKind.ATTN_OUT,
    HookKind.ATTN_OUT: HookKind.ATTN_OUT,
    HookKind.POST: HookKind.MLP_OUT,
    HookKind.MLP_RAW: HookKind.MLP_OUT,
    HookKind.MLP_OUT: HookKind.MLP_OUT,
}


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        faults: why a hook point cannot be used, as the end of a sentence.
        scales: by how much a block multiplies what it adds to the stream, where that is not 1
            (Granite), for `hook_attn_out` and `hook_mlp_out`.
        flat: hook points at which the model has batch and positions in one (OPT's MLP).
    """

    faults: dict[Place, str] = field(default_factory=dict)
    scales: dict[Place, float] = field(default_factory=dict)
    flat: set[Place] = field(default_factory=set)


def added_by(kind: HookKind) -> HookKind | None:
    """What a kind of hook point adds to the stream through; None for the stream itself."""
    return WRITES_AS.get(kind)
