"""A stored dictionary's weights as a folder that SAELens opens."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.errors import InvalidRequest
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import without_model
from sae_core.dictionaries.checkpoint import (
    dictionary_checksum,
    dictionary_files,
    load_dictionary,
)
from sae_core.errors import CheckpointError
from sae_core.files.atomic import atomic_file, atomic_folder


def export_weights(dictionary: DictionaryView, folder: Path) -> None:
    """Copy the files that the store was filled from, byte for byte, once they are known to be them.

    Raises:
        InvalidRequest: the folder exists, or there are no weights: a neuron basis, an import.
        CheckpointError: the files are gone, damaged, or others than those of the harvest.
        DiskError: they cannot be written; nothing is left behind.
    """
    if dictionary.is_imported:
        raise InvalidRequest(without_model(dictionary.title))
    if dictionary.path is None:
        raise InvalidRequest(
            f"{dictionary.title} is the neuron basis: it has no weights to write down."
        )
    if folder.exists():
        raise InvalidRequest(f"{folder} exists already: name a folder that does not.")
    source = Path(dictionary.path)
    load_dictionary(source)  # refuses what is missing, damaged or no dictionary
    if (checksum := dictionary_checksum(source)) != dictionary.checksum:
        raise CheckpointError(
            f"The dictionary in {source} has changed: its checksum is {checksum[:12]}…, the store "
            f"was filled from {dictionary.checksum[:12]}…. Put the old files back or harvest again."
        )
    with atomic_folder(folder) as made:
        for name in dictionary_files(source):
            with atomic_file(made / name) as draft:
                shutil.copyfile(source / name, draft)
