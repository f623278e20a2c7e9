"""Data sets of the Hugging Face Hub, streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sae_core.errors import CorpusError
from sae_core.text.document import Document
from sae_core.text.rows import row_documents

PREFIX = "hf:"
_NAME = re.compile(r"hf:([\w.-]+(?:/[\w.-]+)?)(?:/([\w.-]+))?(?::([\w.-]+))?")
_SECONDS = 10.0


@dataclass(frozen=True)
class HubDataset:
    """One split of a data set at one commit.

    Attributes:
        name: `owner/name`.
        configuration: which of the data set's subsets; None: its default.
        split: such as `train`.
        commit: the commit that the revision named when the data set was opened.
    """

    name: str
    configuration: str | None
    split: str
    commit: str

    def documents(self, column: str) -> Iterator[Document]:
        """One document for each row, fetched as they are read; `column` holds the text.

        Raises:
            CorpusError: there is no such split or column, or the connection is lost.
        """
        yield from row_documents(self.name, self._rows(), column)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Number, from 1, and columns of every row."""
        import datasets

        try:
            rows = datasets.load_dataset(
                self.name,
                self.configuration,
                split=self.split,
                revision=self.commit,
                streaming=True,
            )
            yield from enumerate(rows, start=1)
        except CorpusError:
            raise
        except Exception as error:  # network, splits, configurations, formats: a sentence each
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            raise CorpusError(
                f"The data set {self.name} cannot be read from the Hugging Face Hub ({reason}): "
                "check its split and configuration (hf:owner/name/configuration:split) and the "
                "connection, then give the same command again."
            ) from error


def open_dataset(name: str, revision: str | None) -> HubDataset:
    """The data set called `hf:owner/name[/configuration][:split]`, split train if none is named.

    Raises:
        CorpusError: the name cannot be understood, or the Hub cannot be reached or knows no such
            data set.
    """
    from huggingface_hub import HfApi

    if not (match := _NAME.fullmatch(name)):
        raise CorpusError(
            f"{name!r} is no data set: write hf:owner/name, hf:owner/name:split or "
            "hf:owner/name/configuration:split."
        )
    repository, configuration, split = match.groups()
    try:
        info = HfApi().dataset_info(repository, revision=revision, timeout=_SECONDS)
    except Exception as error:  # network, authentication, unknown name: all mean the same here
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise CorpusError(
            f"The data set {repository} cannot be fetched from the Hugging Face Hub ({reason}): "
            "check the name and the connection, or download it and give its folder."
        ) from error
    return HubDataset(repository, configuration, split or "train", str(info.sha))
