"""A dictionary in each published format, to be written, opened and held to its own maths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tests.sae_core.dictionaries.formats import (
    release_writers,
    transcoder_writers,
    writers,
)
from tests.sae_core.dictionaries.formats.writers import D_IN, Written

HOOK = "blocks.1.hook_resid_pre"
CASES: dict[str, tuple[str, Callable[[Path], Written]]] = {
    "saelens standard": ("saelens", lambda p: writers.saelens(p / "a", "standard")),
    "saelens topk": ("saelens", lambda p: writers.saelens(p / "a", "topk")),
    "saelens gated": ("saelens", lambda p: writers.saelens(p / "a", "gated")),
    "saelens jumprelu": ("saelens", lambda p: writers.saelens(p / "a", "jumprelu")),
    "saelens topk, layer norm": (
        "saelens",
        lambda p: writers.saelens(p / "a", "topk", "layer_norm"),
    ),
    "saelens jumprelu, layer norm": (
        "saelens",
        lambda p: writers.saelens(p / "a", "jumprelu", "layer_norm"),
    ),
    "saelens standard, constant norm": (
        "saelens",
        lambda p: writers.saelens(p / "a", "standard", "constant_norm_rescale"),
    ),
    "saelens 3 standard": ("saelens", lambda p: writers.saelens(p / "a", "standard", old=True)),
    "saelens 3 topk": ("saelens", lambda p: writers.saelens(p / "a", "topk", old=True)),
    "saelens 3 gated": ("saelens", lambda p: writers.saelens(p / "a", "gated", old=True)),
    "saelens 3 jumprelu": ("saelens", lambda p: writers.saelens(p / "a", "jumprelu", old=True)),
    "saelens 3 finetuned": ("saelens", lambda p: writers.finetuned(p / "a")),
    "llama scope": ("llama_scope", lambda p: writers.llama_scope(p / "a")),
    "llama scope, learned thresholds": (
        "llama_scope",
        lambda p: writers.llama_scope(p / "a", newer=True),
    ),
    "llama scope R1 distill": (
        "llama_scope",
        lambda p: writers.llama_scope(p / "a", newer=True, names="before"),
    ),
    "llama scope TopK": ("llama_scope", lambda p: writers.llama_scope(p / "a", "topk")),
    "llama scope ReLU, not scaled": (
        "llama_scope",
        lambda p: writers.llama_scope(p / "a", "relu", norm_activation="none"),
    ),
    "learned ReLU": ("dictionary_learning", lambda p: writers.learned(p / "a", "AutoEncoder")),
    "learned new": ("dictionary_learning", lambda p: writers.learned(p / "a", "AutoEncoderNew")),
    "learned gated": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "GatedAutoEncoder"),
    ),
    "learned TopK": ("dictionary_learning", lambda p: writers.learned(p / "a", "AutoEncoderTopK")),
    "learned BatchTopK": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "BatchTopKSAE"),
    ),
    "learned Matryoshka": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "MatryoshkaBatchTopKSAE"),
    ),
    "learned JumpReLU": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "JumpReluAutoEncoder"),
    ),
    "learned TopK, interrupted": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "AutoEncoderTopK", backup=3.0),
    ),
    "learned gated, interrupted": (
        "dictionary_learning",
        lambda p: writers.learned(p / "a", "GatedAutoEncoder", backup=3.0),
    ),
    "gemma scope": ("gemma_scope", lambda p: writers.gemma_scope(p / "a")),
    "gemma scope 2": ("gemma_scope", lambda p: writers.gemma_scope(p / "a", 2)),
    "gemma scope embeddings": (
        "gemma_scope",
        lambda p: writers.gemma_scope(p / "gemma-scope-2b-pt-res" / "embedding" / "a"),
    ),
    "gemma scope transcoder": (
        "gemma_scope",
        lambda p: transcoder_writers.gemma_scope(p / "gemma-scope-2b-pt-transcoders" / "layer_1"),
    ),
    "gemma scope 2 transcoder": (
        "gemma_scope",
        lambda p: transcoder_writers.gemma_scope(p / "transcoder_all" / "layer_1_width_1k", 2),
    ),
    "gemma scope 2 skip transcoder": (
        "gemma_scope",
        lambda p: transcoder_writers.gemma_scope(
            p / "transcoder" / "layer_1_width_1k_affine", 2, affine=True
        ),
    ),
    "gemma scope 2 CLT layer": (
        "gemma_scope",
        lambda p: transcoder_writers.gemma_scope_clt(p / "clt" / "width_1k", 1),
    ),
    "openai ReLU": ("openai", lambda p: writers.openai(p / "a.pt", "ReLU")),
    "openai TopK": ("openai", lambda p: writers.openai(p / "a.pt", "TopK")),
    "sparsify": ("sparsify", lambda p: writers.sparsify(p / "layers.1")),
    "sparsify signed": ("sparsify", lambda p: release_writers.signed_sparsify(p / "layers.1")),
    "sparsify transcoder": (
        "sparsify",
        lambda p: transcoder_writers.sparsify(p / "layers.1.mlp", skip=False),
    ),
    "sparsify skip transcoder": (
        "sparsify",
        lambda p: transcoder_writers.sparsify(p / "layers.1.mlp", skip=True),
    ),
    "circuit-tracer ReLU": ("circuit_tracer", transcoder_writers.circuit_tracer),
    "circuit-tracer TopK": (
        "circuit_tracer",
        lambda p: transcoder_writers.circuit_tracer(p, "topk"),
    ),
    "circuit-tracer JumpReLU, skip": (
        "circuit_tracer",
        lambda p: transcoder_writers.circuit_tracer(p, "jump_relu", skip=True),
    ),
    "circuit-tracer CLT layer": ("circuit_tracer", transcoder_writers.circuit_tracer_clt),
    "circuit-tracer CLT layer, skip": (
        "circuit_tracer",
        lambda p: transcoder_writers.circuit_tracer_clt(p, thresholds=True),
    ),
    "qwen scope": ("qwen_scope", lambda p: release_writers.qwen_scope(p / "Qwen-W1K-L0_5")),
    "goodfire": (
        "linear_layers",
        lambda p: release_writers.linear_layers(p / "Llama-SAE-l1.pth", "_linear"),
    ),
    "deepseek r1": (
        "linear_layers",
        lambda p: release_writers.linear_layers(p / "DeepSeek-SAE-l1.pt", ""),
    ),
    "kissane": ("kissane", lambda p: release_writers.kissane(p / "gpt2-small_L1_Hcat_z.pt")),
    "saelens abstopk": ("saelens", lambda p: release_writers.abstopk(p / "a")),
    "saelens matching pursuit": (
        "saelens",
        lambda p: release_writers.matching_pursuit(p / "a"),
    ),
    "saelens matching pursuit, few steps": (
        "saelens",
        lambda p: release_writers.matching_pursuit(
            p / "a", False, max_iterations=3, residual_threshold=0.0
        ),
    ),
    "saelens matching pursuit, on and on": (
        "saelens",
        lambda p: release_writers.matching_pursuit(
            p / "a", residual_threshold=0.0, stop_on_duplicate_support=False
        ),
    ),
}


def activations(n: int = 60) -> Tensor:
    """Activations [n, d_in] of many sizes, off centre, float64."""
    draw = torch.Generator().manual_seed(9)
    size = torch.linspace(0.1, 5.0, n)[:, None]
    return (size * torch.randn(n, D_IN, generator=draw) + 0.7).double()
