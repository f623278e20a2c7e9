"""Files and folders that appear whole or not at all, whatever is killed when."""

from __future__ import annotations

import errno
import glob
import os
import platform
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sae_core.errors import DiskError

_NO_ENTRY = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_ENDING = ".part"
_UMASK = os.umask(0o077)
os.umask(_UMASK)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write to; moved onto `path` when the block ends without an error.

    Raises:
        DiskError: it cannot be written; what was at `path` before is still there.
    """
    draft = _draft(path, os.getpid())
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_up(path)
            yield draft
            with draft.open("rb+") as written:
                os.fsync(written.fileno())
            draft.chmod(0o666 & ~_UMASK)  # some libraries write files that only their owner reads
            draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; becomes `path` when the block ends without an error.

    Where another process made `path` in the meantime, theirs stays.

    Raises:
        DiskError: it cannot be written.
    """
    draft = _draft(path, os.getpid())
    try:
        with _explained(path):
            _clear_up(path)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            yield draft
            if not path.exists():
                draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _draft(path: Path, process: int) -> Path:
    """Where a process of this machine writes what becomes `path`."""
    return path.with_name(f"{_beginning(path)}{process}{_ENDING}")


def _beginning(path: Path) -> str:
    return f".{path.name}.{zlib.crc32(platform.node().encode()):08x}-"


def _clear_up(path: Path) -> None:
    """Remove the drafts of `path` that killed processes of this machine have left."""
    for left in path.parent.glob(f"{glob.escape(_beginning(path))}*{_ENDING}"):
        process = left.name.removeprefix(_beginning(path)).removesuffix(_ENDING)
        if not process.isdigit() or _runs(int(process)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's, or no number of a process
        return True
    return True


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # NumPy reports a full disk as "n requested and m written", without a number.
        remedy = "choose" if error.errno in _NO_ENTRY else "free some space or choose"
        raise DiskError(
            f"{path} cannot be written ({error.strerror or error}): {remedy} another folder, then "
            "give the same command again."
        ) from error
