"""The tokenizer in a GGUF file's header, as `tokenizer.json` has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from sae_core.errors import ModelError

_NORMAL, _UNKNOWN, _CONTROL, _OF_USER, _UNUSED, _BYTE = range(1, 7)

# Where the byte-level tokenizers of each family cut a text before they merge. `{n}` is how many
# digits stay together at most.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{n}|"
    r" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PLAIN = ("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jina-en")
_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")
_BY_REGEX = {
    "llama-bpe": _WORDS.format(n="{1,3}"),
    "llama3": _WORDS.format(n="{1,3}"),
    "dbrx": _WORDS.format(n="{1,3}"),
    "smaug-bpe": _WORDS.format(n="{1,3}"),
    "qwen2": _WORDS.format(n=""),
    "stablelm2": _WORDS.format(n=""),
}
_WHOLE_WORDS = ("llama-bpe", "llama3")  # a word that is a token is taken before any merge
_OPENED = ("llama-bpe", "llama3")  # BOS comes first although the file may not say so
_COMPOSED = ("qwen2", "stablelm2")
KNOWN = (*_PLAIN, *_SINGLE_DIGITS, *_BY_REGEX)


def tokenizer_of(metadata: Mapping[str, Any], path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer, and what `tokenizer_config.json` says of it: special tokens, chat template.

    Args:
        metadata: the file's.
        path: the file, for sentences.

    Raises:
        ModelError: the file has none, or one that cannot be built exactly.
    """
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not isinstance(tokens[0], str):
        raise _refused(path, "holds no tokenizer")
    if len(set(tokens)) != len(tokens):
        raise _refused(path, "has a tokenizer in which two tokens are spelt alike")
    kind, family = (str(metadata.get(f"tokenizer.ggml.{key}", "")) for key in ("model", "pre"))
    if kind == "gpt2":
        tokenizer = _byte_level(metadata, tokens, family, path)
    elif kind == "llama":
        tokenizer = _sentencepiece(metadata, tokens, path)
    else:
        raise _refused(path, f"has a tokenizer of the kind {kind!r:.40}, which is not known here")
    tokenizer.add_special_tokens(_added(metadata, tokens, (_UNKNOWN, _CONTROL), special=True))
    tokenizer.add_tokens(_added(metadata, tokens, (_OF_USER,), special=False))
    roles = _roles(metadata, tokens)
    opened = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama" or family in _OPENED)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(opened) and "bos_token" in roles,
        **roles,
    }
    if settings["add_bos_token"]:
        _open_with(tokenizer, roles["bos_token"])
    if isinstance(template := metadata.get("tokenizer.chat_template"), str):
        settings["chat_template"] = template
    return tokenizer, settings


def _byte_level(
    metadata: Mapping[str, Any], tokens: list[str], family: str, path: Path
) -> Tokenizer:
    if not family and metadata.get("general.architecture") == "gpt2":
        family = "gpt-2"
    if family not in KNOWN:
        called = f"{family!r:.40}" if family else "which it does not name"
        raise _refused(
            path, f"cuts text into words by rules ({called}) that are none of {', '.join(KNOWN)}"
        )
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [_merge(text, vocabulary, path) for text in _strings(metadata, "merges", path)]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, ignore_merges=family in _WHOLE_WORDS)
    )
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if family in _BY_REGEX:
        cut = pre_tokenizers.Split(Regex(_BY_REGEX[family]), "isolated")
        steps: list[Any] = [cut, bytes_only]
    else:
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        if family in _SINGLE_DIGITS:
            steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    if family in _COMPOSED:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merge(text: str, vocabulary: Mapping[str, int], path: Path) -> tuple[str, str]:
    first, _, second = text.partition(" ")
    if not {first, second, first + second} <= vocabulary.keys():
        raise _refused(path, f"merges {text!r:.60}, of which its vocabulary knows not all")
    return first, second


def _sentencepiece(metadata: Mapping[str, Any], tokens: list[str], path: Path) -> Tokenizer:
    """SentencePiece's pair merging: of neighbours the two whose union scores highest go first."""
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise _refused(path, "has no score for each token of its tokenizer")
    kinds = _kinds(metadata, tokens)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    unions = [
        (i, token) for i, token in enumerate(tokens) if kinds[i] == _NORMAL and len(token) > 1
    ]
    unions.sort(key=lambda union: (-scores[union[0]], union[0]))
    normal = {token for i, token in enumerate(tokens) if kinds[i] == _NORMAL}
    merges = [
        (token[:cut], token[cut:])
        for _, token in unions
        for cut in range(1, len(token))
        if token[:cut] in normal and token[cut:] in normal
    ]
    unknown = next((token for i, token in enumerate(tokens) if kinds[i] == _UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=_BYTE in kinds,
        )
    )
    blank = normalizers.Replace(" ", "▁")
    leads = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    tokenizer.normalizer = (
        normalizers.Sequence([normalizers.Prepend("▁"), blank]) if leads else blank
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if leads else steps)
    return tokenizer


def _added(
    metadata: Mapping[str, Any], tokens: list[str], of: tuple[int, ...], special: bool
) -> list[AddedToken]:
    """Tokens that are looked for in a text before it is cut."""
    chosen: Iterable[str] = (
        token
        for token, kind in zip(tokens, _kinds(metadata, tokens), strict=True)
        if kind in of and token
    )
    return [AddedToken(token, normalized=False, special=special) for token in chosen]


def _kinds(metadata: Mapping[str, Any], tokens: list[str]) -> list[int]:
    kinds = metadata.get("tokenizer.ggml.token_type")
    return (
        kinds if isinstance(kinds, list) and len(kinds) == len(tokens) else [_NORMAL] * len(tokens)
    )


def _roles(metadata: Mapping[str, Any], tokens: list[str]) -> dict[str, str]:
    """Names of the tokens that open and end a text, and so on, where the file numbers them."""
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    roles = {}
    for role, key in keys.items():
        number = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            roles[f"{role}_token"] = tokens[number]
    return roles


def _open_with(tokenizer: Tokenizer, bos: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A"],
        pair=[bos, "$A", bos, "$B:1"],
        special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )


def _strings(metadata: Mapping[str, Any], key: str, path: Path) -> list[str]:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise _refused(path, f"has a tokenizer without {key}")
    return value


def _refused(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path} {what}: put the tokenizer.json that was published with the model beside it."
    )
