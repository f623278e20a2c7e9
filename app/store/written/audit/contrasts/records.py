"""Contrasts of texts as they go into the store and come out of it: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sae_core.audit.contrast.sets import SetContrast


@dataclass(frozen=True)
class TextSet:
    """Texts that have something in common.

    Attributes:
        name: of what they have in common, any text of one line.
        texts: each once.
        groups: of each, such as its form or author, empty for one without; empty: none has one.
    """

    name: str
    texts: tuple[str, ...]
    groups: tuple[str, ...] = ()

    @property
    def of_each(self) -> tuple[str, ...]:
        """The group of each text, empty for one without."""
        return self.groups or ("",) * len(self.texts)

    def as_json(self) -> dict[str, Any]:
        """Name and lists; without groups as before there were any."""
        return {
            "name": self.name,
            "texts": [*self.texts],
            **({"groups": [*self.groups]} if any(self.groups) else {}),
        }


@dataclass(frozen=True)
class ContrastRecord:
    """A contrast to be kept.

    Attributes:
        model: name of its model.
        dictionary: name of the dictionary whose features were tested.
        checksum: of the dictionary's weights.
        question: SHA-256 of all that decided it.
        title: any text of one line.
        first: one set.
        second: the other.
        settings: what decided it besides.
        contrast: what was tested.
    """

    model: str
    dictionary: str
    checksum: str
    question: str
    title: str
    first: TextSet
    second: TextSet
    settings: dict[str, Any]
    contrast: SetContrast


@dataclass(frozen=True)
class ContrastView:
    """A contrast of the store.

    Attributes:
        name: part of its address.
        record: what was kept.
        created: seconds since 1970.
    """

    name: str
    record: ContrastRecord
    created: float


@dataclass(frozen=True)
class ContrastLine:
    """A contrast without its texts and figures.

    Attributes:
        name: part of its address.
        title: as in `ContrastRecord`; so are model and dictionary.
        created: seconds since 1970.
    """

    name: str
    title: str
    model: str
    dictionary: str
    created: float
