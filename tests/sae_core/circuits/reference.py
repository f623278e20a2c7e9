"""Frozen models written out by hand, for three families, in float64: the reference of all edges.

Nothing of ours is in here: patterns are those that the library's own eager attention returns,
everything else is weights and sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM


def plain_model(folder: Path) -> Any:
    return (
        AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float64, attn_implementation="eager"
        )
        .eval()
        .requires_grad_(False)
    )


@dataclass
class Pass:
    """What one forward pass had.

    Attributes:
        embedding: what enters the first block, [pos, d_model].
        read: what each MLP reads.
        raw: what each MLP returns.
        out: what each adds to the stream.
        hidden: what the unembedding reads.
    """

    embedding: Tensor
    read: list[Tensor] = field(default_factory=list)
    raw: list[Tensor] = field(default_factory=list)
    out: list[Tensor] = field(default_factory=list)
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))


class FrozenReference:
    """One prompt in one model whose patterns and denominators are those of the clean pass."""

    def __init__(self, plain: Any, tokens: Tensor) -> None:
        self.plain, self.kind = plain, type(plain).__name__
        body = plain.transformer if self.kind == "GPT2LMHeadModel" else plain.model
        self.blocks = body.h if self.kind == "GPT2LMHeadModel" else body.layers
        self.final = body.ln_f if self.kind == "GPT2LMHeadModel" else body.norm
        with torch.no_grad():
            output = plain(input_ids=tokens[None], output_attentions=True, use_cache=False)
        self.patterns = [pattern[0] for pattern in output.attentions]
        self.logits = output.logits[0]
        self.scales: dict[str, Tensor] = {}
        if self.kind == "GPT2LMHeadModel":
            embedding = body.wte(tokens) + body.wpe(torch.arange(len(tokens)))
        else:
            embedding = plain.get_input_embeddings()(tokens)
        self.clean = self.run(embedding)

    def norm(self, name: str, norm: Any, x: Tensor) -> Tensor:
        epsilon = getattr(norm, "eps", getattr(norm, "variance_epsilon", None))
        if self.kind == "GPT2LMHeadModel":
            x = x - x.mean(-1, keepdim=True)
        scale = self.scales.setdefault(name, (x.square().mean(-1, keepdim=True) + epsilon).rsqrt())
        weight = norm.weight + 1 if self.kind == "Gemma2ForCausalLM" else norm.weight
        x = x * scale * weight
        return x + norm.bias if self.kind == "GPT2LMHeadModel" else x

    def attention(self, layer: int, x: Tensor) -> Tensor:
        block, pattern = self.blocks[layer], self.patterns[layer]
        heads = len(pattern)
        if self.kind == "GPT2LMHeadModel":
            fused = x @ block.attn.c_attn.weight + block.attn.c_attn.bias
            values = fused[:, 2 * x.shape[1] :].unflatten(1, (heads, -1))
            z = torch.einsum("hqk,khd->qhd", pattern, values).flatten(1)
            return z @ block.attn.c_proj.weight + block.attn.c_proj.bias
        values = x @ block.self_attn.v_proj.weight.T
        grouped = values.unflatten(1, (-1, block.self_attn.head_dim))
        grouped = grouped.repeat_interleave(heads // grouped.shape[1], dim=1)
        z = torch.einsum("hqk,khd->qhd", pattern, grouped).flatten(1)
        return z @ block.self_attn.o_proj.weight.T

    def neurons(self, layer: int, read: Tensor) -> Tensor:
        mlp = self.blocks[layer].mlp
        if self.kind == "GPT2LMHeadModel":
            return mlp.act(read @ mlp.c_fc.weight + mlp.c_fc.bias)
        return mlp.act_fn(read @ mlp.gate_proj.weight.T) * (read @ mlp.up_proj.weight.T)

    def mlp_of(self, layer: int, neurons: Tensor) -> Tensor:
        mlp = self.blocks[layer].mlp
        if self.kind == "GPT2LMHeadModel":
            return neurons @ mlp.c_proj.weight + mlp.c_proj.bias
        return neurons @ mlp.down_proj.weight.T

    def run(
        self,
        embedding: Tensor,
        raw: Sequence[Tensor | None] = (),
        out: Sequence[Tensor | None] = (),
    ) -> Pass:
        """A pass in which some MLPs return, or add, what is given, and others what they compute."""
        x, result, n = embedding, Pass(embedding), len(self.blocks)
        raw, out = list(raw) or [None] * n, list(out) or [None] * n
        for layer, block in enumerate(self.blocks):
            first, second = (
                (block.ln_1, block.ln_2)
                if self.kind == "GPT2LMHeadModel"
                else (block.input_layernorm, block.post_attention_layernorm)
            )
            attended = self.attention(layer, self.norm(f"{layer} first", first, x))
            if self.kind == "Gemma2ForCausalLM":
                attended = self.norm(f"{layer} behind", second, attended)
                second = block.pre_feedforward_layernorm
            x = x + attended
            read = self.norm(f"{layer} second", second, x)
            given = raw[layer]
            mlp = self.mlp_of(layer, self.neurons(layer, read)) if given is None else given
            added = mlp
            if self.kind == "Gemma2ForCausalLM":
                added = self.norm(f"{layer} end", block.post_feedforward_layernorm, mlp)
            replaced = out[layer]
            added = added if replaced is None else replaced
            result.read.append(read)
            result.raw.append(mlp)
            result.out.append(added)
            x = x + added
        result.hidden = self.norm("final", self.final, x)
        return result

    def centred_logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits before any soft cap, less the mean of all, at the last position."""
        all_logits = self.plain.lm_head.weight @ hidden[-1]
        return (all_logits - all_logits.mean())[ids]
