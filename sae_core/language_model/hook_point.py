"""Hook points: the places in a language model whose activation a dictionary can decompose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sae_core.errors import HookPointError

_NAME = re.compile(r"blocks\.(\d+)\.(.+)")
_EVERY_BLOCK = "blocks.*."


class HookKind(StrEnum):
    """Where in its block a hook point lies, by transformer_lens' name.

    `hook_attn_out` and `hook_mlp_out` are what is added to the residual stream; `attn.hook_out` and
    `mlp.hook_out` what the modules return, which differs where a norm follows (Gemma 2, OLMo 2).
    `mlp.hook_in` is what the MLP is given, and `ln2.hook_normalized` that without the weight and
    the bias of the norm before it: transcoders read there, and nothing is written there.
    """

    RESID_PRE = "hook_resid_pre"
    Z = "attn.hook_z"
    ATTN_OUT = "hook_attn_out"
    RESID_MID = "hook_resid_mid"
    POST = "mlp.hook_post"
    MLP_OUT = "hook_mlp_out"
    RESID_POST = "hook_resid_post"
    ATTN_RAW = "attn.hook_out"
    MLP_RAW = "mlp.hook_out"
    MLP_IN = "mlp.hook_in"
    NORMALIZED = "ln2.hook_normalized"


READ_ONLY = frozenset({HookKind.MLP_IN, HookKind.NORMALIZED})
"""Kinds at which activations are read, and never replaced."""

IN_ORDER = (
    HookKind.RESID_PRE,
    HookKind.Z,
    HookKind.ATTN_RAW,
    HookKind.ATTN_OUT,
    HookKind.RESID_MID,
    HookKind.NORMALIZED,
    HookKind.MLP_IN,
    HookKind.POST,
    HookKind.MLP_RAW,
    HookKind.MLP_OUT,
    HookKind.RESID_POST,
)
"""All kinds as a block computes them: nothing of one comes of what a later one holds."""


class Side(StrEnum):
    """Which end of a module."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class HookSite:
    """A tensor of the forward pass: what enters or leaves a module.

    Attributes:
        path: of the module within its block; empty for the block itself.
        side: which of the two.
    """

    path: str
    side: Side


@dataclass(frozen=True)
class Layout:
    """Where an architecture of the `transformers` library keeps its parts.

    Attributes:
        blocks: path of the list of blocks.
        attention: path of the attention module within a block.
        mlp: path of the MLP within a block; empty where the block itself does its work.
        final_norm: path of the norm before the unembedding.
        unembedding: path of the unembedding.
        sites: for each kind of hook point that the architecture has, its tensor.
    """

    blocks: str
    attention: str
    final_norm: str
    unembedding: str
    sites: Mapping[HookKind, HookSite]
    mlp: str = ""

    def site(self, kind: HookKind) -> HookSite | None:
        """Where a kind of hook point lies; None where the architecture has none such.

        A module's output has a name everywhere, also where it is what is added to the stream.
        Of the norm before the MLP it is the input, which is normalised only when it is read.
        """
        if kind is HookKind.NORMALIZED:
            norm = self.sites.get(HookKind.RESID_MID)
            return norm if norm is not None and norm.side is Side.INPUT else None
        if kind is HookKind.MLP_IN:
            return HookSite(self.mlp, Side.INPUT) if self.mlp else None
        raw = {HookKind.ATTN_RAW: self.attention, HookKind.MLP_RAW: self.mlp}
        if (known := self.sites.get(kind)) is None and raw.get(kind):
            return HookSite(raw[kind], Side.OUTPUT)
        return known


@dataclass(frozen=True)
class HookPoint:
    """One hook point of one model.

    Attributes:
        name: as in transformer_lens, such as `blocks.0.mlp.hook_post`.
        layer: number of its block.
        kind: where in the block.
        d_in: width of the activation there (of `hook_z`: all heads together).
        attention_after: whether what stands here at one position can still reach later ones. Only
            in the last block, from the heads' outputs on, does every position stay for itself.
    """

    name: str
    layer: int
    kind: HookKind
    d_in: int
    attention_after: bool


def parse_name(name: str, n_layers: int) -> tuple[int, HookKind]:
    """Layer and kind of a hook point's name.

    Raises:
        HookPointError: the name is not one of ours, or the model has no such layer.
    """
    match = _NAME.fullmatch(name)
    kinds = {str(kind): kind for kind in HookKind}
    if not match or match[2] not in kinds:
        choices = ", ".join(kinds)
        raise HookPointError(
            f"{name!r} is no hook point: write blocks.N.KIND with KIND one of {choices}."
        )
    layer = int(match[1])
    if layer >= n_layers:
        blocks = "one block, blocks.0" if n_layers == 1 else f"blocks 0 to {n_layers - 1}"
        raise HookPointError(f"{name!r} does not exist: the model has {blocks}.")
    return layer, kinds[match[2]]


def in_every_block(name: str, n_layers: int) -> tuple[str, ...]:
    """The hook points that a name stands for: one, or with `*` for the number one in each block."""
    if not name.startswith(_EVERY_BLOCK):
        return (name,)
    return tuple(name.replace("*", str(layer), 1) for layer in range(n_layers))


def in_later_blocks(name: str, n: int) -> tuple[str, ...]:
    """The hook points of the same kind in the n blocks behind that of this one.

    Raises:
        HookPointError: there are some, and the name is no hook point's.
    """
    if n == 0:
        return ()
    if (match := _NAME.fullmatch(name)) is None:
        raise HookPointError(f"{name!r} is no hook point: no block lies behind its own.")
    layer, kind = int(match[1]), match[2]
    return tuple(f"blocks.{later}.{kind}" for later in range(layer + 1, layer + 1 + n))


def attention_follows(layer: int, kind: HookKind, n_layers: int) -> bool:
    """Whether a change of `kind` in block `layer` can reach later positions."""
    return layer < n_layers - 1 or kind is HookKind.RESID_PRE


def _layout(
    root: str, blocks: str, final_norm: str, attention: tuple[str, str], mlp: tuple[str, str],
    second_norm: str,
) -> Layout:  # fmt: skip
    sites = {
        HookKind.RESID_PRE: HookSite("", Side.INPUT),
        HookKind.Z: HookSite(".".join(attention), Side.INPUT),
        HookKind.ATTN_OUT: HookSite(attention[0], Side.OUTPUT),
        HookKind.RESID_MID: HookSite(second_norm, Side.INPUT),
        HookKind.POST: HookSite(".".join(mlp), Side.INPUT),
        HookKind.MLP_OUT: HookSite(mlp[0], Side.OUTPUT),
        HookKind.RESID_POST: HookSite("", Side.OUTPUT),
    }
    return Layout(
        f"{root}.{blocks}",
        attention[0],
        f"{root}.{final_norm}",
        "lm_head",
        MappingProxyType(sites),
        mlp[0],
    )


_GPT2 = _layout("transformer", "h", "ln_f", ("attn", "c_proj"), ("mlp", "c_proj"), "ln_2")
_LLAMA = _layout(
    "model", "layers", "norm", ("self_attn", "o_proj"), ("mlp", "down_proj"),
    "post_attention_layernorm",
)  # fmt: skip

# What transformer_lens says of the commonest architectures, so that a worker for one of them starts
# without importing it (5-6 s). A test holds this table equal to its adapters.
KNOWN_LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "GPT2LMHeadModel": _GPT2,
        "LlamaForCausalLM": _LLAMA,
        "MistralForCausalLM": _LLAMA,
        "Qwen2ForCausalLM": _LLAMA,
        "Qwen3ForCausalLM": _LLAMA,
    }
)
