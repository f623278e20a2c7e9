"""Chat templates in the formats that eight families of models publish, written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = [
    "system user assistant model human You are a helpful assistant. What is a dog? A dog barks.",
    "User: hello\nAssistant: hi there\n\n### Instruction [INST] [/INST] <<SYS>> <|user|> é ☃",
]


class Family(NamedTuple):
    """A format.

    Attributes:
        template: Jinja.
        special: its control tokens.
        bos: which of them opens a text; empty: none.
        eos: which ends one.
        metaspace: whether its tokenizer is of SentencePiece's manner.
        opens: whether its tokenizer puts BOS before plain text.
    """

    template: str
    special: tuple[str, ...]
    bos: str
    eos: str
    metaspace: bool = False
    opens: bool = False


_ALTERNATE = (
    "{% if loop.index0 % 2 != (message['role'] == 'assistant') %}"
    "{{ raise_exception('user and assistant take turns') }}{% endif %}"
)
FAMILIES = {
    "chatml": Family(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + "
        "'<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_start|>",
        "<|im_end|>",
    ),
    "llama2": Family(
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
        "{% set before = '<<SYS>>\n' ~ messages[0]['content'] ~ '\n<</SYS>>\n\n' %}"
        "{% else %}{% set rest = messages %}{% set before = '' %}{% endif %}"
        "{% for message in rest %}" + _ALTERNATE + "{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + (before if loop.first else '') + "
        "message['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}"
        "{% endfor %}",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        metaspace=True,
        opens=True,
    ),
    "llama3": Family(
        "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
        "'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|eot_id|>",
        opens=True,
    ),
    "gemma": Family(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}" + _ALTERNATE + "{{ '<start_of_turn>' + "
        "('model' if message['role'] == 'assistant' else message['role']) + '\n' + "
        "message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        metaspace=True,
        opens=True,
    ),
    "mistral": Family(
        "{{ bos_token }}{% for message in messages %}" + _ALTERNATE + "{% if message['role'] == "
        "'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "<s>",
        "</s>",
        metaspace=True,
        opens=True,
    ),
    "phi3": Family(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
        "{% else %}{{ eos_token }}{% endif %}",
        ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<s>",
        "<|endoftext|>",
        metaspace=True,
    ),
    "zephyr": Family(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}"
        "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
        "{% endfor %}",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        metaspace=True,
        opens=True,
    ),
    "deepseek": Family(
        "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
        "{% set ns.system = m['content'] %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}"
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
        "{% elif m['role'] == 'assistant' %}{{ '<｜Assistant｜>' + "
        "m['content'].split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
        ("<｜begin｜>", "<｜end｜>", "<｜User｜>", "<｜Assistant｜>"),
        "<｜begin｜>",
        "<｜end｜>",
        opens=True,
    ),
    "vicuna": Family(
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}"
        "{% elif m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
        "{% else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        metaspace=True,
        opens=True,
    ),
}


def save_family(family: Family, folder: Path) -> Path:
    """A folder with the tokenizer and the template of a family."""
    folder.mkdir()
    tokenizer = _tokenizer(family)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": family.bos,
        "eos_token": family.eos,
        "chat_template": family.template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _tokenizer(family: Family) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=family.metaspace, unk_token=None))
    alphabet = sorted({char for text in TEXT for char in text} - {" "})
    fallback = [f"<0x{byte:02X}>" for byte in range(256)] if family.metaspace else []
    if family.metaspace:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*family.special, *fallback],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    if not fallback:
        return tokenizer
    # The bytes are ordinary tokens.
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = [
        token for token in settings["added_tokens"] if token["content"] not in fallback
    ]
    plain: Tokenizer = Tokenizer.from_str(json.dumps(settings))
    return plain
