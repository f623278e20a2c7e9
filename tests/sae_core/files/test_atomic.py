"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sae_core.errors import DiskError
from sae_core.files.atomic import atomic_file, atomic_folder


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "note"
    with atomic_file(path) as draft:
        draft.write_text("first")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as draft:  # noqa: PT012
        draft.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["note"]


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "run"
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as draft:  # noqa: PT012
        (draft / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    with atomic_folder(path) as draft:
        (draft / "whole").write_text("whole")
    with atomic_folder(path) as draft:
        (draft / "late").write_text("late")
    assert [p.name for p in path.iterdir()] == ["whole"]
    assert [p.name for p in path.parent.iterdir()] == ["run"]


KILLED = """
import os, signal, sys
from pathlib import Path
from sae_core.files.atomic import atomic_file, atomic_folder

kind = {"file": atomic_file, "folder": atomic_folder}[sys.argv[1]]
with kind(Path(sys.argv[2])) as draft:
    (draft / "half" if draft.is_dir() else draft).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_cleared_up_by_the_next(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "export[1].json"
    command = [sys.executable, "-c", KILLED, kind, str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    beginning = left.name.rpartition("-")[0]
    of_others = [
        tmp_path / ".export[1].json.part",
        tmp_path / left.name.replace("[1]", "1"),
        tmp_path / f"{beginning}-{os.getppid()}.part",  # of a process that runs
    ]
    for other in of_others:
        other.write_text("not ours")
    with atomic_file(path) as draft:
        draft.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, *of_others])
    assert path.read_text() == "whole"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError("512 requested and 3 written")],
)
def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(np, "save", full)
    with (
        pytest.raises(
            DiskError, match=r"run cannot be written \(.*(space|requested).*free some space"
        ),
        atomic_folder(tmp_path / "run") as draft,
    ):
        np.save(draft / "values.npy", np.zeros(3))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot be written"), atomic_file(tmp_path / "file" / "x"):
        pass


def test_a_file_may_be_read_by_whoever_reads_others(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("as any program writes it")
    with atomic_file(tmp_path / "note") as draft:
        draft.write_text("closed")
        draft.chmod(0o600)  # as safetensors leaves its files
    assert (tmp_path / "note").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "free some space or choose"), (errno.EROFS, "choose")]
)
def test_the_remedy_is_one(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(DiskError, match=rf"\): {said} another folder"), atomic_file(tmp_path / "x"):
        raise OSError(number, "no")
