"""Corpora and their windows."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from sae_core.errors import CorpusError
from sae_core.text.corpus import TextCorpus, open_corpus, standard_library
from sae_core.text.tokenized import TokenizedCorpus, Windows, tokenize
from tests.sae_core.tiny_models import tiny_tokenizer


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.txt").write_text("second text\nwith two lines\n")
    (folder / "a.md").write_text("first text, a little longer than the second one is\n" * 3)
    (folder / "sub" / "copy.txt").write_text("second text\nwith two lines\n")
    (folder / "sub" / "broken.txt").write_bytes(b"caf\xe9 \xff bytes")
    (folder / "blank.txt").write_text(" \n")
    (folder / "image.png").write_bytes(b"\x89PNG")
    return folder


def test_the_standard_library_is_read_in_place() -> None:
    corpus = standard_library()
    assert corpus.name == "python-stdlib"
    names = [name for name, _ in corpus.paths]
    assert "argparse.py" in names
    assert names == sorted(names)
    assert not any("site-packages" in name for name in names)
    root = Path(sysconfig.get_path("stdlib"))
    documents = {d.name: d.text for d in corpus.documents()}
    assert documents["argparse.py"] == (root / "argparse.py").read_text()
    assert len(set(documents.values())) == len(documents)


def test_a_folder_keeps_each_text_once_in_order(tmp_path: Path) -> None:
    corpus = open_corpus(str(_folder(tmp_path)))
    documents = list(corpus.documents())
    assert [d.name for d in documents] == ["a.md", "b.txt", "sub/broken.txt"]
    assert documents[2].text == "caf� � bytes"


def test_a_text_file_falls_into_its_documents(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_bytes(
        b"One.\n<|endoftext|>\nTwo <|endoftext|> inside.\n<|endoftext|>\r\nOne.\n<|endoftext|>"
    )
    documents = list(open_corpus(str(path)).documents())
    assert [(d.name, d.text) for d in documents] == [
        ("stories.txt#1", "One.\n"),
        ("stories.txt#2", "Two <|endoftext|> inside.\n"),
    ]


def test_the_fingerprint_depends_on_names_and_texts(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    before = open_corpus(str(folder)).fingerprint()
    assert open_corpus(str(folder)).fingerprint() == before
    (folder / "b.txt").rename(folder / "c.txt")
    renamed = open_corpus(str(folder)).fingerprint()
    (folder / "c.txt").write_text("another\n")
    assert len({before, renamed, open_corpus(str(folder)).fingerprint()}) == 3


def test_about_one_document_in_fifty_is_held_out() -> None:
    documents = list(standard_library().documents())
    share = sum(d.held_out for d in documents) / len(documents)
    assert 0.01 < share < 0.035


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_text_is_said_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=name):
        open_corpus(str(tmp_path / name))


def test_only_blanks_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n \n")
    corpus = open_corpus(str(tmp_path / "blank.txt"))
    with pytest.raises(CorpusError, match="holds no text"):
        tokenize(corpus, tiny_tokenizer(), tmp_path / "cache")


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Tokenizer) -> TokenizedCorpus:
    return tokenize(open_corpus(str(_folder(tmp_path))), tokenizer, tmp_path / "cache")


def test_tokens_decode_to_the_text(
    tmp_path: Path, corpus: TokenizedCorpus, tokenizer: Tokenizer
) -> None:
    source: TextCorpus = open_corpus(str(tmp_path / "texts"))
    for n, document in enumerate(source.documents()):
        ids = corpus.tokens[corpus.offsets[n] : corpus.offsets[n + 1]].tolist()
        assert tokenizer.decode(ids) == document.text
    again = tokenize(source, tokenizer, tmp_path / "cache")
    assert again.fingerprint == corpus.fingerprint
    assert (again.tokens == corpus.tokens).all()


@pytest.mark.parametrize("bos", [0, None])
def test_windows_cover_every_token_once_and_cross_no_document(
    corpus: TokenizedCorpus, bos: int | None
) -> None:
    windows = Windows(corpus, n_ctx=8, bos=bos)
    every = np.arange(len(windows), dtype=np.int64)
    tokens, mask = windows.gather(every)
    document = windows.document_of(every)
    assert mask.sum() == corpus.n_tokens
    for n in range(corpus.n_documents):
        text = tokens[document == n][mask[document == n]]
        assert (text == corpus.tokens[corpus.offsets[n] : corpus.offsets[n + 1]]).all()
    if bos is not None:
        assert (tokens[:, 0] == bos).all()
        assert not mask[:, 0].any()
    assert (mask.sum(axis=1) == windows.lengths(every)).all()
    # Padding only at the end.
    lead = 0 if bos is None else 1
    assert (np.diff(mask[:, lead:].astype(int), axis=1) <= 0).all()


def test_selection_is_seeded_and_reaches_its_tokens(corpus: TokenizedCorpus) -> None:
    windows = Windows(corpus, n_ctx=5, bos=0)
    chosen = windows.select(20, seed=1)
    lengths = windows.lengths(chosen)
    assert lengths.sum() >= 20 > lengths[:-1].sum()
    assert chosen.tolist() == windows.select(20, seed=1).tolist()
    assert sorted(windows.select(None, seed=2).tolist()) == list(range(len(windows)))
    assert windows.select(20, seed=1).tolist() != windows.select(20, seed=2).tolist()


def test_held_out_and_training_windows_part_the_corpus(corpus: TokenizedCorpus) -> None:
    mixed = TokenizedCorpus(
        **{**corpus.__dict__, "held_out": np.array([True, False, True])}  # type: ignore[arg-type]
    )
    windows = Windows(mixed, n_ctx=6, bos=0)
    held, seen = windows.of_documents(True), windows.of_documents(False)
    assert set(windows.document_of(held)) == {0, 2}
    assert set(windows.document_of(seen)) == {1}
    assert len(held) + len(seen) == len(windows)
