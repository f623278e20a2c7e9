"""Files and folders that appear whole or not at all, whatever is killed when."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sae_core.errors import DiskError

_NO_ENTRY = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_UMASK = os.umask(0o077)
os.umask(_UMASK)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write to; moved onto `path` when the block ends without an error.

    Raises:
        DiskError: it cannot be written; what was at `path` before is still there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
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
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _explained(path):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            yield draft
            if not path.exists():
                draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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
