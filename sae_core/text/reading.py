"""Which text is read for a model, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sae_core.errors import CorpusError
from sae_core.language_model.model import LanguageModel
from sae_core.text.corpus import open_corpus
from sae_core.text.joined import joined
from sae_core.text.token_array import SUFFIXES, encoded_array
from sae_core.text.tokenized import TokenizedCorpus, tokenize


class Packing(StrEnum):
    """How documents fill windows."""

    NONE = "none"
    """A window holds text of one document; what is left of it is padding."""
    ISOLATED = "isolated"
    """The same windows, several of them in one row of a batch, none of which sees another."""
    JOINED = "joined"
    """Documents end to end; attention crosses from one to the next."""


@dataclass(frozen=True)
class TextReading:
    """Which text is read, and how.

    Attributes:
        corpus: `python-stdlib`, a file or folder of text, a token array, or
            `hf:owner/name[:split]`.
        column: which column of JSON lines, Parquet and Arrow holds the text.
        n_tokens: after how many tokens reading stops; None: everything is read.
        shuffle: what a random order of the documents is made from; None: as they lie.
        packing: how documents fill windows.
        revision: commit, branch or tag of a data set of the Hub; None: its newest.
    """

    corpus: str = "python-stdlib"
    column: str = "text"
    n_tokens: int | None = None
    shuffle: int | None = None
    packing: Packing = Packing.NONE
    revision: str | None = None


def read(
    reading: TextReading,
    model: LanguageModel,
    n_ctx: int,
    cache: Path,
    on_tokens: Callable[[int], None] | None = None,
) -> TokenizedCorpus:
    """The text as the model's tokens.

    Args:
        reading: which text, and how.
        model: the language model whose tokenizer encodes it.
        n_ctx: positions in a window, BOS included.
        cache: folder of encoded corpora.
        on_tokens: called now and then with how many tokens are encoded.

    Raises:
        CorpusError: there is no such text, or what is there is no text.
    """
    path = Path(reading.corpus).expanduser()
    if path.suffix in SUFFIXES and path.is_file():
        corpus = _array(path, reading, model, cache)
    else:
        text = open_corpus(reading.corpus, reading.column, reading.shuffle, reading.revision)
        corpus = tokenize(text, model.tokenizer, cache, reading.n_tokens, on_tokens)
    if reading.packing is not Packing.JOINED:
        return corpus
    # Joined documents are parted by BOS, or by the end-of-text token of a model without one.
    bos = model.vocabulary.bos
    separator = model.eos if bos is None else bos
    if separator is None:
        raise CorpusError(
            f"{model.name} has no token that opens or ends a text, so documents cannot be joined: "
            "leave --packing joined out."
        )
    return joined(corpus, n_ctx - (bos is not None), separator)


def _array(path: Path, reading: TextReading, model: LanguageModel, cache: Path) -> TokenizedCorpus:
    """A token array as a corpus."""
    if reading.shuffle is not None:
        raise CorpusError(
            f"{path} is a token array, whose documents are read in their order: leave --shuffle "
            "out; windows are drawn by the seed in any case."
        )
    ends = frozenset(i for i in (model.bos, model.eos) if i is not None)
    encoded = encoded_array(path, model.d_vocab, ends, cache, reading.n_tokens)
    spelling = hashlib.sha256(model.tokenizer.to_str().encode()).hexdigest()
    read_as_far = (
        {} if reading.n_tokens is None else {"read": f"as far as {reading.n_tokens:,} tokens"}
    )
    return TokenizedCorpus(
        name=path.stem,
        source=f"the token array {path.name}",
        fingerprint=hashlib.sha256(f"{encoded.fingerprint} {spelling}".encode()).hexdigest(),
        tokens=encoded.tokens,
        offsets=encoded.offsets,
        names=encoded.names,
        held_out=encoded.held_out,
        details=read_as_far,
    )
