"""How often the intervals of an evaluation hold the truth, on real documents.

The figures are of the kinds that an evaluation has, ratios of sums over documents, of quantities
that need no model: the loss of a unigram model, the share of frequent and of rare tokens, and the
quotient of two such counts, over the files of Python's standard library. The truth is known, for it
is the figure of all files. A few documents are drawn again and again; each draw gives an interval
by the evaluation's method, and by the expanded percentile bootstrap that earlier versions used.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special
from tokenizers import Tokenizer

from app.settings import resource
from sae_core.evaluation.document_sums import DocumentSums, interval
from sae_core.text.corpus import STDLIB, open_corpus

DRAWS = 1_000
RESAMPLES = 400
DOCUMENTS = (5, 10, 20, 40, 100)
LONGEST = 200_000  # characters

Columns = Mapping[str, NDArray[np.float64]]


def main() -> None:
    """Print the shares of intervals that hold the truth."""
    columns = quantities()
    figures = {
        "unigram loss": ("loss", "tokens"),
        "frequent tokens": ("frequent", "tokens"),
        "rare tokens": ("rare", "tokens"),
        "frequent by commonest": ("frequent", "commonest"),
    }
    n_all = len(columns["tokens"])
    print(f"{n_all:,} documents, {columns['tokens'].sum():,.0f} tokens; {DRAWS:,} draws each")
    print("documents  figure                   bootstrap   jackknife   (width, of the figure)")
    for n in DOCUMENTS:
        rng = np.random.default_rng(n)
        draws = [rng.integers(0, n_all, n) for _ in range(DRAWS)]
        for name, (above, below) in figures.items():
            truth = columns[above].sum() / columns[below].sum()
            held, widths = np.zeros(2), np.zeros(2)
            for drawn in draws:
                pair = columns[above][drawn], columns[below][drawn]
                for place, (low, high) in enumerate((bootstrap(rng, *pair), jackknife(*pair))):
                    held[place] += low <= truth <= high
                    widths[place] += (high - low) / truth / DRAWS
            shares, wide = 100 * held / DRAWS, 100 * widths
            print(
                f"{n:9,}  {name:22} {shares[0]:9.1f} % {shares[1]:9.1f} %   "
                f"({wide[0]:.0f} %, {wide[1]:.0f} %)"
            )


def quantities() -> Columns:
    """What each document adds to the sums."""
    tokenizer = Tokenizer.from_file(str(resource("demo") / "model" / "tokenizer.json"))
    texts = [document.text[:LONGEST] for document in open_corpus(STDLIB).documents()]
    vocabulary = tokenizer.get_vocab_size()
    rows = [np.bincount(e.ids, minlength=vocabulary) for e in tokenizer.encode_batch(texts)]
    counts = np.stack([row for row in rows if row.sum()]).astype(np.float64)
    totals = counts.sum(axis=0)
    order = np.argsort(-totals)
    log_p = np.log((totals + 1) / (totals.sum() + vocabulary))
    return {
        "tokens": counts.sum(axis=1),
        "loss": -(counts @ log_p),
        "commonest": counts[:, order[:5]].sum(axis=1),
        "frequent": counts[:, order[5:30]].sum(axis=1),
        "rare": counts[:, order[2000:]].sum(axis=1),
    }


def jackknife(above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[float, float]:
    """The interval of a quotient of sums, as an evaluation computes it."""
    n = len(above)
    sums, documents = DocumentSums(n, {"above": 1, "below": 1}), np.arange(n)
    sums.add("above", documents, above)
    sums.add("below", documents, below)
    left_out = sums.left_out()
    ends = interval(
        float(above.sum() / below.sum()), left_out["above"] / left_out["below"], least=0.0
    )
    return ends if ends is not None else (-np.inf, np.inf)


def bootstrap(
    rng: np.random.Generator, above: NDArray[np.float64], below: NDArray[np.float64]
) -> tuple[float, float]:
    """The expanded percentile bootstrap over documents (Hesterberg 2014)."""
    n = len(above)
    drawn = rng.integers(0, n, (RESAMPLES, n))
    sums = below[drawn].sum(axis=1)
    values = above[drawn].sum(axis=1)[sums > 0] / sums[sums > 0]
    tail = special.ndtr(np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, 0.025))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


if __name__ == "__main__":
    main()
