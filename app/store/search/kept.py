"""Harvested texts with what fires on them: written with a harvest, read where a phrase stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, bindparam, insert, select

from app.errors import StoreError
from app.store.blobs.kept import (
    pack_firing_block,
    pack_kept_text,
    unpack_firing_block,
    unpack_kept_text,
)
from app.store.database import reading
from app.store.schema import StoredFiringBlock, StoredHarvest, StoredKeptText
from app.store.tables.bulk import bulk_insert
from app.store.types.catalogue import DictionaryView
from sae_core.harvest.kept_firings import KeptFirings, KeptText

BLOCK_WINDOWS = 8  # in one row: some twenty thousand bytes
_BATCH = 500
_BLOCKS = select(StoredFiringBlock.block, StoredFiringBlock.firings).where(
    StoredFiringBlock.dictionary_id == bindparam("dictionary_id"),
    StoredFiringBlock.block.in_(bindparam("blocks", expanding=True)),
)


@dataclass(frozen=True)
class KeptSize:
    """How much of a harvest is kept.

    Attributes:
        n_tokens: of its text.
        n_bytes: that text and firings take, as packed.
    """

    n_tokens: int
    n_bytes: int

    @property
    def bytes_a_token(self) -> float:
        """Of text and firings together."""
        return self.n_bytes / max(1, self.n_tokens)


def write_kept(connection: Connection, dictionary_id: int, kept: KeptFirings) -> None:
    """Keep them with the harvest that is being published."""
    text = pack_kept_text(kept.text)
    blocks = [
        pack_firing_block(kept.windows[at : at + BLOCK_WINDOWS])
        for at in range(0, len(kept.windows), BLOCK_WINDOWS)
    ]
    connection.execute(
        insert(StoredKeptText).values(
            dictionary_id=dictionary_id,
            n_tokens=kept.text.n_tokens,
            n_bytes=len(text) + sum(map(len, blocks)),
            text=text,
        )
    )
    rows = ((dictionary_id, number, block) for number, block in enumerate(blocks))
    bulk_insert(connection, StoredFiringBlock, rows)


class KeptTexts:
    """Reads, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def size(self, dictionary: DictionaryView) -> KeptSize | None:
        """How much is kept; None: nothing."""
        query = select(StoredKeptText.n_tokens, StoredKeptText.n_bytes).where(
            StoredKeptText.dictionary_id == dictionary.id
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else KeptSize(row.n_tokens, row.n_bytes)

    def text(self, dictionary: DictionaryView) -> KeptText | None:
        """The text; None: none is kept, or another harvest was published since."""
        query = (
            select(StoredKeptText.text)
            .join(StoredHarvest, StoredHarvest.dictionary_id == StoredKeptText.dictionary_id)
            .where(
                StoredKeptText.dictionary_id == dictionary.id,
                StoredHarvest.digest == dictionary.digest,
            )
        )
        with reading(self._engine) as connection:
            blob = connection.scalar(query)
        return None if blob is None else unpack_kept_text(blob, f"The text of {dictionary.title}")

    def firings(
        self, dictionary: DictionaryView, windows: NDArray[np.int64]
    ) -> Sequence[bytes] | None:
        """The firings of some windows of the text, by their places in it, as packed; None: another
        harvest was published since.

        Raises:
            StoreError: windows are missing.
        """
        digest = select(StoredHarvest.digest).where(StoredHarvest.dictionary_id == dictionary.id)
        wanted = np.unique(windows // BLOCK_WINDOWS).tolist()
        what = f"What fires in the text of {dictionary.title}"
        blocks: dict[int, list[bytes]] = {}
        with reading(self._engine) as connection:
            if connection.scalar(digest) != dictionary.digest:
                return None
            for at in range(0, len(wanted), _BATCH):
                here = {"dictionary_id": dictionary.id, "blocks": wanted[at : at + _BATCH]}
                for number, blob in connection.execute(_BLOCKS, here):
                    blocks[number] = unpack_firing_block(blob, what)
        try:
            return [blocks[w // BLOCK_WINDOWS][w % BLOCK_WINDOWS] for w in windows.tolist()]
        except (KeyError, IndexError):
            raise StoreError(
                f"{what} is incomplete in the store. Restore the database from a copy, or harvest "
                "this dictionary again."
            ) from None
