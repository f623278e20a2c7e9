"""SAELens' loaders: which reader opens the same files here, and the cases that hold it to maths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How the files of one of SAELens' loaders are read here.

    Attributes:
        format: the reader's name; empty where they are refused.
        cases: names of files in that format, of `CASES`; of refused ones why.
    """

    format: str
    cases: tuple[str, ...]


_SAELENS = ("standard", "topk", "gated", "jumprelu", "abstopk", "matching pursuit", "3 finetuned")
_LEARNED = ("ReLU", "new", "gated", "TopK", "BatchTopK", "Matryoshka", "JumpReLU")
LOADERS: dict[str, Reading] = {
    "gemma_3": Reading(
        "gemma_scope",
        (
            "gemma scope 2",
            "gemma scope 2 transcoder",
            "gemma scope 2 skip transcoder",
            "gemma scope 2 CLT layer",
        ),
    ),
    "gemma_2": Reading("gemma_scope", ("gemma scope", "gemma scope embeddings")),
    "dictionary_learning_1": Reading(
        "dictionary_learning", tuple(f"learned {kind}" for kind in _LEARNED)
    ),
    "qwen_scope": Reading("qwen_scope", ("qwen scope",)),
    "sae_lens": Reading("saelens", tuple(f"saelens {kind}" for kind in _SAELENS)),
    "mwhanna_transcoder": Reading("circuit_tracer", ("circuit-tracer ReLU",)),
    "llama_scope": Reading("llama_scope", ("llama scope",)),
    "llama_scope_r1_distill": Reading("llama_scope", ("llama scope R1 distill",)),
    "gemma_2_transcoder": Reading("gemma_scope", ("gemma scope transcoder",)),
    "mntss_clt_layer_transcoder": Reading("circuit_tracer", ("circuit-tracer CLT layer",)),
    "connor_rob_hook_z": Reading("kissane", ("kissane",)),
    "temporal": Reading("", ("a feature depends on all tokens before",)),
    "goodfire": Reading("linear_layers", ("goodfire",)),
    "deepseek_r1": Reading("linear_layers", ("deepseek r1",)),
    "sparsify": Reading("sparsify", ("sparsify", "sparsify signed", "sparsify transcoder")),
}
