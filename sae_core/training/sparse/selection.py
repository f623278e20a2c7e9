"""The entries of pre-activations that stay: the largest of a token, of a batch, or above a bound.

Activations are never negative, so floating-point numbers are compared as the whole numbers that
their bits spell, which is faster and gives the same order among those above 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sae_core.training.sparse.positive import set_entries

GROUP = 16
_WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Entries(NamedTuple):
    """Some entries of a matrix, row by row.

    Attributes:
        rows: the row of each entry, int64 [m], rising.
        features: the column of each entry, int64 [m], rising within a row.
        values: what stands there, [m].
    """

    rows: Tensor
    features: Tensor
    values: Tensor


def largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """relu of the k largest in each row of pre [n, d_sae], and their features: [n, k] each.

    The same as `torch.topk` of relu(pre), but for which of several equal values stay. The k largest
    of a row lie in the k groups with the largest maxima, and are at least as large as the least of
    these maxima; so few others are that the rest of the choice is made in a narrow matrix. A group
    is every (d_sae / 16)-th feature, which makes the maxima plain vector instructions.
    """
    n, d_sae = pre.shape
    whole = _whole(pre)
    groups = d_sae // GROUP
    if d_sae % GROUP or groups < 2 * k:
        top = whole.topk(k, dim=-1, sorted=False)
        return _activations(top.values, pre), top.indices
    # The k groups with the largest maxima of each row, and all of their members.
    best = _maxima(whole).topk(k, dim=-1, sorted=False)
    strides = torch.arange(0, d_sae, groups, device=pre.device)
    members = (best.indices[:, None] + strides[None, :, None]).flatten(1)
    values = whole.gather(1, members)
    # Members that reach the least of these maxima, moved together into a narrow matrix.
    rows, columns = (values >= best.values.amin(dim=-1, keepdim=True)).nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=n)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(rows), device=rows.device) - first[rows]
    lowest = torch.iinfo(whole.dtype).min
    narrow = whole.new_full((n, int(counts.amax())), lowest)
    narrow[rows, place] = values[rows, columns]
    # The choice proper, and back to the features' own numbers.
    top = narrow.topk(k, dim=-1, sorted=False)
    chosen = columns[first[:, None] + top.indices]
    return _activations(top.values, pre), members.gather(1, chosen)


def above(pre: Tensor, bound: Tensor) -> Entries:
    """The entries of pre [n, d_sae] that are at least `bound` > 0, a 0-d tensor of its dtype."""
    rows, features = set_entries(_whole(pre) >= _whole(bound))
    return Entries(rows, features, pre[rows, features])


def largest_of_batch(pre: Tensor, count: int, guess: Tensor) -> Entries:
    """The `count` largest entries of all of pre [n, d_sae], less those that are not positive.

    Args:
        pre: pre-activations, [n, d_sae].
        count: how many entries stay, at most n * d_sae.
        guess: about what the least of them is, 0-d, so that fewer are looked at; the result does
            not depend on it, but for which of several equal values stay. 0: unknown.
    """
    guess = guess.to(pre.dtype)
    entries = above(pre, guess) if guess > 0 else None
    if entries is None or len(entries.values) < count:
        entries = above(pre, _bound(pre, count))
    if len(entries.values) <= count:
        return entries
    # In bfloat16 many are equal to the least that stays: just as many stay as there should.
    kept = _whole(entries.values).topk(count, sorted=False).indices.sort().values
    return Entries(*(part.index_select(0, kept) for part in entries))


def _bound(pre: Tensor, count: int) -> Tensor:
    """A value that at least `count` entries reach, or a little above 0 where none does."""
    least = torch.full_like(pre[0, 0], torch.finfo(pre.dtype).tiny)
    maxima = pre if pre.shape[1] % GROUP else _maxima(_whole(pre)).view(pre.dtype)
    if maxima.numel() < count:
        return least
    reached = _whole(maxima).flatten().topk(count, sorted=False).values.amin()
    return torch.maximum(least, reached.view(pre.dtype))


def _whole(x: Tensor) -> Tensor:
    """The bits of floating-point numbers as whole numbers; their order is kept above 0."""
    return x.view(_WHOLE[x.element_size()])


def _activations(whole: Tensor, like: Tensor) -> Tensor:
    """relu of what `_whole` returned, as floating-point numbers again, in the dtype of `like`."""
    return whole.clamp_min(0).view(like.dtype)


def _maxima(matrix: Tensor) -> Tensor:
    """The largest of each group, [n, d_sae / GROUP]; group g holds g, g + d_sae / GROUP ..."""
    maxima = matrix
    while maxima.shape[1] > matrix.shape[1] // GROUP:
        # Halves, since a reduction over short strides is not vectorised.
        maxima = torch.maximum(*maxima.chunk(2, dim=1))
    return maxima
