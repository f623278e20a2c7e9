"""Tiny random models and a tiny tokenizer, to be written as Hugging Face folders."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

D_VOCAB = 300
END = "<|endoftext|>"
STORIES = Path(__file__).parents[3] / "shared" / "models" / "stories260K"
TEXT = [
    "The quick brown fox jumps over the lazy dog. A dog does not mind.",
    "def read(path):\n    with open(path) as stream:\n        return stream.read()\n",
    "Ablation removes what a feature writes; the error stays in.",
]


def tiny_tokenizer() -> Tokenizer:
    """A byte-level BPE of at most 300 tokens; id 0 ends a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=D_VOCAB,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def tiny_gpt2(n_layers: int = 3, activation: str = "gelu_new") -> GPT2LMHeadModel:
    """A random GPT-2 whose every weight matters: norms and biases are not at their defaults."""
    return _seeded(
        GPT2LMHeadModel,
        GPT2Config(
            vocab_size=D_VOCAB,
            n_positions=64,
            n_embd=32,
            n_layer=n_layers,
            n_head=4,
            n_inner=48,
            activation_function=activation,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        ),
    )


def tiny_llama() -> LlamaForCausalLM:
    """A random Llama of three layers with grouped-query attention."""
    return _seeded(
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=D_VOCAB,
            max_position_embeddings=64,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        ),
    )


def _seeded(kind: type, config: PreTrainedConfig) -> PreTrainedModel:
    generator = torch.Generator().manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.25 * noise)
    return model


def save_folder(model: PreTrainedModel, folder: Path) -> Path:
    """Write a model and the tiny tokenizer as users' models lie on disk."""
    model.save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def tiny_gemma2() -> PreTrainedModel:
    """A random Gemma 2: a norm behind each sublayer, soft-capped logits."""
    return _seeded(
        Gemma2ForCausalLM,
        Gemma2Config(
            vocab_size=D_VOCAB,
            max_position_embeddings=64,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=None,
        ),
    )


def tiny_neox() -> PreTrainedModel:
    """A random GPT-NeoX (Pythia): attention and MLP read the same stream in parallel."""
    return _seeded(
        GPTNeoXForCausalLM,
        GPTNeoXConfig(
            vocab_size=D_VOCAB,
            max_position_embeddings=64,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            use_parallel_residual=True,
            bos_token_id=0,
            eos_token_id=0,
        ),
    )


def tiny_bloom() -> PreTrainedModel:
    """A random Bloom: no position embeddings, and a name of its own for the longest context."""
    return _seeded(
        BloomForCausalLM,
        BloomConfig(
            vocab_size=D_VOCAB,
            seq_length=64,
            hidden_size=32,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        ),
    )
