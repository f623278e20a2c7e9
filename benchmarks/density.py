"""How often the intervals of densities hold the truth, on real documents.

Every token of the vocabulary is taken as a feature that fires on itself, over the files of Python's
standard library: real text, real bursts, and a truth that is known, for it is the share in all
files. A few documents are drawn again and again; each draw gives every token that occurs in it an
interval, by Wilson's formula with tokens as independent draws, and over documents.
"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from app.settings import resource
from sae_core.harvest.density import DocumentTokens, wilson_interval
from sae_core.text.corpus import STDLIB, open_corpus

DRAWS = 40
DOCUMENTS = (5, 10, 40, 200)
LONGEST = 200_000  # characters


def main() -> None:
    """Print the shares of intervals that hold the truth."""
    tokenizer = Tokenizer.from_file(str(resource("demo") / "model" / "tokenizer.json"))
    texts = [document.text[:LONGEST] for document in open_corpus(STDLIB).documents()]
    vocabulary = tokenizer.get_vocab_size()
    rows = [np.bincount(e.ids, minlength=vocabulary) for e in tokenizer.encode_batch(texts)]
    counts = np.stack([row for row in rows if row.sum()])
    tokens = counts.sum(axis=1)
    truth = counts.sum(axis=0) / tokens.sum()
    print(f"{len(counts):,} documents, {tokens.sum():,} tokens; {DRAWS} draws each")
    print("documents   Wilson over tokens   over documents")
    for n in DOCUMENTS:
        rng = np.random.default_rng(n)
        held = np.zeros(2)
        total = 0
        for _ in range(DRAWS):
            drawn = rng.integers(0, len(counts), n)
            chosen = DocumentTokens(tokens[drawn])
            n_tokens = int(tokens[drawn].sum())
            for token in np.flatnonzero(counts[drawn].sum(axis=0)):
                column = counts[drawn, token]
                where = np.flatnonzero(column)
                ends = chosen.density_interval(where, column[where])
                assert ends is not None
                pairs = (wilson_interval(int(column.sum()), n_tokens), ends)
                held += [low <= truth[token] <= high for low, high in pairs]
                total += 1
        wilson, documents = 100 * held / total
        print(f"{n:9,} {wilson:18.1f} % {documents:14.1f} %")


if __name__ == "__main__":
    main()
