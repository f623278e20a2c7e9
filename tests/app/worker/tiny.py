"""A tiny random GPT-2 with a tokenizer and a dictionary, on disk as users' models are."""

from __future__ import annotations

from pathlib import Path

from app.worker.protocol.requests import DictionaryRef, ModelRef
from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.files.checksum import folder_checksum

N_CTX = 16
D_VOCAB = 300
D_MLP = 24
D_SAE = 40
HOOK_POINT = "blocks.0.mlp.hook_post"


def save_model(folder: Path) -> ModelRef:
    """Two layers, weights large enough that ablations matter."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=2,
        n_embd=12,
        n_head=2,
        n_inner=D_MLP,
        n_positions=N_CTX,
        vocab_size=D_VOCAB,
        bos_token_id=0,
        eos_token_id=0,
        activation_function="relu",
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=D_VOCAB,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a tiny text " * 9], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return ModelRef(path=str(folder), checksum=folder_checksum(folder))


def save_features(folder: Path, hook_point: str = HOOK_POINT, d_in: int = D_MLP) -> DictionaryRef:
    """A random dictionary whose features fire often."""
    import torch

    from sae_core.dictionaries.architectures.topk import TopKDictionary
    from sae_core.dictionaries.checkpoint import save_dictionary

    torch.manual_seed(1)
    dictionary = TopKDictionary(hook_point, d_in, D_SAE, k=8)
    for parameter in dictionary.parameters():
        torch.nn.init.normal_(parameter)
    folder.mkdir(parents=True, exist_ok=True)
    save_dictionary(dictionary, folder)
    return DictionaryRef(
        path=str(folder), hook_point=hook_point, checksum=dictionary_checksum(folder)
    )
