"""Tiny models as llama.cpp's converter would write them, and the same as library models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
)

SYMBOLS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ["Ġ t", "h e", "Ġt he", "1 2"]
SPECIAL = ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]
TOKENS = [*SYMBOLS, *("".join(merge.split()) for merge in MERGES), *SPECIAL]
N_TOKENS = 288  # rows of 32 numbers are a whole number of blocks
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"


def config_of(family: str) -> PretrainedConfig:
    """A model of two layers."""
    common: dict[str, Any] = {"vocab_size": N_TOKENS, "bos_token_id": None, "eos_token_id": 261}
    if family == "gpt2":
        return GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=64, **common)
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family]
    return kind(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=family == "qwen2",
        **common,
    )


def library_model(family: str) -> Any:
    """Random weights that float16 holds, with biases and norms that are not neutral."""
    draw = torch.Generator().manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_of(family)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            around = 1.0 if "norm" in name or "ln_" in name else 0.0
            noise = torch.randn(weight.shape, generator=draw)
            spread = 0.2 if weight.ndim == 1 or weight.shape[0] == N_TOKENS else 0.08
            weight.copy_((around + spread * noise).half().float())
    return model


def write_gguf(
    path: Path, family: str, model: Any, kind: str = "F16", **settings: Any
) -> dict[str, torch.Tensor]:
    """Write a model, its matrices as `kind`; the weights that the file then holds, by the
    library's names."""
    config, writer = model.config, gguf.GGUFWriter(path, family)
    _add_settings(writer, family, config)
    _add_tokenizer(writer)
    for key, value in settings.items():
        writer.add_string(key.replace("__", "."), value)
    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[family]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    quantised = gguf.GGMLQuantizationType[kind]
    kept: dict[str, torch.Tensor] = {}
    state = dict(model.named_parameters())
    for name, weight in state.items():
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        value, put, back = weight.detach().numpy(), *_turns(family, name, config)
        turned = np.ascontiguousarray(put(value))
        if turned.ndim == 1:
            writer.add_tensor(place, turned)
            kept[name] = weight.detach()
            continue
        raw = gguf.quantize(turned, quantised)
        writer.add_tensor(place, raw, raw_dtype=quantised)
        kept[name] = torch.from_numpy(back(gguf.dequantize(raw, quantised)).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


def _turns(family: str, name: str, config: Any) -> tuple[Any, Any]:
    """How the converter turns a weight around, and back."""
    if family == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads

        def put(w: Any) -> Any:
            return w.reshape(heads, 2, -1, w.shape[1]).swapaxes(1, 2).reshape(w.shape)

        def back(w: Any) -> Any:
            return w.reshape(heads, -1, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)

        return put, back
    if family == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return np.transpose, np.transpose
    return np.asarray, np.asarray


def _add_settings(writer: gguf.GGUFWriter, family: str, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if family == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokens = [*TOKENS, *(f"<unused {n}>" for n in range(N_TOKENS - len(TOKENS)))]
    kinds = [1] * (len(SYMBOLS) + len(MERGES)) + [3] * (N_TOKENS - len(SYMBOLS) - len(MERGES))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(TOKENS.index("<|im_end|>"))
    writer.add_bos_token_id(TOKENS.index("<|im_start|>"))
    writer.add_chat_template(TEMPLATE)
