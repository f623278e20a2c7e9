"""A graph as bytes, and strictly back: the same graph gives the same bytes.

The bytes are `FSAG`, a version, and a zlib stream of the header's length (uint32), the header
(JSON: all that is no array, and the arrays' lengths) and the arrays, one after the other. Numbers
are little-endian. Nothing in them is ever run, whoever made them.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.graph import Edges, Graph, GraphDictionary, Nodes
from sae_core.errors import CircuitError

MAGIC = b"FSAG\x01"
LARGEST = 512 * 2**20  # bytes, unpacked
_LEVEL = 6
_NODES = {
    "kind": "<i1",
    "layer": "<i2",
    "position": "<i4",
    "index": "<i8",
    "activation": "<f4",
    "place": "<i1",
}
_EDGES = {"source": "<i4", "target": "<i4", "weight": "<f4"}
_NAMED = ("model", "n_layers", "token_strings")


def pack_graph(graph: Graph) -> bytes:
    """The graph as bytes."""
    sizes = {
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "tokens": len(graph.tokens),
        "targets": len(graph.targets),
    }
    header = {
        **{name: getattr(graph, name) for name in _NAMED},
        "dictionaries": [asdict(dictionary) for dictionary in graph.dictionaries],
        "settings": dict(graph.settings),
        "left_out": dict(graph.left_out),
        "sizes": sizes,
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    columns: list[NDArray[Any]] = [
        graph.tokens.astype("<i8"),
        graph.targets.astype("<i4"),
        graph.target_weights.astype("<f4"),
        *(getattr(graph.nodes, name).astype(dtype) for name, dtype in _NODES.items()),
        *(getattr(graph.edges, name).astype(dtype) for name, dtype in _EDGES.items()),
    ]
    plain = b"".join((struct.pack("<I", len(text)), text, *(c.tobytes() for c in columns)))
    return MAGIC + zlib.compress(plain, _LEVEL)


def unpack_graph(packed: bytes, what: str = "This graph") -> Graph:
    """The graph of `pack_graph`.

    Args:
        packed: its bytes.
        what: is unpacked, for the sentence where it is damaged.

    Raises:
        CircuitError: these are no such bytes, or what they hold makes no sense as a graph.
    """
    data = _Cursor(_plain(packed, what), what)
    try:
        (length,) = struct.unpack("<I", data.take(4))
        header = json.loads(data.take(length))
        sizes = header["sizes"]
        tokens = data.column("<i8", sizes["tokens"])
        targets = data.column("<i4", sizes["targets"])
        weights = data.column("<f4", sizes["targets"])
        nodes = Nodes(**dict(data.columns(_NODES, sizes["nodes"])))
        edges = Edges(**dict(data.columns(_EDGES, sizes["edges"])))
        data.end()
        return Graph(
            model=header["model"],
            tokens=tokens,
            token_strings=tuple(header["token_strings"]),
            dictionaries=tuple(GraphDictionary(**facts) for facts in header["dictionaries"]),
            n_layers=header["n_layers"],
            nodes=nodes,
            edges=edges,
            targets=targets,
            target_weights=weights,
            settings=header["settings"],
            left_out=header["left_out"],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CircuitError(f"{what} is damaged: {error!r:.120}.") from None


class _Cursor:
    """Takes bytes apart; asks for exactly what was written."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise CircuitError(f"{self._what} is damaged: it ends too early.")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def column(self, dtype: str, size: int) -> NDArray[Any]:
        stored = np.dtype(dtype)
        values = np.frombuffer(self.take(size * stored.itemsize), dtype=stored)
        return values.astype(stored.newbyteorder("="))

    def columns(self, dtypes: dict[str, str], size: int) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, dtype in dtypes.items():
            yield name, self.column(dtype, size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise CircuitError(f"{self._what} is damaged: something follows its end.")


def _plain(packed: bytes, what: str) -> bytes:
    if packed[: len(MAGIC)] != MAGIC:
        raise CircuitError(f"{what} is no attribution graph of this version.")
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed[len(MAGIC) :], LARGEST)
    except zlib.error:
        raise CircuitError(f"{what} is damaged: it does not decompress.") from None
    if not stream.eof or stream.unused_data:
        raise CircuitError(f"{what} is damaged, or larger than {LARGEST // 2**20:,} MiB.")
    return plain
