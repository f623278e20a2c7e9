"""The entries of pre-activations that stay: the largest of a token, of a batch, or above a bound.

Nearly all entries lose, so they are looked at once, in groups: whatever is above a bound lies in a
group whose maximum is. A group is every (d_sae / GROUP)-th feature, which makes the maxima plain
vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

GROUP = 16


class Entries(NamedTuple):
    """Some entries of a matrix, row by row.

    Attributes:
        rows: int64 [m], rising.
        features: their columns, int64 [m], in no order within a row.
        values: [m].
    """

    rows: Tensor
    features: Tensor
    values: Tensor


def largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and features of the k largest in each row of pre [n, d_sae]: [n, k] each.

    The same as `torch.topk`, but for which of several equal values stay. The k largest lie in the k
    groups with the largest maxima, and are at least as large as the least of these maxima.
    """
    n, d_sae = pre.shape
    groups = d_sae // GROUP
    if d_sae % GROUP or groups < 2 * k:
        top = pre.topk(k, dim=-1, sorted=False)
        return top.values, top.indices
    best = _maxima(pre).topk(k, dim=-1, sorted=False)
    members = best.indices[:, None] + _strides(pre)[None, :, None]
    members = members.flatten(1)
    values = pre.gather(1, members)
    rows, columns = (values >= best.values.amin(dim=-1, keepdim=True)).nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=n)
    if int(counts.amin()) < k:  # what is not a number compares with nothing
        top = pre.topk(k, dim=-1, sorted=False)
        return top.values, top.indices
    # Hardly more than k a row are left: side by side in a narrow matrix.
    first = counts.cumsum(0) - counts
    place = torch.arange(len(rows), device=rows.device) - first[rows]
    narrow = pre.new_full((n, int(counts.amax())), float("-inf"))
    narrow[rows, place] = values[rows, columns]
    top = narrow.topk(k, dim=-1, sorted=False)
    chosen = columns[first[:, None] + top.indices]
    return top.values, members.gather(1, chosen)


def above(pre: Tensor, bound: float) -> Entries:
    """The entries of pre [n, d_sae] that are at least `bound`."""
    if pre.shape[1] % GROUP:
        rows, features = (pre >= bound).nonzero(as_tuple=True)
        return Entries(rows, features, pre[rows, features])
    rows, groups = (_maxima(pre) >= bound).nonzero(as_tuple=True)
    members = pre.view(len(pre), GROUP, -1)[rows, :, groups]
    which, column = (members >= bound).nonzero(as_tuple=True)
    features = groups[which] + _strides(pre)[column]
    return Entries(rows[which], features, members[which, column])


def largest_of_batch(pre: Tensor, count: int, guess: float) -> Entries:
    """The `count` largest entries of all of pre [n, d_sae], less those that are not positive.

    Args:
        pre: pre-activations.
        count: how many, at most n * d_sae.
        guess: what their least may be, to look at fewer; the result does not depend on it, but for
            which of several equal values stay.
    """
    found = above(pre, guess) if guess > 0 else None
    if found is None or len(found.values) < count:
        found = above(pre, _bound(pre, count))
    if len(found.values) <= count:
        return found
    # In bfloat16 many are equal to the least that stays: just as many stay as there should.
    kept = found.values.topk(count, sorted=False).indices.sort().values
    return Entries(*(part.index_select(0, kept) for part in found))


def _bound(pre: Tensor, count: int) -> float:
    """A value that at least `count` entries reach, or a little above 0 where none does."""
    maxima = pre if pre.shape[1] % GROUP else _maxima(pre)
    least = torch.finfo(pre.dtype).tiny
    if maxima.numel() < count:
        return least
    return max(least, float(maxima.flatten().topk(count, sorted=False).values.amin()))


def _maxima(pre: Tensor) -> Tensor:
    """The largest of each group, [n, d_sae / GROUP]; group g holds g, g + d_sae / GROUP ..."""
    maxima = pre
    while maxima.shape[1] > pre.shape[1] // GROUP:
        # Halves, since a reduction over short strides is not vectorised.
        maxima = torch.maximum(*maxima.chunk(2, dim=1))
    return maxima


def _strides(pre: Tensor) -> Tensor:
    return torch.arange(0, pre.shape[1], pre.shape[1] // GROUP, device=pre.device)
