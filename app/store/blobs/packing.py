"""Blobs: numbers packed into bytes, and strictly back.

A blob is `kind, version, flags, payload, CRC-32` (all numbers little-endian); the payload is
zlib-compressed where that is smaller. Floats keep every bit. Whatever is not exactly such a blob
is refused with a `StoreError`.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import StoreError

VERSION = 1
_COMPRESSED = 1
_LEVEL = 6
_WORTHWHILE = 64  # bytes; below that zlib never pays
_DTYPES = ("<u1", "<u2", "<u4", "<u8", "<i4", "<i8")
_STORED = tuple(map(np.dtype, _DTYPES))
_LIMITS = tuple((code, int(np.iinfo(dtype).max)) for code, dtype in enumerate(_DTYPES[:4]))


class Writer:
    """Collects a payload."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def uint(self, value: int) -> None:
        """A number >= 0, seven bits to a byte."""
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        self._parts.append(bytes(out))

    def double(self, value: float) -> None:
        """A float64."""
        self._parts.append(np.float64(value).astype("<f8").tobytes())

    def raw(self, value: bytes) -> None:
        """Bytes with their length."""
        self.uint(len(value))
        self._parts.append(value)

    def ints(self, values: NDArray[Any]) -> None:
        """Integers, in the narrowest type that holds them all."""
        values = np.asarray(values)
        code = 0
        if values.size:
            low, high = int(values.min()), int(values.max())
            if low < 0:
                code = 4 if low >= -(1 << 31) and high < 1 << 31 else 5
            else:
                code = next(c for c, limit in _LIMITS if high <= limit)
        self.uint(code)
        self.uint(values.size)
        self._parts.append(values.astype(_DTYPES[code]).tobytes())

    def floats(self, values: NDArray[np.float32]) -> None:
        """float32, byte plane by byte plane: the exponents lie together and compress."""
        plain = np.ascontiguousarray(values, dtype="<f4")
        self.uint(plain.size)
        self._parts.append(plain.reshape(-1).view(np.uint8).reshape(-1, 4).T.tobytes())

    def blob(self, kind: bytes, compress: bool = True) -> bytes:
        """The finished blob of a kind (one byte)."""
        payload, flags = b"".join(self._parts), 0
        if compress and len(payload) >= _WORTHWHILE:
            packed = zlib.compress(payload, _LEVEL)
            if len(packed) < len(payload):
                payload, flags = packed, _COMPRESSED
        head = kind + bytes((VERSION, flags))
        return head + payload + zlib.crc32(head + payload).to_bytes(4, "little")


class Reader:
    """Takes a payload apart; asks for exactly what was written.

    Args:
        blob: what `Writer.blob` gave.
        kind: the same kind.
        what: what it holds, for the sentence when it is damaged.
    """

    def __init__(self, blob: bytes, kind: bytes, what: str) -> None:
        self._what = what
        if len(blob) < 7 or zlib.crc32(blob[:-4]).to_bytes(4, "little") != blob[-4:]:
            raise self.damaged("its checksum does not match")
        if blob[:1] != kind:
            raise self.damaged(f"it is of kind {blob[:1]!r}, not {kind!r}")
        if blob[1] != VERSION:
            raise StoreError(
                f"{what} was packed by another version of Featurescope (format {blob[1]}, this one "
                f"reads {VERSION}). Harvest again with this version."
            )
        self._data = blob[3:-4]
        if blob[2] == _COMPRESSED:
            self._data = self._inflate(self._data)
        elif blob[2]:
            raise self.damaged("it has unknown flags")
        self._at = 0

    def _inflate(self, packed: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(packed)
        except zlib.error:
            raise self.damaged("it does not decompress") from None
        if not stream.eof or stream.unused_data:
            raise self.damaged("it does not decompress to its end")
        return data

    def damaged(self, why: str) -> StoreError:
        """The error for a blob that is not what was written."""
        return StoreError(
            f"{self._what} is damaged in the store: {why}. Restore the database from a copy, or "
            "harvest this dictionary again."
        )

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self._at + size
        if end > len(self._data):
            raise self.damaged("it ends too early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def uint(self) -> int:
        """See `Writer.uint`."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise self.damaged("a number is too long")

    def double(self) -> float:
        """See `Writer.double`."""
        return float(np.frombuffer(self.take(8), dtype="<f8")[0])

    def raw(self) -> bytes:
        """See `Writer.raw`."""
        return self.take(self.uint())

    def ints(self, dtype: type[np.integer[Any]]) -> NDArray[Any]:
        """See `Writer.ints`; given back in `dtype`, which must hold them."""
        code, size = self.uint(), self.uint()
        if code >= len(_DTYPES):
            raise self.damaged("an array has an unknown type")
        stored = _STORED[code]
        values = np.frombuffer(self.take(size * stored.itemsize), dtype=stored)
        out = values.astype(dtype)
        if not np.can_cast(stored, dtype) and not np.array_equal(out, values):
            raise self.damaged("a number is too large for its field")
        return out

    def floats(self) -> NDArray[np.float32]:
        """See `Writer.floats`."""
        size = self.uint()
        planes = np.frombuffer(self.take(4 * size), dtype=np.uint8).reshape(4, size)
        return np.ascontiguousarray(planes.T).view("<f4").reshape(-1).astype(np.float32)

    @property
    def ended(self) -> bool:
        """Whether everything is read: what later versions append, older ones did not write."""
        return self._at == len(self._data)

    def end(self) -> None:
        """Nothing may be left."""
        if not self.ended:
            raise self.damaged("something follows its end")
