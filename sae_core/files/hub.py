"""The Hugging Face Hub: folders fetched into its cache, and the names dictionaries go by there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sae_core.errors import CheckpointError, HubError
from sae_core.files.releases import RELEASES, listed_by_saelens

# What the readers of sae_core.dictionaries.formats read.
DICTIONARY_FILES = (
    "cfg.json",
    "sae_weights.safetensors",
    "later_weights.safetensors",
    "sae.safetensors",
    "config.json",
    "ae.pt",
    "params.npz",
    "params.safetensors",
    "hyperparams.json",
    "checkpoints/final.safetensors",
    "activation_scaler.json",
)
# Beside the file of one layer of a set, whose settings they are.
_BESIDE = ("config.yaml", "wandb-config.yaml", "wanb-config.yaml", "config.json")
_WEIGHTS = tuple(name for name in DICTIONARY_FILES if not name.endswith(".json"))
# Files that are a dictionary, or one layer of a set.
_SINGLE = re.compile(r".*\.pth?|(.*/)?(W_enc|\w*layer)_\d+\w*\.safetensors")
_PART = re.compile(r"[\w.][\w.+=:@-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 5
_PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Found:
    """A dictionary on this machine.

    Attributes:
        path: of its folder, or of its file.
        facts: where it came from, for the provenance page: `repository`, `path` and `commit` where
            it is from the Hub; else empty.
        overrides: settings that SAELens' list of releases puts in place of the files' own.
    """

    path: Path
    facts: dict[str, str]
    overrides: Mapping[str, Any] = field(default_factory=dict)


def find_dictionary(name: str | Path, revision: str | None = None) -> Found:
    """A dictionary by its folder or file, by a name of SAELens, or by a path on the Hub.

    What exists here never touches the network. `owner/repository/path/in/it` is a path on the Hub;
    `gpt2-small-res-jb/blocks.8.hook_resid_pre` a release and one of its names, known for RELEASES
    and, where SAELens is installed, for all of its own.

    Args:
        name: what the user gave.
        revision: branch, tag or commit on the Hub; None: its main branch.

    Raises:
        CheckpointError: there is no such folder, and it is no name of the Hub either.
        HubError: it could not be fetched.
    """
    path = Path(name).expanduser()
    if path.exists():
        return Found(path, {})
    text = str(name)
    parts = text.split("/")
    if isinstance(name, Path) or len(parts) < 2 or not all(map(_is_part, parts)):
        raise CheckpointError(
            f"There is no dictionary {path}: check the path. On the Hugging Face Hub it would be "
            "OWNER/REPOSITORY/PATH, or a SAELens name such as "
            "gpt2-small-res-jb/blocks.8.hook_resid_pre."
        )
    repository, inside, overrides = _place(parts)
    folder = fetch(repository, list(_wanted(inside)), revision)
    places = [place for place in map(folder.joinpath, _names(inside)) if _has_weights(place)]
    if not places:
        raise HubError(
            f"{repository} on the Hugging Face Hub has no dictionary at {inside or 'its root'}: "
            f"{_listing(repository, folder.name)}"
        )
    path = places[0]
    inside = str(path.relative_to(folder)) if inside else ""
    facts = {"repository": repository, "path": inside, "commit": folder.name}
    return Found(path, facts, overrides)


def _names(inside: str) -> Iterator[str]:
    """Where in a repository a dictionary may lie that somebody calls so: the likeliest first.

    One layer of a set may be called by its file's name without the end, as Gemma Scope's releases
    do, or by its number, as SAELens does with a cross-layer transcoder.
    """
    yield inside
    if inside:
        yield f"{inside}.safetensors"
        head, slash, last = inside.rpartition("/")
        if last.isdecimal():
            yield f"{head}{slash}W_enc_{last}.safetensors"


def _wanted(inside: str) -> Iterator[str]:
    """The files of a repository that a dictionary there may need."""
    for name in _names(inside):
        if name:
            yield name
        head, slash, last = name.rpartition("/")
        if last.endswith(".pt"):
            yield f"{name.removesuffix('.pt')}_cfg.json"
        elif last.endswith(".safetensors"):
            yield from (f"{head}{slash}{file}" for file in _BESIDE)
            yield f"{head}{slash}{last.replace('W_enc_', 'W_dec_')}"
    yield from (f"{inside}/{file}" if inside else file for file in DICTIONARY_FILES)


def fetch(repository: str, wanted: Sequence[str], revision: str | None = None) -> Path:
    """The folder in the Hub's cache that has these files of a repository, as far as it has them.

    Files that were fetched before are used without the network; the folder's name is the commit.

    Args:
        repository: `owner/name`.
        wanted: names of files from the root; `*` stands for anything.
        revision: branch, tag or commit; None: the main branch.

    Raises:
        HubError: the Hub cannot be reached, or has no such repository, or not for us.
    """
    from huggingface_hub import HfApi, errors, snapshot_download

    get = partial(snapshot_download, repository, revision=revision, allow_patterns=list(wanted))
    try:
        if revision and _COMMIT.fullmatch(revision):
            # It never changes, so the cache is asked first. Without a network, snapshot_download
            # would try again for half a minute before it said so; a single question does not.
            with suppress(errors.LocalEntryNotFoundError):
                return Path(get(local_files_only=True))
            HfApi().model_info(repository, revision=revision, timeout=_PATIENCE)
        return Path(get())
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"{repository} on the Hugging Face Hub has no revision {revision!r}: check --revision."
        ) from error
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: accept its terms on the Hugging Face Hub, then `hf auth "
            "login`, then give the same command again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"The Hugging Face Hub has no public repository {repository}: check the name, or `hf "
            "auth login` if it is private."
        ) from error
    except errors.IncompleteSnapshotError as error:
        raise HubError(
            f"Only a part of {repository} was fetched before, and the Hugging Face Hub cannot be "
            "reached: connect and give the same command again, it goes on where it stopped."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise HubError(
            f"There is no folder {repository} here, nothing of it was fetched before, and the "
            f"Hugging Face Hub cannot be reached ({_reason(error)}): connect, or download it "
            "elsewhere and give its folder."
        ) from error
    except Exception as error:  # every way a connection can break, a full disk among them
        raise HubError(
            f"{repository} could not be fetched from the Hugging Face Hub ({_reason(error)}): give "
            "the same command again, it goes on where it stopped."
        ) from error


def _is_part(part: str) -> bool:
    return bool(_PART.fullmatch(part)) and part not in (".", "..")


def _place(parts: Sequence[str]) -> tuple[str, str, Mapping[str, Any]]:
    """Repository and path of a name's parts, and the settings that SAELens' list overrides.

    Raises:
        CheckpointError: it is a release without such a dictionary.
    """
    release, inside = parts[0], "/".join(parts[1:])
    if release in RELEASES:
        path = RELEASES[release].path(inside)
        if path is None or not inside:
            pattern = (RELEASES[release].rule or ("",))[0]
            shown = pattern.replace("(\\d+)", "N").replace("\\w+", "…")
            shown = re.sub(r"[\\()]", "", shown)
            raise CheckpointError(f"{release} has no {inside!r}: its names are {shown}.")
        return RELEASES[release].repository, path, RELEASES[release].overrides
    if (listed := listed_by_saelens(release)) is not None:
        if inside not in listed.entries:
            names = ", ".join(list(listed.entries)[:_SHOWN])
            raise CheckpointError(f"{release} has no {inside!r}: its names are {names}, ….")
        path = str(listed.entries[inside]["path"])
        return listed.repository, path, listed.overrides_of(inside)
    repository = "/".join(parts[:2])
    # The same files under the name of their repository.
    by_repository = {known.repository: known.overrides for known in RELEASES.values()}
    return repository, "/".join(parts[2:]), by_repository.get(repository, {})


def _has_weights(path: Path) -> bool:
    return path.is_file() or any((path / name).exists() for name in _WEIGHTS)


def _listing(repository: str, commit: str) -> str:
    """Which dictionaries a repository has, as the end of a sentence."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(repository, revision=commit)
    except Exception:  # the network went away in between; the sentence does without
        return "check the path."
    folders = [str(Path(file).parent) for file in files if Path(file).name in _WEIGHTS]
    places = sorted({place for place in folders if place != "."})
    places += sorted(f for f in files if _SINGLE.fullmatch(f) and not f.endswith("ae.pt"))
    if not places:
        return "it holds none in a format known here."
    shown = ", ".join(places[:_SHOWN])
    return f"it holds {len(places)}, such as {shown}."


def _reason(error: BaseException) -> str:
    """The root of an error in a few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
