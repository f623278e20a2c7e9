"""Ready-made token arrays, and documents joined end to end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sae_core.errors import CorpusError
from sae_core.language_model.model import LanguageModel
from sae_core.text import token_array
from sae_core.text.joined import joined
from sae_core.text.reading import Packing, TextReading, read
from sae_core.text.token_array import encoded_array
from sae_core.text.tokenized import TokenizedCorpus, Windows

END = frozenset({0})


def documents(path: Path, cache: Path, n_tokens: int | None = None) -> list[list[int]]:
    found = encoded_array(path, 300, END, cache, n_tokens)
    return [found.tokens[a:b].tolist() for a, b in pairwise(found.offsets)]


@pytest.mark.parametrize("chunk", [1, 2, 5, 1000])
@pytest.mark.parametrize("kind", ["npy", "bin", "int64"])
def test_documents_end_at_their_ends(
    tmp_path: Path, kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_array, "_CHUNK", chunk)
    ids = np.array([0, 5, 6, 0, 0, 7, 0, 5, 6, 0, 8, 9, 299], dtype=np.uint16)
    path = tmp_path / ("a.bin" if kind == "bin" else "a.npy")
    if kind == "bin":
        path.write_bytes(ids.tobytes())
    else:
        np.save(path, ids.astype(np.int64) if kind == "int64" else ids)
    assert documents(path, tmp_path / "cache") == [[5, 6], [7], [8, 9, 299]]
    assert documents(path, tmp_path / "cache", 3) == [[5, 6], [7]]
    assert documents(path, tmp_path / "cache", 3) == [[5, 6], [7]]


def test_rows_are_documents_and_long_ones_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 2, 3, 4], [5, 0, 6, 7]], dtype=np.uint32))
    assert documents(tmp_path / "a.npy", tmp_path / "cache") == [[1, 2, 3, 4], [5], [6, 7]]
    monkeypatch.setattr(token_array, "LONGEST", 3)
    assert documents(tmp_path / "a.npy", tmp_path / "new") == [[1, 2, 3], [4], [5], [6, 7]]


def test_a_changed_array_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([1, 2, 0, 3], dtype=np.uint16))
    before = encoded_array(path, 300, END, tmp_path / "cache", None).fingerprint
    np.save(path, np.array([1, 2, 0, 4], dtype=np.uint16))
    after = encoded_array(path, 300, END, tmp_path / "cache", None)
    assert after.fingerprint != before
    assert after.tokens.tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.array([1, 300]), "holds the token 300, but the model knows 300"),
        (np.array([1, -1]), "holds the token -1"),
        (np.array([0.5]), "holds float64 of shape"),
        (np.zeros((1, 1, 1), dtype=np.int64), r"of shape \[1, 1, 1\]"),
        (np.zeros(0, dtype=np.uint16), "holds no token of text"),
        (np.array([0, 0]), "holds no token of text"),
        (np.array([None]), "cannot be read as a token array"),
    ],
)
def test_what_is_no_token_array_is_a_sentence(
    tmp_path: Path, array: np.ndarray, sentence: str
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(CorpusError, match=sentence):
        documents(tmp_path / "a.npy", tmp_path / "cache")
    (tmp_path / "a.bin").write_bytes(b"123")
    with pytest.raises(CorpusError, match="3 bytes, no multiple of the 2"):
        documents(tmp_path / "a.bin", tmp_path / "cache")


def corpus(texts: list[list[int]], held_out: list[bool]) -> TokenizedCorpus:
    return TokenizedCorpus(
        name="texts",
        source="here",
        fingerprint="f",
        tokens=np.array([i for text in texts for i in text], dtype=np.uint16),
        offsets=np.concatenate([[0], np.cumsum([len(t) for t in texts])]).astype(np.int64),
        names=tuple("abcdefgh"[: len(texts)]),
        held_out=np.array(held_out),
    )


def test_joined_documents_fill_every_window() -> None:
    texts = [[1, 2], [3, 4, 5], [6], [7, 8, 9, 10], [11]]
    whole = joined(corpus(texts, [False, True, False, False, True]), 4, separator=0)
    windows = Windows(whole, 5, bos=0)
    tokens, mask = windows.gather(np.arange(len(windows)))
    assert tokens.tolist() == [
        [0, 1, 2, 0, 6],
        [0, 0, 7, 8, 9],
        [0, 10, 0, 0, 0],
        [0, 3, 4, 5, 0],
        [0, 11, 0, 0, 0],
    ]
    assert mask.sum(1).tolist() == [4, 4, 1, 4, 1]
    assert whole.names == ("a and 1 more", "c and 1 more", "d", "b", "e")
    assert whole.held_out.tolist() == [False, False, False, True, True]
    assert whole.fingerprint != "f"
    assert "5 documents end to end" in whole.details["packing"]


def test_a_reading_of_each_kind(gpt2: LanguageModel, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([5, 6, 0, 7, 8, 9], dtype=np.uint16))
    (tmp_path / "a.txt").write_text("fox\n<|endoftext|>\ndog\n")
    array = read(TextReading(str(tmp_path / "ids.npy"), n_tokens=2), gpt2, 8, tmp_path / "cache")
    assert (array.n_documents, array.n_tokens) == (1, 2)
    assert array.details == {"read": "as far as 2 tokens"}
    plain = read(TextReading(str(tmp_path / "a.txt")), gpt2, 8, tmp_path / "cache")
    assert plain.names == ("a.txt#1", "a.txt#2")
    end_to_end = TextReading(str(tmp_path / "a.txt"), packing=Packing.JOINED)
    whole = read(end_to_end, gpt2, 64, tmp_path / "cache")
    assert whole.names == ("a.txt#1 and 1 more",)
    with pytest.raises(CorpusError, match="leave --shuffle out"):
        read(TextReading(str(tmp_path / "ids.npy"), shuffle=1), gpt2, 8, tmp_path / "cache")
