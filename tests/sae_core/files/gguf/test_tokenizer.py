from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from sae_core.errors import ModelError
from sae_core.files.gguf.tokenizer import KNOWN, tokenizer_of
from tests.sae_core.files.gguf.gguf_models import MERGES, TEMPLATE, TOKENS

FILE = Path("model.gguf")
TEXTS = [
    "the the  the\n\nthe",
    "12 1212 x12",
    "it's IT'S a_b ½ ١٢ Café",
    "<|im_start|>user\nthe<|im_end|>",
    "  blank  ",
]


def byte_level(family: str = "gpt-2", **other: object) -> dict[str, object]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": family,
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [1] * (len(TOKENS) - 3) + [3, 3, 3],
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": len(TOKENS) - 1,
        "tokenizer.ggml.eos_token_id": len(TOKENS) - 2,
        "tokenizer.chat_template": TEMPLATE,
        **{f"tokenizer.ggml.{key}": value for key, value in other.items()},
    }


@pytest.mark.parametrize("family", KNOWN)
def test_every_family_spells_a_text_whole(family):
    tokenizer, _ = tokenizer_of(byte_level(family), FILE)
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text.replace("e\u0301", "é")


def test_gpt2_is_cut_as_gpt2_is():
    tokenizer, settings = tokenizer_of(byte_level(), FILE)
    merges = [tuple(merge.split()) for merge in MERGES]
    own = Tokenizer(models.BPE({token: i for i, token in enumerate(TOKENS)}, merges))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in (text for text in TEXTS if "<" not in text):
        assert tokenizer.encode(text).ids == own.encode(text).ids
    assert settings["chat_template"] == TEMPLATE
    assert (settings["bos_token"], settings["add_bos_token"]) == ("<|im_start|>", False)


@pytest.mark.parametrize(
    ("family", "digits"), [("gpt-2", 2), ("smollm", 1), ("qwen2", 1), ("llama-bpe", 2)]
)
def test_digits_stay_together_as_the_family_has_it(family, digits):
    tokenizer, _ = tokenizer_of(byte_level(family), FILE)
    tokens = tokenizer.encode("12", add_special_tokens=False).tokens
    assert max(map(len, tokens)) == digits


def test_special_tokens_are_read_in_a_text_and_bos_where_the_file_says():
    tokenizer, settings = tokenizer_of(byte_level(add_bos_token=True), FILE)
    assert settings["add_bos_token"] is True
    assert tokenizer.encode("the").ids[0] == len(TOKENS) - 1
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False).ids == [len(TOKENS) - 2]


def pieces() -> dict[str, object]:
    scored = {"▁": -9.0, "▁t": -2.0, "he": -1.0, "▁the": -3.0, "th": -4.0, "the": -5.0}
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *scored, *letters]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 259 + list(scored.values()) + [-20.0] * 26,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(scored) + 26),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def merged_by_score(text: str, tokens: list[str], scores: list[float]) -> list[str]:
    """SentencePiece's rule, as it is told: the best union of neighbours first."""
    rank = dict(zip(tokens, scores, strict=True))
    parts = list("▁" + text.replace(" ", "▁"))
    while True:
        unions = [(rank[a + b], -i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in rank]
        if not unions:
            return parts
        at = -max(unions)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_sentencepiece_merges_by_score():
    settings = pieces()
    tokenizer, roles = tokenizer_of(settings, FILE)
    tokens, scores = (settings[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores"))
    for text in ("the", "the other", "then  he the", "thathehethe"):
        spelt = tokenizer.encode(text, add_special_tokens=False).tokens
        assert spelt == merged_by_score(text, tokens, scores)
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode("é", add_special_tokens=False).tokens == ["▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.encode("the").tokens[0] == "<s>"
    assert roles["add_bos_token"] is True


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "holds no tokenizer"),
        (byte_level("martian"), "'martian'"),
        (byte_level(""), "does not name"),
        (byte_level(merges=["q q"]), "merges 'q q'"),
        (byte_level(merges=None), "without merges"),
        (byte_level(model="rwkv"), "kind 'rwkv'"),
        (byte_level(tokens=["a", "a"]), "spelt alike"),
        (pieces() | {"tokenizer.ggml.scores": [1.0]}, "no score for each token"),
    ],
)
def test_what_cannot_be_built_exactly_is_refused(settings, sentence):
    with pytest.raises(ModelError, match=re.escape(sentence)):
        tokenizer_of(settings, FILE)
