"""Files of tensors, read without ever running what is in them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from sae_core.errors import CheckpointError

_LFS = b"version https://git-lfs"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.npz` file.

    Raises:
        CheckpointError: the file is missing, a Git LFS pointer, damaged, or holds anything else.
    """
    check_file(path)
    return _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """What a `.safetensors` file holds, of which only the head is read; {} where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}


def read_pickle(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote of a dict of tensors, numbers and strings.

    Only plain data is unpickled; whatever could run code is refused.

    Raises:
        CheckpointError: the file is missing, a pointer, damaged, or more than plain data.
    """
    check_file(path)
    try:
        # Mapped, tensors are read when they are used: looking inside costs next to nothing.
        mapped = zipfile.is_zipfile(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a damaged stream happens to break
        # Its class is told by its name: this package does not import the module it is from.
        if type(error).__name__ == "UnpicklingError" or "TorchScript" in str(error):
            raise _refused(path) from error
        raise _damaged(path, error) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(name, str) for name in loaded):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}, not tensors by name: save the dictionary's "
            "state_dict() there."
        )
    return dict(loaded)


_WEIGHTS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_is_weights(name: str, tensor: Tensor, path: Path) -> None:
    """Refuse a tensor that stands for weights but is none: whole numbers, or eight bits.

    Raises:
        CheckpointError: it is quantised or counts something; what it means is not in the tensor.
    """
    if tensor.dtype not in _WEIGHTS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{name} in {path} is {kind}: quantised weights mean nothing without their scales, "
            "which are not read here. Save the dictionary in float32, float16 or bfloat16."
        )


def check_file(path: Path) -> None:
    """Refuse what is no file, or only stands for one.

    Raises:
        CheckpointError: the file is missing, empty or a Git LFS pointer.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_LFS))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} has no {path.name}: copy or download it there again."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    if head == _LFS:
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, "
            "or download the file."
        )
    if not head:
        raise CheckpointError(f"{path} is damaged or incomplete (empty): copy it there again.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (
        OSError,
        EOFError,
        AttributeError,
        MemoryError,  # a damaged header may ask for any size
        RuntimeError,  # archives of another kind: encrypted, packed in another way
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise _damaged(path, error) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds something other than arrays of numbers ({error}): save plain arrays "
            "with numpy.savez."
        ) from error


def _refused(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} holds more than tensors: opening it could run code, so it stays closed. Load it "
        "where you trust it, and save its state_dict() alone (or a .safetensors file)."
    )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CheckpointError(f"{path} is damaged or incomplete ({reason}): copy it there again.")
