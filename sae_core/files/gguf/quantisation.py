"""How a GGUF file's weights were rounded, in words, and by how much as far as the file tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.files.gguf.header import GgufHeader, GgufTensor

# Kinds whose blocks begin with the step between neighbouring values, in float16.
_EVEN_STEPS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_EXACT = {"F32": "32-bit floats", "F16": "16-bit floats", "BF16": "bfloat16"}


def described(path: Path, header: GgufHeader) -> str:
    """One sentence for each way numbers are kept, the most used first."""
    return "; ".join(
        _sentence(path, header, kind, n_tensors, n_numbers)
        for kind, (n_tensors, n_numbers) in header.kinds.items()
    )


def dequantised(data: NDArray[np.uint8], tensor: GgufTensor) -> NDArray[np.float32]:
    """A tensor's numbers as float32, outermost dimension first.

    Args:
        data: the file's bytes, mapped.
        tensor: which.
    """
    from gguf import GGMLQuantizationType, dequantize

    # Whole rows at once: a block at a time takes ten times as long.
    rows = data[tensor.begin : tensor.begin + tensor.n_bytes].reshape(
        tensor.n_numbers // tensor.shape[0], -1
    )
    numbers: NDArray[np.float32] = dequantize(rows, GGMLQuantizationType[tensor.kind])
    return numbers.astype(np.float32, copy=False).reshape(tensor.shape[::-1])


def _sentence(path: Path, header: GgufHeader, kind: str, n_tensors: int, n_numbers: int) -> str:
    what = f"{kind} in {n_tensors:,} tensors ({n_numbers:,} numbers)"
    if kind in _EXACT:
        return f"{what}: {_EXACT[kind]}, opened exactly"
    tensors = [tensor for tensor in header.tensors if tensor.kind == kind]
    bits = 8 * sum(tensor.n_bytes for tensor in tensors) / n_numbers
    rounded = f"{what}: rounded to {bits:.3g} bits a number when the file was made"
    if kind not in _EVEN_STEPS:
        return rounded
    return f"{rounded}, which moved them by about {_moved(path, tensors):.2%} of their size (RMS)"


def _moved(path: Path, tensors: list[GgufTensor]) -> float:
    """RMS of the rounding error over RMS of the weights.

    Rounding to a grid of step s moves a number by s / sqrt(12) in RMS: the steps are in the file.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    data = np.memmap(path, dtype=np.uint8, mode="r")
    error = size = 0.0
    for tensor in tensors:
        kind = GGMLQuantizationType[tensor.kind]
        block, n_bytes = GGML_QUANT_SIZES[kind]
        raw = data[tensor.begin : tensor.begin + tensor.n_bytes].reshape(-1, n_bytes)
        steps = np.ascontiguousarray(raw[:, :2]).view(np.float16).astype(np.float64)
        error += block * float((steps**2).sum()) / 12
        numbers = dequantised(data, tensor).ravel()
        size += float(numbers @ numbers)
    return (error / size) ** 0.5 if size else 0.0
