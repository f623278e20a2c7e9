"""Small texts for tests of rules: pieces of code and English, and random documents of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules.attributes import NEIGHBOURS, TokenAttributes, window_attributes
from sae_core.rules.flags import FLAG_NUMBER
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import FlagCondition, Predicate
from sae_core.text.tokenized import TokenizedCorpus, Windows

PIECES: tuple[bytes, ...] = (
    b"<|endoftext|>",
    b"\n",
    b"\n    ",
    b"        ",
    b" self",
    b"self",
    b".",
    b",",
    b"(",
    b")",
    b"):",
    b'"',
    b"'",
    b'"""',
    b"#",
    b" //",
    b"7",
    b"42",
    b" 3",
    b"_",
    b"__",
    b"init",
    b" The",
    b" dog",
    b" DOG",
    b"'s",
    b" said",
    b"[",
    b"]",
    b"{",
    b"}",
    b"http",
    b"://",
    b"<p>",
    b"</",
    b" =",
    b" ==",
    b"! ",
    b"? ",
    b" caf\xc3\xa9",
    b"\xe2\x80",
    b"\x9c",
    b"",
    b"\t",
    b"\r\n",
    b" a",
    b" b",
    b" c",
    b" d",
    b" e",
)
D_VOCAB = len(PIECES)


def vocabulary() -> Vocabulary:
    return Vocabulary(PIECES, frozenset({0}), 0)


def corpus(documents: list[NDArray[np.int64]]) -> TokenizedCorpus:
    n = len(documents)
    lengths = [len(document) for document in documents]
    return TokenizedCorpus(
        name="words",
        source="made up",
        fingerprint="f" * 64,
        tokens=np.concatenate([np.zeros(0, np.int64), *documents]).astype(np.uint16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        names=tuple(f"{number}.txt" for number in range(n)),
        held_out=np.zeros(n, dtype=bool),
    )


def random_windows(
    seed: int, n_documents: int, longest: int = 200, n_ctx: int = 32, bos: int | None = 0
) -> Windows:
    """Documents of random lengths and random tokens, frequent ones and rare ones."""
    random = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, D_VOCAB)
    documents = [
        1 + random.choice(D_VOCAB - 1, int(random.integers(1, longest)), p=weights / weights.sum())
        for _ in range(n_documents)
    ]
    return Windows(corpus(documents), n_ctx, bos)


def random_text(seed: int, n_documents: int, longest: int = 200) -> RuleText:
    windows = random_windows(seed, n_documents, longest)
    numbers = np.arange(len(windows), dtype=np.int64)
    attributes, _ = window_attributes(windows, numbers, vocabulary())
    return RuleText(attributes, seed)


def holds_plainly(predicate: Predicate, attributes: TokenAttributes) -> list[bool]:
    """Whether a predicate holds at each token, word for word as it is defined."""
    return [
        any(
            all(_holds_plainly(condition, attributes, at) for condition in clause.conditions)
            for clause in predicate.clauses
        )
        for at in range(len(attributes))
    ]


def _holds_plainly(condition: object, attributes: TokenAttributes, at: int) -> bool:
    if isinstance(condition, FlagCondition):
        bit = (int(attributes.flags[at]) >> FLAG_NUMBER[condition.flag]) & 1
        return bool(bit) == condition.wanted
    token = int(attributes.neighbours[NEIGHBOURS.index(condition.where)][at])  # type: ignore[attr-defined]
    return token < attributes.d_vocab and token in condition.tokens  # type: ignore[attr-defined]
