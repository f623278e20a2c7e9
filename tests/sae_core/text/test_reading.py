"""Texts of every kind: files made by other people's libraries, read as what was put into them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sae_core.errors import CorpusError
from sae_core.text import corpus as corpora
from sae_core.text import plain, rows
from sae_core.text.corpus import open_corpus
from sae_core.text.document import cut, seam
from sae_core.text.plain import SEPARATOR, plain_documents
from sae_core.text.tokenized import tokenize
from tests.sae_core.tiny_models import tiny_tokenizer

TEXTS = ["one fox", "two foxes\nin two lines", "three “quoted” foxes"]


def json_lines(path: Path, texts: list[str] = TEXTS, column: str = "text") -> Path:
    lines = [json.dumps({"id": n, column: text}) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
    return path


def texts_of(path: Path, column: str = "text") -> list[str]:
    return [d.text for d in open_corpus(str(path), column).documents()]


def test_json_lines_are_one_document_each(tmp_path: Path) -> None:
    path = tmp_path / "web.texts.jsonl"
    path.write_bytes(
        b'{"text": "one"}\r\n\n{"text": null}\n{"text": "lone \\ud800 half", "url": 3}\n'
        b'{"text": "last"}'
    )
    corpus = open_corpus(str(path))
    assert corpus.name == "web.texts"
    assert [(d.name, d.text) for d in corpus.documents()] == [
        ("web.texts.jsonl#1", "one"),
        ("web.texts.jsonl#4", "lone ??? half".replace("???", "\ufffd" * 3)),
        ("web.texts.jsonl#5", "last"),
    ]


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_parquet_of_any_string_type(tmp_path: Path, kind: str) -> None:
    column = pa.array([*TEXTS, None])
    if kind == "dictionary":
        column = column.dictionary_encode()
    elif kind == "large_string":
        column = column.cast(pa.large_string())
    table = pa.table({"n": [1, 2, 3, 4], "body": column})
    pq.write_table(table, tmp_path / "texts.parquet", row_group_size=2)
    assert texts_of(tmp_path / "texts.parquet", "body") == TEXTS
    with pytest.raises(CorpusError, match=r"no column 'text': name one with --column.*'n', 'body'"):
        texts_of(tmp_path / "texts.parquet")


def test_a_saved_data_set_and_arrow_files(tmp_path: Path) -> None:
    import datasets

    saved = datasets.Dataset.from_dict({"text": TEXTS, "n": [1, 2, 3]})
    saved.save_to_disk(tmp_path / "saved", num_shards=2)
    assert texts_of(tmp_path / "saved") == TEXTS
    datasets.DatasetDict({"train": saved}).save_to_disk(tmp_path / "splits")
    with pytest.raises(CorpusError, match=r"splits train: give the folder of one.*splits/train"):
        open_corpus(str(tmp_path / "splits"))
    assert texts_of(tmp_path / "splits" / "train") == TEXTS
    table = pa.table({"text": TEXTS})
    with (
        pa.OSFile(str(tmp_path / "file.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as file,
    ):
        file.write_table(table)
    assert texts_of(tmp_path / "file.arrow") == TEXTS


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda raw: pa.compress(raw, codec="zstd", asbytes=True)),
    ],
)
def test_packed_files(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    plain_file = json_lines(tmp_path / "a.jsonl")
    packed = tmp_path / f"texts.jsonl{suffix}"
    packed.write_bytes(pack(plain_file.read_bytes()))
    assert texts_of(packed) == TEXTS
    assert open_corpus(str(packed)).name == "texts"
    stories = tmp_path / f"stories.txt{suffix}"
    stories.write_bytes(pack(f"one\n{SEPARATOR}\ntwo\n".encode()))
    assert texts_of(stories) == ["one\n", "two\n"]
    noise = random.Random(0).randbytes(3000).hex().encode()
    torn = tmp_path / f"torn.txt{suffix}"
    torn.write_bytes(pack(noise)[:-900])
    with pytest.raises(CorpusError, match=r"torn.*(damaged or incomplete|cannot be read)"):
        texts_of(torn)
    torn.write_bytes(b"no such packing")
    with pytest.raises(CorpusError, match=r"torn.*(damaged or incomplete|cannot be read)"):
        texts_of(torn)


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("plain")
    json_lines(tmp_path / "a.jsonl", ["line"])
    pq.write_table(pa.table({"text": ["row"]}), tmp_path / "c.parquet")
    (tmp_path / "d.md.gz").write_bytes(gzip.compress(b"packed", mtime=0))
    (tmp_path / "settings.json").write_text("{}")
    assert texts_of(tmp_path) == ["line", "plain", "row", "packed"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"\x00\x01binary", "no text but binary data"),
        ("a.txt", "wide".encode("utf-16"), "UTF-16: convert it to UTF-8"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "Line 2 of a.jsonl is no JSON"),
        ("a.json", b'[\n{"text": "x"}\n]', r"Line 1 .*jq -c"),
        ("a.jsonl", b"3\n", "no JSON object but a int"),
        ("a.jsonl", b'{"body": "x"}\n', r"Row 1 of a.jsonl has no column 'text'.*'body'"),
        ("a.jsonl", b'{"text": ["x"]}\n', "holds no text under 'text' but a list"),
        ("a.parquet", b"PAR1 torn", "damaged or incomplete"),
        ("a.arrow", b"ARROW1 torn", "damaged or incomplete"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "packed twice over"),
        ("a.txt", b"", "holds no text"),
        ("a.jsonl", b"\n", "holds no text"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_said_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=sentence):
        tokenize(open_corpus(str(tmp_path / name)), tiny_tokenizer(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


def test_a_line_too_long_is_a_sentence_and_a_long_one_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = json_lines(tmp_path / "a.jsonl", ["short", " ".join(map(str, range(2000)))])
    monkeypatch.setattr("sae_core.text.document.LONGEST", 4000)
    pieces = list(open_corpus(str(path)).documents())
    assert [d.name for d in pieces] == [
        "a.jsonl#1", "a.jsonl#2#1", "a.jsonl#2#2", "a.jsonl#2#3",
    ]  # fmt: skip
    assert all(len(d.text) <= 4000 for d in pieces)
    monkeypatch.setattr(rows, "LONGEST_LINE", 5000)
    with pytest.raises(CorpusError, match=r"Line 2 of a\.jsonl is longer than"):
        list(open_corpus(str(path)).documents())


@pytest.mark.parametrize("chunk", [1, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("seed", range(4))
def test_reading_in_chunks_equals_splitting_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk: int, seed: int
) -> None:
    draw = random.Random(seed)
    ends = [f"\n{SEPARATOR}\n", f"\n{SEPARATOR} \r\n", f"{SEPARATOR}\n", "\n", "\r\n", "é “x” "]
    text = "".join(draw.choice([*ends, "some words ", "fox"]) for _ in range(40))
    monkeypatch.setattr(plain, "_CHUNK", chunk)
    parts = plain_documents("a.txt", io.BytesIO(text.encode()), separated=True)
    pattern = re.compile(rf"^{re.escape(SEPARATOR)}[ \t]*\r?\n?", re.MULTILINE)
    assert [d.text for d in parts] == pattern.split(text)
    whole = plain_documents("a.md", io.BytesIO(text.encode()), separated=False)
    assert [d.text for d in whole] == [text]


def test_a_line_without_end_is_read_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "LONGEST", 1000)
    monkeypatch.setattr(plain, "_CHUNK", 300)
    raw = b"x" * 5000 + b" y" * 500
    documents = list(plain_documents("a.txt", io.BytesIO(raw), separated=True))
    assert "".join(d.text for d in documents).encode() == raw
    assert max(len(d.text) for d in documents) <= 1300


def test_long_texts_are_cut_after_lines_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sae_core.text.document.LONGEST", 10)
    assert list(cut("one\ntwo three four")) == ["one\n", "two three ", "four"]
    assert list(cut("x" * 25)) == ["x" * 10, "x" * 10, "x" * 5]
    assert seam("abcdef", 0, 4) == 4


def test_reading_stops_at_the_tokens_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = json_lines(tmp_path / "a.jsonl", [f"fox number {n} jumps" for n in range(3000)])
    tokenizer = tiny_tokenizer()
    whole = tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache")
    first = tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache", 500)
    ends = first.offsets[-2:]
    assert ends[0] < 500 <= ends[1] == first.n_tokens
    assert (first.tokens == whole.tokens[: first.n_tokens]).all()
    assert first.names == whole.names[: first.n_documents]
    assert first.fingerprint != whole.fingerprint
    assert first.details["read"] == "as far as 500 tokens"
    # What comes after may change, and is not even read; what was read may not.
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:1000], "no JSON"]))
    again = tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache", 500)
    assert again.fingerprint == first.fingerprint
    path.write_text("\n".join(['{"text": "changed"}', *lines[1:]]))
    changed = tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache", 500)
    assert changed.fingerprint != first.fingerprint
    # As far as everything is everything.
    json_lines(path, TEXTS)
    everything = tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache")
    assert (
        everything.fingerprint
        == tokenize(open_corpus(str(path)), tokenizer, tmp_path / "cache", 10**6).fingerprint
    )


def test_a_seed_shuffles_through_a_bounded_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = json_lines(tmp_path / "a.jsonl", [f"text {n}" for n in range(300)])
    plain_order = texts_of(path)

    def shuffled(seed: int) -> list[str]:
        return [d.text for d in open_corpus(str(path), shuffle=seed).documents()]

    assert shuffled(0) == shuffled(0) != shuffled(1)
    assert sorted(shuffled(0)) == sorted(plain_order) != shuffled(0)
    monkeypatch.setattr(corpora, "SHUFFLED_DOCUMENTS", 20)
    near = shuffled(0)
    assert sorted(near) == sorted(plain_order)
    # A document comes at most as much too early as the buffer is long.
    assert min(near.index(text) - n for n, text in enumerate(plain_order)) >= -20
    monkeypatch.setattr(corpora, "SHUFFLED_CHARACTERS", 0)
    assert sorted(shuffled(0)) == sorted(plain_order)


class _Info:
    sha = "0123456789abcdef"


def _online(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> list[tuple[Any, ...]]:
    """A Hub that knows one data set, streamed by the library itself."""
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(name: str, configuration: str | None, **how: Any) -> Any:
        asked.append((name, configuration, how["split"], how["revision"], how["streaming"]))
        return datasets.IterableDataset.from_generator(lambda: ({"text": t} for t in texts))

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, name, **how: _Info())
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_a_data_set_of_the_hub_is_streamed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _online(monkeypatch, [*TEXTS, "never read"])
    corpus = open_corpus("hf:owner/stories/english:test")
    assert corpus.name == "stories"
    assert "split test of owner/stories" in corpus.source
    assert _Info.sha in corpus.source
    first = tokenize(corpus, tiny_tokenizer(), tmp_path / "cache", 5)
    assert first.names[0] == "owner/stories#1"
    assert asked == [("owner/stories", "english", "test", _Info.sha, True)]
    again = tokenize(corpus, tiny_tokenizer(), tmp_path / "cache", 5)
    assert again.fingerprint == first.fingerprint
    assert len(asked) == 1


def test_a_hub_out_of_reach_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("Network is unreachable\nand more")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)
    with pytest.raises(CorpusError, match=r"owner/x cannot be fetched .*\(Network is"):
        open_corpus("hf:owner/x")
    with pytest.raises(CorpusError, match="is no data set: write hf:owner/name"):
        open_corpus("hf:a/b/c/d/e")
    _online(monkeypatch, [])
    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(CorpusError, match=r"owner/x cannot be read .*same command again"):
        list(open_corpus("hf:owner/x").documents())


def test_the_tokens_on_disk_are_numpys_own(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "a.jsonl")
    corpus = tokenize(open_corpus(str(path)), tiny_tokenizer(), tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    raw = np.load(folder / "tokens.npy")
    assert raw.dtype == np.uint16
    assert (raw == corpus.tokens).all()
