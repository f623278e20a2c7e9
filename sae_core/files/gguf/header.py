"""The header of a GGUF file: read within the file's bounds, before any tensor is."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae_core.errors import ModelError

MAGIC = b"GGUF"
SUFFIX = ".gguf"
FACTS = "gguf.json"  # what a model folder says of the GGUF file that it was made from
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
# Types of settings, as `struct` spells them; 8 and 9 are none.
_NUMBERS = {n: form for n, form in enumerate("BbHhIif?..Qqd") if form != "."}
_SMALLEST_PAIR = 13  # bytes: an empty key, a type, a byte
_SMALLEST_TENSOR = 24  # bytes: an empty name, no dimensions, type, place
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as the header names it.

    Attributes:
        name: in llama.cpp's manner, such as `blk.0.attn_q.weight`.
        shape: innermost dimension first, as GGUF has it.
        kind: how its numbers are kept, such as `F16` or `Q4_1`.
        begin: its first byte in the file.
        n_bytes: its length there.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    begin: int
    n_bytes: int

    @property
    def n_numbers(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes:
        metadata: by key; arrays as lists.
        tensors: in the order of the header.
    """

    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the model's family, such as `llama`."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def kinds(self) -> dict[str, tuple[int, int]]:
        """How many tensors and numbers are kept in each way, the most numbers first."""
        sums: dict[str, tuple[int, int]] = {}
        for tensor in self.tensors:
            n, numbers = sums.get(tensor.kind, (0, 0))
            sums[tensor.kind] = n + 1, numbers + tensor.n_numbers
        return dict(sorted(sums.items(), key=lambda item: (-item[1][1], item[0])))


def is_gguf(path: Path) -> bool:
    """Whether a path is a file that is called, or begins, as a GGUF file does."""
    if not path.is_file():
        return False
    if path.suffix.lower() == SUFFIX:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def folder_of(folders: Path, name: str, checksum: str) -> Path:
    """What the folder of a file is called, below `folders`."""
    return folders / f"{Path(name).stem}-{checksum[:16]}"


def read_header(path: Path) -> GgufHeader:
    """The header; every count in it is held against the bytes that are there before it is used.

    Raises:
        ModelError: the file is no GGUF file of a version that is known, is truncated, or says what
            cannot be.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise ModelError(f"{path} is no GGUF file: it does not begin with GGUF.")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data).header()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error


class _Reader:
    """A place in the mapped file, which moves on with each thing that is read."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._at = path, data, len(MAGIC)

    def header(self) -> GgufHeader:
        version = self._number("I")
        if version not in _VERSIONS:
            swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big")
            if swapped in _VERSIONS:
                raise self._refused("is written for processors of the other byte order")
            raise self._refused(f"is of version {version}")
        n_tensors = self._count("Q", "tensors", _SMALLEST_TENSOR)
        n_pairs = self._count("Q", "settings", _SMALLEST_PAIR)
        metadata = {}
        for _ in range(n_pairs):
            key = self._string()
            metadata[key] = self._value(self._number("I"))
        drafts = [self._tensor() for _ in range(n_tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise self._refused(f"aligns its tensors to {alignment!r} bytes")
        begin = -(-self._at // alignment) * alignment
        return GgufHeader(metadata, tuple(self._placed(draft, begin) for draft in drafts))

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, number of its type, and place among the tensors' bytes."""
        name = self._string()
        n_dimensions = self._number("I")
        if n_dimensions > _MOST_DIMENSIONS:
            raise self._refused(f"gives {name!r:.80} {n_dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(n_dimensions))
        return name, shape, self._number("I"), self._number("Q")

    def _placed(self, draft: tuple[str, tuple[int, ...], int, int], begin: int) -> GgufTensor:
        name, shape, number, offset = draft
        kind, block, size = _kind(number)
        if not kind:
            raise ModelError(
                f"{self._path} keeps {name!r:.80} as type {number}, which is unknown here: "
                "convert the model to another quantisation, such as Q8_0 or Q4_K."
            )
        n = math.prod(shape)
        if n < 1 or not shape or shape[0] % block:
            raise self._refused(f"gives {name!r:.80} the shape {shape}, which {kind} cannot have")
        tensor = GgufTensor(name, shape, kind, begin + offset, n // block * size)
        missing = tensor.begin + tensor.n_bytes - len(self._data)
        if missing > 0:
            raise ModelError(
                f"{self._path} is truncated: {name!r:.80} ends {missing:,} bytes behind the end of "
                f"the file, which has {len(self._data):,}. Copy or download it again."
            )
        return tensor

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind != _ARRAY:
            raise self._refused(f"has a setting of type {kind}")
        of = self._number("I")
        if of == _STRING:
            return [self._string() for _ in range(self._count("Q", "entries of a list", 8))]
        if of not in _NUMBERS:
            raise self._refused(f"has a list of type {of}")
        form = _NUMBERS[of]
        n = self._count("Q", "entries of a list", struct.calcsize(f"<{form}"))
        return list(struct.unpack(f"<{n}{form}", self._bytes(struct.calcsize(f"<{n}{form}"))))

    def _string(self) -> str:
        return self._bytes(self._count("Q", "bytes of a name", 1)).decode("utf-8", "replace")

    def _count(self, form: str, of: str, smallest: int) -> int:
        """A number of things to come, each of which takes some bytes at least."""
        n = self._number(form)
        if n * smallest > len(self._data) - self._at:
            raise self._refused(
                f"announces {n:,} {of}, more than its {len(self._data):,} bytes can hold"
            )
        return int(n)

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))[0]

    def _bytes(self, n: int) -> bytes:
        piece = self._data[self._at : self._at + n]
        if len(piece) < n:
            raise ModelError(
                f"{self._path} is truncated: it ends within its header, after {len(self._data):,} "
                "bytes. Copy or download it again."
            )
        self._at += n
        return piece

    def _refused(self, what: str) -> ModelError:
        return ModelError(
            f"{self._path} {what}: it is damaged, or no GGUF file that can be read here. Copy or "
            "download it again."
        )


def _kind(number: int) -> tuple[str, int, int]:
    """Name, numbers in a block and bytes of a block; no name where a type is unknown."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    try:
        kind = GGMLQuantizationType(number)
        block, size = GGML_QUANT_SIZES[kind]
        dequantize(np.zeros((1, size), dtype=np.uint8), kind)
    except (ValueError, KeyError, NotImplementedError):
        return "", 0, 0
    return kind.name, block, size
