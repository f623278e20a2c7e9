"""Tiny random models of many architectures, built from the transformers library's own classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from tests.sae_core.tiny_models import D_VOCAB

_COMMON: dict[str, Any] = {
    "vocab_size": D_VOCAB,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_GROUPED = _COMMON | {"num_key_value_heads": 2, "head_dim": 8}
_GPT = {
    "vocab_size": D_VOCAB, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

# Name: class of the model, class of its configuration, its settings.
ARCHITECTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _GPT),
    "gpt1": ("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", _GPT),
    "gptj": ("GPTJForCausalLM", "GPTJConfig", _GPT | {"rotary_dim": 4}),
    "codegen": ("CodeGenForCausalLM", "CodeGenConfig", _GPT | {"rotary_dim": 4, "n_ctx": 64}),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", _GPT),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            "vocab_size": D_VOCAB, "hidden_size": 32, "num_layers": 3, "num_heads": 4,
            "attention_types": [[["global", "local"], 1], [["global"], 1]], "window_size": 8,
            "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0,
        },
    ),
    "neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _COMMON | {"use_parallel_residual": True}),
    "neox, sequential": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        _COMMON | {"use_parallel_residual": False},
    ),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {
            "vocab_size": D_VOCAB, "hidden_size": 32, "n_layer": 3, "n_head": 4, "seq_length": 64,
            "bos_token_id": 0, "eos_token_id": 0,
        },
    ),
    "mpt": (
        "MptForCausalLM",
        "MptConfig",
        {"vocab_size": D_VOCAB, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 64},
    ),
    "opt": (
        "OPTForCausalLM",
        "OPTConfig",
        {
            "vocab_size": D_VOCAB, "hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": 64, "word_embed_proj_dim": 32,
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
        },
    ),
    "opt, norms behind": (
        "OPTForCausalLM",
        "OPTConfig",
        {
            "vocab_size": D_VOCAB, "hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": 64, "word_embed_proj_dim": 32,
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "do_layer_norm_before": False,
        },
    ),
    "xglm": (
        "XGLMForCausalLM",
        "XGLMConfig",
        {
            "vocab_size": D_VOCAB, "d_model": 32, "ffn_dim": 40, "num_layers": 3,
            "attention_heads": 4, "max_position_embeddings": 64,
        },
    ),
    "falcon": (
        "FalconForCausalLM",
        "FalconConfig",
        _COMMON | {"new_decoder_architecture": False, "parallel_attn": True, "multi_query": True},
    ),
    "falcon 40b": (
        "FalconForCausalLM",
        "FalconConfig",
        _COMMON | {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "falcon, sequential": (
        "FalconForCausalLM",
        "FalconConfig",
        _COMMON | {"new_decoder_architecture": False, "parallel_attn": False, "alibi": True},
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _GROUPED),
    "mistral": ("MistralForCausalLM", "MistralConfig", _GROUPED | {"sliding_window": 8}),
    "ministral3": ("Ministral3ForCausalLM", "Ministral3Config", _GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _GROUPED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _GROUPED),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", _GROUPED),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", _GROUPED | {"sliding_window": 8}),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", _GROUPED | {"sliding_window": 8}),
    "vaultgemma": ("VaultGemmaForCausalLM", "VaultGemmaConfig", _GROUPED | {"sliding_window": 8}),
    "phi": ("PhiForCausalLM", "PhiConfig", _COMMON),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", _COMMON | {"num_key_value_heads": 2}),
    "stablelm": ("StableLmForCausalLM", "StableLmConfig", _COMMON | {"num_key_value_heads": 2}),
    "starcoder2": (
        "Starcoder2ForCausalLM",
        "Starcoder2Config",
        _COMMON | {"num_key_value_heads": 2},
    ),
    "olmo": ("OlmoForCausalLM", "OlmoConfig", _COMMON | {"num_key_value_heads": 2}),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", _COMMON | {"num_key_value_heads": 2}),
    "olmo3": ("Olmo3ForCausalLM", "Olmo3Config", _COMMON | {"num_key_value_heads": 2}),
    "glm": ("GlmForCausalLM", "GlmConfig", _GROUPED),
    "glm4": ("Glm4ForCausalLM", "Glm4Config", _GROUPED),
    "exaone4": ("Exaone4ForCausalLM", "Exaone4Config", _GROUPED | {"sliding_window": 8}),
    "cohere": ("CohereForCausalLM", "CohereConfig", _COMMON | {"num_key_value_heads": 2}),
    "cohere2": (
        "Cohere2ForCausalLM",
        "Cohere2Config",
        _COMMON | {"num_key_value_heads": 2, "sliding_window": 8},
    ),
    "granite": (
        "GraniteForCausalLM",
        "GraniteConfig",
        _COMMON | {
            "num_key_value_heads": 2, "residual_multiplier": 0.22, "logits_scaling": 8.0,
            "embedding_multiplier": 12.0, "attention_multiplier": 0.1,
        },
    ),
    "nemotron": ("NemotronForCausalLM", "NemotronConfig", _GROUPED),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", _GROUPED),
    "seed_oss": ("SeedOssForCausalLM", "SeedOssConfig", _GROUPED),
    "arcee": ("ArceeForCausalLM", "ArceeConfig", _GROUPED),
    "apertus": ("ApertusForCausalLM", "ApertusConfig", _GROUPED),
    "ernie4_5": ("Ernie4_5ForCausalLM", "Ernie4_5Config", _GROUPED),
    "hunyuan": ("HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Config", _GROUPED),
    "helium": ("HeliumForCausalLM", "HeliumConfig", _GROUPED),
    "bitnet": ("BitNetForCausalLM", "BitNetConfig", _COMMON | {"num_key_value_heads": 2}),
    "diffllama": ("DiffLlamaForCausalLM", "DiffLlamaConfig", _GROUPED),
    "mixtral": (
        "MixtralForCausalLM",
        "MixtralConfig",
        _GROUPED | {"num_local_experts": 4},
    ),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        _COMMON | {"num_key_value_heads": 2, "shared_expert_intermediate_size": 16} | _EXPERTS,
    ),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", _GROUPED | _EXPERTS),
    "olmoe": (
        "OlmoeForCausalLM",
        "OlmoeConfig",
        _COMMON | {"num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "granite_moe": (
        "GraniteMoeForCausalLM",
        "GraniteMoeConfig",
        _COMMON | {
            "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
            "residual_multiplier": 0.22, "logits_scaling": 8.0,
        },
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        _GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
    ),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        _COMMON | {
            "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 2,
            "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8, "v_head_dim": 8, "n_shared_experts": 1,
        },
    ),
    "deepseek_v2": (
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        _COMMON | {
            "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 16, "first_k_dense_replace": 1, "q_lora_rank": 16,
            "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
            "n_shared_experts": 1, "topk_method": "greedy",
        },
    ),
    "phimoe": (
        "PhimoeForCausalLM",
        "PhimoeConfig",
        _COMMON | {"num_key_value_heads": 2, "num_local_experts": 4},
    ),
    "llama4": (
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        _GROUPED | {
            "num_local_experts": 4, "intermediate_size_mlp": 40, "interleave_moe_layer_step": 2,
            "attention_chunk_size": 16,
        },
    ),
    "lfm2": (
        "Lfm2ForCausalLM",
        "Lfm2Config",
        _COMMON | {
            "pad_token_id": 0, "num_key_value_heads": 2,
            "layer_types": ["conv", "full_attention", "conv"],
        },
    ),
    "qwen3_5": (
        "Qwen3_5ForCausalLM",
        "Qwen3_5TextConfig",
        _GROUPED | {
            "num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
            "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        },
    ),
    "qwen3_next": (
        "Qwen3NextForCausalLM",
        "Qwen3NextConfig",
        _GROUPED | _EXPERTS | {
            "num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
            "linear_key_head_dim": 8, "linear_value_head_dim": 8,
            "shared_expert_intermediate_size": 16,
        },
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": D_VOCAB, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 4},
    ),
    "persimmon": ("PersimmonForCausalLM", "PersimmonConfig", _COMMON),
    "jetmoe": (
        "JetMoeForCausalLM",
        "JetMoeConfig",
        {
            "vocab_size": D_VOCAB, "hidden_size": 32, "num_hidden_layers": 3,
            "num_key_value_heads": 2, "kv_channels": 8, "intermediate_size": 40,
            "max_position_embeddings": 64, "num_local_experts": 4, "num_experts_per_tok": 2,
        },
    ),
}  # fmt: skip


def _text(kind: str, **more: Any) -> Any:
    return getattr(transformers, kind)(**(_GROUPED | more))


def _vision(kind: str, **more: Any) -> Any:
    sizes = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    return getattr(transformers, kind)(**(sizes | more))


# Text models inside of models that read pictures.
WRAPPERS: dict[str, Callable[[], PreTrainedModel]] = {
    "llava": lambda: transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            text_config=_text("LlamaConfig"),
            vision_config=_vision("CLIPVisionConfig"),
            image_token_index=5,
        )
    ),
    "mistral3": lambda: transformers.Mistral3ForConditionalGeneration(
        transformers.Mistral3Config(
            text_config=_text("MistralConfig"),
            vision_config=_vision("PixtralVisionConfig", head_dim=16),
            image_token_index=5,
        )
    ),
    "gemma3 vision": lambda: transformers.Gemma3ForConditionalGeneration(
        transformers.Gemma3Config(
            text_config=_text("Gemma3TextConfig", sliding_window=8),
            vision_config=_vision("SiglipVisionConfig"),
            mm_tokens_per_image=4,
            image_token_index=5,
        )
    ),
}


def build(name: str) -> PreTrainedModel:
    """A seeded model whose every weight matters: none is at its default."""
    if name in WRAPPERS:
        torch.manual_seed(0)
        model = WRAPPERS[name]()
    else:
        kind, config, settings = ARCHITECTURES[name]
        torch.manual_seed(0)
        model = getattr(transformers, kind)(getattr(transformers, config)(**settings))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for own, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)
            elif "conv" not in own and "A_log" not in own:
                parameter.copy_(0.25 * noise)
    return model.eval()
