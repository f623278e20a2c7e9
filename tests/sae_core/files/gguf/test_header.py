from __future__ import annotations

import struct

import gguf
import numpy as np
import pytest

from sae_core.errors import ModelError
from sae_core.files.gguf.header import is_gguf, read_header

HUGE = 1 << 60


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def head(n_tensors: int, n_settings: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_settings)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_tensor("blk.0.attn_q.weight", np.ones((4, 64), dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.ones(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_header_says_what_the_official_reader_says(small):
    header, reader = read_header(small), gguf.GGUFReader(small)
    assert header.architecture == "llama"
    assert header.metadata["llama.context_length"] == 64
    assert header.metadata["some.numbers"] == [1, 2, 3]
    assert header.kinds == {"F16": (1, 256), "F32": (1, 64)}
    assert [(t.name, t.begin, t.n_bytes, list(t.shape)) for t in header.tensors] == [
        (t.name, int(t.data_offset), int(t.n_bytes), [int(n) for n in t.shape])
        for t in reader.tensors
    ]


def test_a_truncated_file_is_refused_wherever_it_ends(small):
    whole = small.read_bytes()
    for end in (6, 20, 60, len(whole) // 2, len(whole) - 300):
        small.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=r"truncated|announces"):
            read_header(small)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04 something else", "no GGUF file"),
        (head(0, 0, version=99), "is of version 99"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "of the other byte order"),
        (head(HUGE, 0), r"announces 1,152,921,504,606,846,976 tensors"),
        (head(0, HUGE), "announces 1,152,921,504,606,846,976 settings"),
        (head(0, 1) + struct.pack("<Q", HUGE) + bytes(32), "bytes of a name"),
        (
            head(0, 1) + text("a") + struct.pack("<IIQ", 9, 8, HUGE) + bytes(32),
            "entries of a list",
        ),
        (head(0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 1) + bytes(32), "list of type 9"),
        (head(0, 1) + text("a") + struct.pack("<I", 77) + bytes(32), "setting of type 77"),
        (head(1, 0) + text("w") + struct.pack("<I", 4_000_000_000) + bytes(32), "dimensions"),
        (head(1, 0) + text("w") + struct.pack("<IQIQ", 1, 64, 77, 0) + bytes(99), "as type 77"),
        (head(1, 0) + text("w") + struct.pack("<IQIQ", 1, 33, 3, 0) + bytes(99), "cannot have"),
        (head(1, 0) + text("w") + struct.pack("<IQIQ", 1, HUGE, 0, 0) + bytes(99), "truncated"),
        (head(1, 0) + text("w") + struct.pack("<IQIQ", 1, 8, 0, HUGE) + bytes(99), "truncated"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        read_header(path)


def test_a_file_is_known_by_its_ending_or_its_first_bytes(small, tmp_path):
    assert is_gguf(small)
    assert is_gguf(small.rename(tmp_path / "model.bin"))
    assert not is_gguf(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not is_gguf(tmp_path / "config.json")
